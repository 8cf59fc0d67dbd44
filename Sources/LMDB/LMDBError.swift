import CLMDB

/// An error of LMDB or of the system beneath it.
package struct LMDBError: Error, Hashable, Sendable, CustomStringConvertible {
    package let code: Int32

    init(_ code: Int32) { self.code = code }

    /// The map is full. Deleting needs pages too, so it fails as well.
    package static let mapFull = LMDBError(MDB_MAP_FULL)
    /// The file is not an LMDB environment, or a damaged one.
    package static let invalid = LMDBError(MDB_INVALID)
    package static let corrupted = LMDBError(MDB_CORRUPTED)
    package static let pageNotFound = LMDBError(MDB_PAGE_NOTFOUND)
    package static let versionMismatch = LMDBError(MDB_VERSION_MISMATCH)

    /// Whether throwing the environment away is the only cure.
    package var isDamage: Bool { [.invalid, .corrupted, .pageNotFound, .versionMismatch].contains(self) }

    package var description: String { "LMDB: \(String(cString: mdb_strerror(code))) (\(code))" }

    static func check(_ code: Int32) throws(LMDBError) {
        if code != 0 { throw LMDBError(code) }
    }
}
