#if canImport(Glibc)
    import Glibc
#endif

/// The one folder an instance keeps everything in, held by this process for as long as the value lives.
package final class StateDirectory: Sendable {
    package struct Held: Error, CustomStringConvertible {
        package let path: String
        package let holder: String
        package var description: String {
            "\(path) is in use by another mreg (\(holder)). Stop that one first, or choose another --state-dir."
        }
    }

    package struct Unusable: Error, CustomStringConvertible {
        package let description: String
    }

    package let path: String
    private let lock: Int32

    /// Makes the folder if need be, readable by its owner only, and takes its lock.
    ///
    /// The lock belongs to the open file (an OFD lock), so it ends with the process however that ends, and no other
    /// descriptor of this process can drop it.
    ///
    /// - Throws: `Held` naming the process that has the folder; `Unusable` with the system's reason.
    package init(_ path: String) throws {
        self.path = path
        for folder in [path, path + "/keys", path + "/tokens", path + "/backups"] where mkdir(folder, 0o700) != 0 && errno != EEXIST {
            throw Unusable(description: "\(folder) cannot be made: \(String(cString: strerror(errno))).")
        }
        let file = path + "/lock"
        lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { throw Unusable(description: "\(file) cannot be opened: \(String(cString: strerror(errno))).") }

        let setOFDLock: Int32 = 37
        var whole = flock()
        whole.l_type = Int16(F_WRLCK)
        whole.l_whence = Int16(SEEK_SET)
        guard fcntl(lock, setOFDLock, &whole) == 0 else {
            let holder = Self.contents(of: lock)
            // All properties are set, so `deinit` closes the descriptor.
            throw Held(path: path, holder: holder.isEmpty ? "its name is not known yet" : holder)
        }
        let name = "process \(getpid())"
        _ = ftruncate(lock, 0)
        _ = name.withCString { pwrite(lock, $0, strlen($0), 0) }
    }

    deinit { close(lock) }

    private static func contents(of descriptor: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 128)
        let count = pread(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
