import CLMDB

/// What the environment held at one moment, occupying one of its reader slots.
///
/// It cannot be copied, and is lent only to synchronous closures: no one can keep a snapshot, or hold one across an
/// `await` while other readers queue.
package struct Snapshot: ~Copyable {
    let transaction: OpaquePointer
    let database: MDB_dbi

    deinit { mdb_txn_abort(transaction) }

    /// Hands the value to the closure as bytes of the map, good only there; nil if there is none.
    package func value<Value>(for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Value) throws -> Value? {
        try get(transaction, database, key, body)
    }

    /// Shows entries in the order of their keys, beginning at the first that is not before a key.
    ///
    /// - Parameters:
    ///   - count: how many to show, at most.
    ///   - body: gets key and value as bytes of the map, good only there.
    /// - Returns: the key to go on from; nil at the end.
    package func entries(
        from start: [UInt8], count: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws -> [UInt8]? {
        try walk(transaction, database, from: start, count: count) { _, key, value in try body(key, value) }
    }
}

/// The one write transaction of an environment, committed or undone by `Environment.write`.
package struct WriteTransaction: ~Copyable {
    let transaction: OpaquePointer
    let database: MDB_dbi

    package func value<Value>(for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Value) throws -> Value? {
        try get(transaction, database, key, body)
    }

    /// - Parameter key: 1 to 511 bytes.
    package func put(_ value: UnsafeRawBufferPointer, for key: [UInt8]) throws(LMDBError) {
        let code = key.withUnsafeBytes { key in
            var key = MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
            var value = MDB_val(mv_size: value.count, mv_data: UnsafeMutableRawPointer(mutating: value.baseAddress))
            return mdb_put(transaction, database, &key, &value, 0)
        }
        try LMDBError.check(code)
    }

    /// Walks entries in the order of their keys, beginning at the first that is not before a key, and deletes those the
    /// closure says to.
    ///
    /// - Parameter count: how many to look at, at most.
    /// - Returns: the key to go on from; nil at the end.
    package func sweep(from start: [UInt8], count: Int, _ isOver: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Bool) throws
        -> [UInt8]?
    {
        try walk(transaction, database, from: start, count: count) { cursor, key, value in
            if try isOver(key, value) { try LMDBError.check(mdb_cursor_del(cursor, 0)) }
        }
    }

    /// - Returns: whether there was one.
    package func delete(_ key: [UInt8]) throws(LMDBError) -> Bool {
        let code = key.withUnsafeBytes { key in
            var key = MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
            return mdb_del(transaction, database, &key, nil)
        }
        if code == MDB_NOTFOUND { return false }
        try LMDBError.check(code)
        return true
    }

    /// Entries that there are.
    package var count: Int {
        var statistics = MDB_stat()
        return mdb_stat(transaction, database, &statistics) == 0 ? Int(statistics.ms_entries) : 0
    }
}

private func walk(
    _ transaction: OpaquePointer, _ database: MDB_dbi, from start: [UInt8], count: Int,
    _ body: (OpaquePointer, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
) throws -> [UInt8]? {
    var opened: OpaquePointer?
    try LMDBError.check(mdb_cursor_open(transaction, database, &opened))
    guard let cursor = opened else { return nil }
    defer { mdb_cursor_close(cursor) }
    var value = MDB_val()
    var key = MDB_val()
    var code = start.withUnsafeBytes { start in
        key = MDB_val(mv_size: start.count, mv_data: UnsafeMutableRawPointer(mutating: start.baseAddress))
        return mdb_cursor_get(cursor, &key, &value, start.isEmpty ? MDB_FIRST : MDB_SET_RANGE)
    }
    for _ in 0..<count {
        if code == MDB_NOTFOUND { return nil }
        try LMDBError.check(code)
        try body(
            cursor, UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size), UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
        )
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    }
    if code == MDB_NOTFOUND { return nil }
    try LMDBError.check(code)
    return Array(UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size))
}

private func get<Value>(
    _ transaction: OpaquePointer, _ database: MDB_dbi, _ key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Value
) throws -> Value? {
    var value = MDB_val()
    let code = key.withUnsafeBytes { key in
        var key = MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
        return mdb_get(transaction, database, &key, &value)
    }
    if code == MDB_NOTFOUND { return nil }
    try LMDBError.check(code)
    return try body(UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
}
