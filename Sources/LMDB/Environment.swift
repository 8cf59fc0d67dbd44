import CLMDB

#if canImport(Glibc)
    import Glibc
#endif

/// An LMDB environment: a folder with a data file and a lock file, holding one map of keys to values.
///
/// # Caveats
/// Open a folder once per process, and never use an environment in a forked child: its writes there are lost without
/// an error. One process at a time may write; of several, a survivor of a kill can wait for ever.
package final class Environment: Sendable {
    package enum Durability: Sendable {
        /// Every commit reaches the disk before it returns.
        case synced
        /// Commits survive the process, not the machine. The file is preallocated and written through the map; where
        /// the disk cannot give that much, through `write`, which reports a full disk instead of dying of it.
        case unsynced
    }

    // Safe: LMDB's own lock orders writers, readers hold slots of their own (NOTLS), and both handles never change.
    private nonisolated(unsafe) let environment: OpaquePointer
    private let database: MDB_dbi
    private let file: String
    /// Whether it is written through the map.
    private let isPreallocated: Bool

    /// - Parameters:
    ///   - path: an existing folder on a local file system.
    ///   - mapSize: bytes the data may grow to; with `unsynced`, bytes the file takes from the start.
    ///   - readers: read transactions open at the same time.
    package convenience init(path: String, mapSize: Int, readers: Int, durability: Durability) throws(LMDBError) {
        let flags = UInt32(MDB_NOTLS)
        switch durability {
        case .synced: try self.init(path, mapSize, readers, flags)
        case .unsynced:
            // First without the map: that writes the first pages of a new file, and refuses a damaged one before it is
            // grown, for LMDB takes a file of nothing but zeros for a damaged one.
            _ = try Self(path, mapSize, readers, flags)
            let isMapped = Self.preallocate(path + "/data.mdb", mapSize)
            try self.init(path, mapSize, readers, flags | UInt32(MDB_NOSYNC) | (isMapped ? UInt32(MDB_WRITEMAP) : 0))
        }
    }

    private init(_ path: String, _ mapSize: Int, _ readers: Int, _ flags: UInt32) throws(LMDBError) {
        var created: OpaquePointer?
        try LMDBError.check(mdb_env_create(&created))
        guard let opened = created else { throw LMDBError(ENOMEM) }
        do throws(LMDBError) {
            try LMDBError.check(mdb_env_set_mapsize(opened, mapSize))
            try LMDBError.check(mdb_env_set_maxreaders(opened, UInt32(readers)))
            try LMDBError.check(mdb_env_open(opened, path, flags, 0o600))
            try Self.checkLength(opened)
            var dead: Int32 = 0
            try LMDBError.check(mdb_reader_check(opened, &dead))
            var transaction: OpaquePointer?
            try LMDBError.check(mdb_txn_begin(opened, nil, 0, &transaction))
            var handle: MDB_dbi = 0
            let code = mdb_dbi_open(transaction, nil, 0, &handle)
            if code != 0 {
                mdb_txn_abort(transaction)
                throw LMDBError(code)
            }
            try LMDBError.check(mdb_txn_commit(transaction))
            database = handle
        } catch {
            mdb_env_close(opened)
            throw error
        }
        environment = opened
        file = path + "/data.mdb"
        isPreallocated = flags & UInt32(MDB_WRITEMAP) != 0
    }

    deinit { mdb_env_close(environment) }

    /// Makes the file as large as the map, blocks included, so that a store through the map never meets a full disk.
    private static func preallocate(_ file: String, _ size: Int) -> Bool {
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return posix_fallocate(descriptor, 0, off_t(size)) == 0
    }

    /// A file that ends before its last page would end the process when that page is read.
    private static func checkLength(_ environment: OpaquePointer) throws(LMDBError) {
        var info = MDB_envinfo()
        var statistics = MDB_stat()
        var descriptor: Int32 = -1
        try LMDBError.check(mdb_env_info(environment, &info))
        try LMDBError.check(mdb_env_stat(environment, &statistics))
        try LMDBError.check(mdb_env_get_fd(environment, &descriptor))
        var file = stat()
        guard fstat(descriptor, &file) == 0 else { throw LMDBError(errno) }
        guard file.st_size >= off_t(info.me_last_pgno + 1) * off_t(statistics.ms_psize) else { throw .corrupted }
    }

    /// Makes room for more.
    ///
    /// - Precondition: no transaction of this process is open.
    /// - Throws: when the disk has no room for it; then everything is as before.
    package func grow(to mapSize: Int) throws(LMDBError) {
        guard !isPreallocated || Self.preallocate(file, mapSize) else { throw LMDBError(ENOSPC) }
        try LMDBError.check(mdb_env_set_mapsize(environment, mapSize))
    }

    /// Frees the slots of readers that died.
    package func clearStaleReaders() throws(LMDBError) {
        var dead: Int32 = 0
        try LMDBError.check(mdb_reader_check(environment, &dead))
    }

    package enum FileState: Sendable {
        case whole
        /// The file was deleted or replaced. What is held is still there, but nobody will find it again.
        case gone
        /// The file is shorter than it was made: looking into what was cut off ends the process.
        case truncated
    }

    /// Looks at the file from outside: looking into the map would be the end, were it cut off.
    ///
    /// - Parameter mapSize: what the map was made or grown to.
    package func fileState(mapSize: Int) -> FileState {
        var descriptor: Int32 = -1
        var held = stat()
        var found = stat()
        guard mdb_env_get_fd(environment, &descriptor) == 0, fstat(descriptor, &held) == 0 else { return .gone }
        if isPreallocated && held.st_size < off_t(mapSize) { return .truncated }
        return stat(file, &found) == 0 && found.st_ino == held.st_ino && found.st_dev == held.st_dev ? .whole : .gone
    }

    /// Lends a snapshot to a synchronous closure.
    package func read<Value>(_ body: (borrowing Snapshot) throws -> Value) throws -> Value {
        var transaction: OpaquePointer?
        try LMDBError.check(mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction))
        guard let transaction else { throw LMDBError(ENOMEM) }
        return try body(Snapshot(transaction: transaction, database: database))
    }

    /// Lends the one write transaction; commits when the closure returns, and undoes everything if it throws.
    ///
    /// Waits for another writer of this process. Begins and ends on the calling thread.
    package func write<Value>(_ body: (borrowing WriteTransaction) throws -> Value) throws -> Value {
        var begun: OpaquePointer?
        try LMDBError.check(mdb_txn_begin(environment, nil, 0, &begun))
        guard let transaction = begun else { throw LMDBError(ENOMEM) }
        let value: Value
        do {
            value = try body(WriteTransaction(transaction: transaction, database: database))
        } catch {
            mdb_txn_abort(transaction)
            throw error
        }
        try LMDBError.check(mdb_txn_commit(transaction))
        return value
    }
}
