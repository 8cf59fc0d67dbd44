import Crypto
package import Gateway

/// What closes a run of rows: the hash of them and of the seal before.
package struct Seal: Hashable, Sendable {
    package let id: Int64
    package let firstRow: Int64
    package let lastRow: Int64
    package let at: Timestamp
    /// SHA-256 over the hash before, the two row numbers, and each row's canonical bytes and code.
    package let hash: [UInt8]

    package init(id: Int64, firstRow: Int64, lastRow: Int64, at: Timestamp, hash: [UInt8]) {
        self.id = id
        self.firstRow = firstRow
        self.lastRow = lastRow
        self.at = at
        self.hash = hash
    }
}

/// Where a chain stands: what the next seal and the next row follow.
package struct ChainPosition: Hashable, Sendable {
    package let seal: Int64
    package let lastRow: Int64
    package let hash: [UInt8]

    package init(seal: Int64, lastRow: Int64, hash: [UInt8]) {
        self.seal = seal
        self.lastRow = lastRow
        self.hash = hash
    }

    /// Before anything was recorded.
    package static let start = ChainPosition(seal: 0, lastRow: 0, hash: [UInt8](repeating: 0, count: 32))

    package init(_ seal: Seal) { self.init(seal: seal.id, lastRow: seal.lastRow, hash: seal.hash) }
}

/// Numbers rows, and seals them in runs. A value: a transaction that fails is undone by taking the copy from before it.
package struct SealChain: Sendable {
    /// Rows that one seal covers at most; fewer when it is due for its age.
    package static let longestRun = 256
    /// A row waits at most this long for its seal, as long as anybody asks `isDue`.
    package static let longestWait = Duration.seconds(10)

    package private(set) var sealed: ChainPosition
    package private(set) var nextRow: Int64
    private var hasher: SHA256
    private var oldestUnsealed: Timestamp?

    package init(after sealed: ChainPosition) {
        self.sealed = sealed
        nextRow = sealed.lastRow + 1
        hasher = SHA256()
    }

    package var hasUnsealedRows: Bool { nextRow > sealed.lastRow + 1 }

    /// The row that records this, to be written before the next is asked for.
    package mutating func row(for record: AuditRecord, key: RecordKey) -> AuditRow {
        let record = record.storable
        let bytes = AuditRow.canonicalBytes(id: nextRow, record)
        let row = AuditRow(id: nextRow, record: record, mac: key.mac(of: bytes))
        include(bytes, row.mac, record.at)
        return row
    }

    /// Goes on with a row that an earlier process wrote and did not seal.
    package mutating func resume(with row: AuditRow) {
        precondition(row.id == nextRow, "rows are taken up in their order")
        include(row.canonicalBytes, row.mac, row.record.at)
    }

    private mutating func include(_ bytes: [UInt8], _ mac: [UInt8], _ at: Timestamp) {
        hasher.update(data: bytes)
        hasher.update(data: mac)
        if oldestUnsealed == nil { oldestUnsealed = at }
        nextRow += 1
    }

    package func isDue(at now: Timestamp) -> Bool {
        guard let oldestUnsealed else { return false }
        return nextRow - sealed.lastRow > Self.longestRun || now >= oldestUnsealed.advanced(by: Self.longestWait)
    }

    /// Closes the run; nil if there is nothing to close.
    package mutating func seal(at now: Timestamp) -> Seal? {
        guard hasUnsealedRows else { return nil }
        let (first, last) = (sealed.lastRow + 1, nextRow - 1)
        let seal = Seal(id: sealed.seal + 1, firstRow: first, lastRow: last, at: now, hash: Self.hash(hasher, after: sealed.hash, first, last))
        sealed = ChainPosition(seal)
        hasher = SHA256()
        oldestUnsealed = nil
        return seal
    }

    /// The rows' own hash goes into that of the run, so that rows can be hashed as they come.
    static func hash(_ rows: SHA256, after previous: [UInt8], _ first: Int64, _ last: Int64) -> [UInt8] {
        var bytes = previous
        bytes.append(integer: first)
        bytes.append(integer: last)
        bytes.append(contentsOf: rows.finalize())
        return Array(SHA256.hash(data: bytes))
    }
}
