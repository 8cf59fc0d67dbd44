package import Gateway
import Glibc

/// Reads a file that only its owner, or the superuser, may have written or read.
package enum GuardedFile {
    package enum Failure: Error, Hashable, Sendable {
        case unreadable(String)
        /// It can be read or changed by others than its owner.
        case isOpen
    }

    /// - Parameters:
    ///   - forbidden: the bits of its mode that must not be set.
    ///   - mostBytes: a longer file is not read.
    package static func read(_ path: String, forbidden: UInt32, mostBytes: Int) throws(Failure) -> Secret<String> {
        // Not blocking: a named pipe would wait for its writer for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .unreadable(String(cString: strerror(errno))) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable("it is not a file") }
        guard status.st_uid == geteuid() || status.st_uid == 0 else { throw .unreadable("it belongs to another user, who could change it") }
        guard status.st_mode & forbidden == 0 else { throw .isOpen }
        var bytes = [UInt8](repeating: 0, count: mostBytes + 1)
        defer { wipe(&bytes) }
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count) }
            guard got >= 0 else { throw .unreadable(String(cString: strerror(errno))) }
            if got == 0 { break }
            count += got
        }
        guard count <= mostBytes else { throw .unreadable("it is longer than \(mostBytes) bytes") }
        return Secret(String(decoding: bytes.prefix(count), as: UTF8.self))
    }
}
