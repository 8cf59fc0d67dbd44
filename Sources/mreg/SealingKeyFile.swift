import FoundationEssentials
import Gateway
import Glibc
import Logging
import Sealing
import Storage

/// Where the keys come from that secrets at rest are sealed with.
///
/// The file that `MREG_SEALING_KEY_FILE` names; else the systemd credential `sealing-key`; else `keys/sealing-key` in the
/// state directory, made at the first start.
struct SealingKeyFile: Sendable {
    enum Source: Hashable, Sendable {
        case setting, credential, stateDirectory
    }

    let source: Source
    let path: String
    private let stateDirectory: String

    /// - Parameters:
    ///   - named: `MREG_SEALING_KEY_FILE`.
    ///   - credentials: `$CREDENTIALS_DIRECTORY`.
    init(named: String?, credentials: String?, stateDirectory: String) {
        self.stateDirectory = stateDirectory
        let credentials = credentials.flatMap { $0.isEmpty ? nil : $0 }
        if let named {
            path = named
            source = credentials.map { named.hasPrefix($0 + "/") } ?? false ? .credential : .setting
        } else if let credential = credentials.map({ $0 + "/sealing-key" }), FileManager.default.fileExists(atPath: credential) {
            (path, source) = (credential, .credential)
        } else {
            (path, source) = (stateDirectory + "/keys/sealing-key", .stateDirectory)
        }
    }

    private var tokens: String { stateDirectory + "/tokens" }

    /// Reads the keys; at the first start of an instance that was given none, makes one.
    ///
    /// - Throws: `OperatorError` that names the file and what is wrong with it, and never what is in it.
    func readOrMake(isEvaluation: Bool, logger: Logger) throws -> KeyRing {
        if source == .stateDirectory {
            if !isEvaluation {
                logger.warning(
                    """
                    the sealing key lies beside what it seals: who copies the state directory can read the tokens in it. \
                    Keep the key in a systemd credential named sealing-key, or in a file that MREG_SEALING_KEY_FILE names
                    """, metadata: ["file": "\(path)"])
            }
            if !FileManager.default.fileExists(atPath: path) { return try make() }
        }
        return try read()
    }

    private func read() throws -> KeyRing {
        let text = try contents()
        do throws(KeyRing.Unreadable) {
            return try KeyRing(text: text)
        } catch {
            throw OperatorError("\(path) holds no sealing keys: \(error). Each stands on a line of its own, the current one first.")
        }
    }

    private func make() throws -> KeyRing {
        guard access(tokens + "/data.mdb", F_OK) != 0, access(tokens + ".made", F_OK) != 0 else {
            throw OperatorError(
                """
                \(path) is missing, and \(tokens) was sealed with it. Restore it from where you keep your keys. To go on without the tokens, \
                move away \(tokens) and \(tokens).made: then everybody signs in again.
                """)
        }
        let ring = try KeyRing.generate()
        try PrivateFile.write(ring.text, to: path)
        return ring
    }

    /// What an operator has to know who gave keys that do not open everything; nil if they do.
    ///
    /// - Parameter missing: entries by the key that they are sealed with, as the vault counts them.
    func complaint(about missing: [SealingKey.ID: Int]) -> String? {
        guard !missing.isEmpty else { return nil }
        let keys = missing.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value) \($0.value == 1 ? "entry" : "entries"))" }.joined(separator: ", ")
        return """
            \(tokens) holds what is sealed with keys that are not in \(path): \(keys). Add those keys as further lines of it, below the current \
            one, and start again; the others stay good. Without them the users concerned have to sign in and connect again.
            """
    }

    // MARK: The file

    private static let mostBytes = 65_536

    private func contents() throws -> Secret<String> {
        do throws(GuardedFile.Failure) {
            return try GuardedFile.read(path, forbidden: forbidden, mostBytes: Self.mostBytes)
        } catch {
            switch error {
            case .unreadable(let why): throw unreadable(why)
            case .isOpen:
                throw OperatorError(
                    "\(path) can be read or changed by others than its owner, and is not used. Close it with: chmod 600 \(path) - and consider its keys known."
                )
            }
        }
    }

    /// systemd lends credentials by an access control list, which shows where the rights of the group stand: they are
    /// its own business, in a folder that only the service can look into.
    private var forbidden: UInt32 { source == .credential ? 0o037 : 0o077 }

    private func unreadable(_ why: String) -> OperatorError {
        OperatorError(
            source == .setting
                ? "\(path), which MREG_SEALING_KEY_FILE names, cannot be read: \(why)."
                : "\(path) cannot be read: \(why).")
    }
}
