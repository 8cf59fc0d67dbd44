#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
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

        init(_ path: String, _ why: String) { description = "\(path) \(why)." }
        init(_ path: String, cannot verb: String) { self.init(path, "cannot be \(verb): \(String(cString: strerror(errno)))") }
    }

    package let path: String
    private let lock: Int32

    /// Makes the folder if need be, readable by its owner only, and takes its lock.
    ///
    /// The lock belongs to the open file (an OFD lock), so it ends with the process however that ends, and no other
    /// descriptor of this process can drop it.
    ///
    /// - Throws: `Held` naming the process that has the folder; `Unusable` with what is wrong with it.
    package init(_ path: String) throws {
        self.path = path
        for folder in [path, path + "/keys", path + "/tokens", path + "/backups"] { try Self.prepare(folder) }
        try Self.refuseNetwork(path)
        let file = path + "/lock"
        lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { throw Unusable(file, cannot: "opened") }

        // From here on all properties are set, so `deinit` closes the descriptor also if this throws.
        guard Self.set(F_WRLCK, on: lock) else {
            guard errno == EAGAIN || errno == EACCES else { throw Unusable(file, cannot: "locked") }
            let holder = Self.contents(of: lock)
            throw Held(path: path, holder: holder.isEmpty ? "its name is not known yet" : holder)
        }
        let name = "process \(getpid())"
        let written = name.withCString { pwrite(lock, $0, strlen($0), 0) }
        guard written == name.utf8.count, ftruncate(lock, off_t(written)) == 0 else { throw Unusable(file, cannot: "written") }
    }

    deinit {
        release()
        close(lock)
    }

    /// Lets others have the folder, whoever still refers to this value. A process that is being started at this moment has
    /// the open file too, until it becomes another program: closing it here alone would not end the lock.
    package func release() { _ = Self.set(F_UNLCK, on: lock) }

    private static func set(_ type: Int32, on lock: Int32) -> Bool {
        let setOFDLock: Int32 = 37
        var whole = flock()
        whole.l_type = Int16(type)
        whole.l_whence = Int16(SEEK_SET)
        return fcntl(lock, setOFDLock, &whole) == 0
    }

    /// The folder is made, or it is one of ours: a folder that nobody else can look into.
    static func prepare(_ folder: String) throws {
        if mkdir(folder, 0o700) == 0 {
            // What is written into it lasts no longer than its name. A parent that cannot be read is no reason not to start.
            try? Files.sync(folder + "/..")
            return
        }
        guard errno == EEXIST else { throw Unusable(folder, cannot: "made") }
        var status = stat()
        guard stat(folder, &status) == 0 else { throw Unusable(folder, cannot: "looked at") }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw Unusable(folder, "is not a folder") }
        guard status.st_uid == geteuid() else { throw Unusable(folder, "belongs to another user") }
        guard status.st_mode & 0o077 == 0 else {
            throw Unusable(folder, "can be looked into by others, and keys are kept in it; close it with: chmod 700 \(folder)")
        }
    }

    /// Locks and shared memory of a database do not hold across machines.
    private static func refuseNetwork(_ folder: String) throws {
        guard let real = realpath(folder, nil) else { throw Unusable(folder, cannot: "looked at") }
        defer { free(real) }
        // Whoever hides the table of mounts gets no answer from it.
        let mounts = (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? ""
        if let type = networkFileSystem(of: String(cString: real), mounts: mounts) {
            throw Unusable(folder, "is on a network file system (\(type)), where a database cannot be kept whole; name a local --state-dir")
        }
    }

    private static let networkTypes: Set<String> = [
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "lustre", "gfs2", "ocfs2",
        "9p", "davfs", "fuse.davfs2",
    ]

    /// The type of the file system that a path is on, if machines share it.
    ///
    /// - Parameter mounts: in the form of fstab(5).
    static func networkFileSystem(of path: String, mounts: String) -> String? {
        var found = (length: -1, type: "")
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 2 else { continue }
            let point = fields[1].replacing("\\040", with: " ")
            let isAbove = point == "/" || path == point || path.hasPrefix(point + "/")
            // Of two at one place the later hides the earlier.
            if isAbove, point.utf8.count >= found.length { found = (point.utf8.count, String(fields[2])) }
        }
        return networkTypes.contains(found.type) ? found.type : nil
    }

    private static func contents(of descriptor: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 128)
        let count = pread(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
