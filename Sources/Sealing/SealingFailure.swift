/// Why something was not sealed or not opened. No part of a secret is in it.
package enum SealingFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is not a sealed value, or one of a later version.
    case malformed
    /// It was sealed with a key that is not on the ring.
    case unknownKey(SealingKey.ID)
    /// It was changed, cut, or sealed for another owner or place.
    case notAuthentic
    /// The current key has sealed as often as it may.
    case worn(SealingKey.ID)
    /// It is longer than `Sealer.mostBytes`.
    case tooLong
    /// OpenSSL had no memory or no random bytes.
    case unavailable

    /// To follow the name of what could not be sealed or opened.
    package var description: String {
        switch self {
        case .malformed: "is no sealed value of this version"
        case .unknownKey(let id): "is sealed with the key \(id), which is not among the sealing keys"
        case .notAuthentic: "was changed after it was sealed, or belongs to somebody or somewhere else"
        case .worn(let id): "cannot be sealed: the key \(id) has sealed as often as it may; put a new one in front of it"
        case .tooLong: "is longer than what is sealed in one piece"
        case .unavailable: "cannot be sealed or opened: OpenSSL has no memory or no random bytes"
        }
    }
}
