import Crypto

/// Walks rows and seals in their order and stops at the first thing that is not as it was written.
package struct Verification: Sendable {
    package struct Finding: Error, Hashable, Sendable, CustomStringConvertible {
        /// The first row that is altered, missing or out of order.
        package let row: Int64
        package let description: String

        package init(row: Int64, description: String) {
            self.row = row
            self.description = description
        }
    }

    private let key: RecordKey?
    private var position: ChainPosition
    private var hasher = SHA256()
    private var nextRow: Int64
    package private(set) var rows = 0
    package private(set) var seals = 0

    /// - Parameters:
    ///   - start: the watermark up to which rows were dropped, or the start.
    ///   - key: nil verifies the chain alone, which whoever can rewrite the whole file can also make anew.
    package init(after start: ChainPosition, key: RecordKey?) {
        self.key = key
        position = start
        nextRow = start.lastRow + 1
    }

    package var sealed: ChainPosition { position }
    package var lastRow: Int64 { nextRow - 1 }

    package mutating func take(_ row: AuditRow) throws(Finding) {
        guard row.id == nextRow else {
            throw row.id > nextRow
                ? Finding(row: nextRow, description: "Row \(nextRow) is missing: after row \(nextRow - 1) comes row \(row.id).")
                : Finding(row: row.id, description: "Row \(row.id) stands after row \(nextRow - 1).")
        }
        let bytes = row.canonicalBytes
        if let key, key.mac(of: bytes) != row.mac {
            throw Finding(row: row.id, description: "Row \(row.id) was altered: its code is not the one the gateway gave it.")
        }
        hasher.update(data: bytes)
        hasher.update(data: row.mac)
        nextRow += 1
        rows += 1
    }

    /// - Parameter seal: the one that closes the rows taken since the last.
    package mutating func take(_ seal: Seal) throws(Finding) {
        let first = position.lastRow + 1
        guard seal.id == position.seal + 1 else {
            throw Finding(row: first, description: "Seal \(position.seal + 1), which begins with row \(first), is missing.")
        }
        guard seal.firstRow == first, seal.lastRow >= first else {
            throw Finding(row: first, description: "Seal \(seal.id) says that it begins with row \(seal.firstRow); it follows row \(first - 1).")
        }
        guard nextRow == seal.lastRow + 1 else {
            throw Finding(row: nextRow, description: "Row \(nextRow) is missing: seal \(seal.id) covers rows \(seal.firstRow) to \(seal.lastRow).")
        }
        let expected = SealChain.hash(hasher, after: position.hash, seal.firstRow, seal.lastRow)
        guard expected == seal.hash else {
            throw Finding(
                row: seal.firstRow, description: "Rows \(seal.firstRow) to \(seal.lastRow) are not the ones that seal \(seal.id) was made of.")
        }
        position = ChainPosition(seal)
        hasher = SHA256()
        seals += 1
    }

    /// Whether a row may come before the next seal does.
    package func expects(rowUpTo last: Int64) -> Bool { nextRow <= last }
}
