import LMDB
package import Sealing

/// Why the vault did not do what it was asked to; for the operator's eyes. No part of a secret is in it.
package enum TokenVaultError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The folder or its file is not there any more.
    case gone(String)
    /// The folder is not the one that tokens were kept in.
    case replaced(String)
    /// The file is not an LMDB environment any more.
    case damaged(String, reason: String)
    /// This entry cannot be sealed or opened; others can.
    case entry(String, SealingFailure)
    /// An entry that was written together with another is not there, and the other one is.
    case missing(String)
    /// A secret is longer than what is kept.
    case tooLong(String, bytes: Int)
    case full(String, bytes: Int)
    /// The disk or LMDB; nothing was changed.
    case failed(String, reason: String)

    init(_ error: LMDBError, _ path: String) {
        self = error.isDamage ? .damaged(path, reason: error.description) : .failed(path, reason: error.description)
    }

    package var description: String {
        switch self {
        case .gone(let path):
            "\(path) is gone, and tokens were kept in it. Put it back, and start the gateway again. \(Self.without(path))"
        case .replaced(let path):
            "\(path) is not the folder that tokens were kept in, as \(path).made says. Put that one back. \(Self.without(path))"
        case .damaged(let path, let reason):
            "\(path) is damaged (\(reason)). Restore it from where you keep backups. \(Self.without(path))"
        case .entry(let name, let failure): "\(name) \(failure)."
        case .missing(let name): "\(name) is missing, though it was written together with what is there. The user has to sign in again."
        case .tooLong(let name, let bytes): "\(name) is longer than \(bytes) bytes and is not kept."
        case .full(let path, let bytes): "\(path) has reached its bound of \(bytes) bytes: sign out users who are not needed any more."
        case .failed(let path, let reason): "\(path) cannot be used: \(reason)."
        }
    }

    private static func without(_ path: String) -> String {
        "To go on without the tokens, move away \(path) and \(path).made: then everybody signs in again."
    }
}
