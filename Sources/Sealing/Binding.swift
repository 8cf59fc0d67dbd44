/// Whose a sealed value is and where it lies. What was sealed for one place opens in no other.
///
/// It goes into the seal as additional data and is not stored. No two bindings have the same bytes: each part is
/// preceded by its length.
package struct Binding: Hashable, Sendable {
    package let bytes: [UInt8]

    /// - Parameters:
    ///   - kind: what owns it: `user`, `server`.
    ///   - owner: the owner's id.
    ///   - place: the name it is kept under.
    ///   - detail: what else must not be changed beside it.
    package init(kind: String, owner: String, place: String, detail: [UInt8] = []) {
        var bytes: [UInt8] = []
        for part in [Array(kind.utf8), Array(owner.utf8), Array(place.utf8), detail] {
            withUnsafeBytes(of: UInt64(part.count).bigEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: part)
        }
        self.bytes = bytes
    }
}
