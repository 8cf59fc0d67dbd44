import Foundation
import Gateway
import Logging
import Sealing
import Synchronization
import Testing

@testable import mreg

struct SealingKeyFileTests {
    private let state: String
    private let credentials: String
    private let warnings = Warnings()
    private let key = String(repeating: "0f1e", count: 16)

    init() throws {
        state = FileManager.default.temporaryDirectory.appending(path: "sealing-\(UUID().uuidString)").path()
        credentials = state + "/credentials"
        for folder in [state, state + "/keys", state + "/tokens", credentials] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
    }

    private func withFolders(_ body: () throws -> Void) throws {
        defer { try? FileManager.default.removeItem(atPath: state) }
        try body()
    }

    private func write(_ text: String, to path: String, mode: Int = 0o600) throws {
        try Data(text.utf8).write(to: URL(filePath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func file(named: String? = nil, credentials: String? = nil) -> SealingKeyFile {
        SealingKeyFile(named: named, credentials: credentials, stateDirectory: state)
    }

    private func read(_ file: SealingKeyFile, isEvaluation: Bool = false) throws -> KeyRing {
        try file.readOrMake(isEvaluation: isEvaluation, logger: Logger(label: "test") { _ in warnings })
    }

    /// The sentence of what is refused; it never has the key in it.
    private func refusal(_ file: SealingKeyFile, _ location: SourceLocation = #_sourceLocation) -> String {
        let error = #expect(throws: OperatorError.self, sourceLocation: location) { _ = try read(file) }
        let sentence = error?.description ?? ""
        #expect(!sentence.contains(key.prefix(8)), sourceLocation: location)
        return sentence
    }

    @Test func `a named file goes before a credential, and that before the state directory`() throws {
        try withFolders {
            try write(key, to: state + "/named")
            try write("ab" + key.dropFirst(2), to: credentials + "/sealing-key", mode: 0o400)
            let named = file(named: state + "/named", credentials: credentials)
            #expect((named.source, named.path) == (.setting, state + "/named"))
            let credential = file(credentials: credentials)
            #expect((credential.source, credential.path) == (.credential, credentials + "/sealing-key"))
            #expect(try read(named).current.id != read(credential).current.id)
            #expect(warnings.lines.isEmpty)
            for credentials in [nil, "", state + "/tokens"] {
                let own = file(credentials: credentials)
                #expect((own.source, own.path) == (.stateDirectory, state + "/keys/sealing-key"))
            }
        }
    }

    @Test func `a key is made at the first start, for its owner only, and found at the next`() throws {
        try withFolders {
            let made = try read(file())
            let path = state + "/keys/sealing-key"
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
            #expect(try read(file()).current.id == made.current.id)
            #expect(try String(contentsOfFile: path, encoding: .utf8) == made.text.revealed)
        }
    }

    @Test func `a key beside what it seals is warned of, except in evaluation`() throws {
        try withFolders {
            _ = try read(file(), isEvaluation: true)
            #expect(warnings.lines.isEmpty)
            _ = try read(file())
            #expect(warnings.lines.count == 1)
            #expect(warnings.lines.first?.contains("MREG_SEALING_KEY_FILE") == true)
        }
    }

    @Test func `a named file has to be there`() throws {
        try withFolders {
            let path = state + "/none"
            #expect(refusal(file(named: path)) == "\(path), which MREG_SEALING_KEY_FILE names, cannot be read: No such file or directory.")
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test(arguments: ["data.mdb", "../tokens.made"])
    func `no new key is made for tokens that another has sealed`(trace: String) throws {
        try withFolders {
            try write("", to: state + "/tokens/" + trace)
            let sentence = refusal(file())
            #expect(sentence.hasPrefix("\(state)/keys/sealing-key is missing, and \(state)/tokens was sealed with it."))
            #expect(!FileManager.default.fileExists(atPath: state + "/keys/sealing-key"))
        }
    }

    @Test(arguments: [0o640, 0o604, 0o660, 0o644, 0o666, 0o601])
    func `a file that others can read or change is refused`(mode: Int) throws {
        try withFolders {
            for path in [state + "/named", state + "/keys/sealing-key"] {
                try write(key, to: path, mode: mode)
                let sentence = refusal(path.hasSuffix("named") ? file(named: path) : file())
                #expect(sentence.hasPrefix("\(path) can be read or changed by others than its owner, and is not used. Close it with: chmod 600"))
            }
        }
    }

    @Test(arguments: [(0o400, true), (0o440, true), (0o600, true), (0o444, false), (0o460, false), (0o404, false)])
    func `a credential may show the rights that systemd lends it with, and no others`(mode: Int, isGood: Bool) throws {
        try withFolders {
            try write(key, to: credentials + "/sealing-key", mode: mode)
            // Also when the setting names it.
            for file in [file(credentials: credentials), file(named: credentials + "/sealing-key", credentials: credentials)] {
                if isGood { #expect(try read(file).older.isEmpty) } else { _ = refusal(file) }
            }
        }
    }

    @Test func `what is no file is refused without waiting for it`() throws {
        try withFolders {
            try #require(mkfifo(state + "/pipe", 0o600) == 0)
            #expect(refusal(file(named: state + "/pipe")).hasSuffix("cannot be read: it is not a file."))
            #expect(refusal(file(named: state + "/keys")).hasSuffix("cannot be read: it is not a file."))
            try write(String(repeating: "#", count: 65_537), to: state + "/long")
            #expect(refusal(file(named: state + "/long")).hasSuffix("cannot be read: it is longer than 65536 bytes."))
        }
    }

    @Test func `a file that holds something else is refused by its line, and nothing of it is repeated`() throws {
        try withFolders {
            for (text, problem) in [
                ("", "there is no key in it"), ("\(key)x", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
                ("# mine\n\(key)\nsecret=\(key)", "line 3 is neither 64 hexadecimal digits nor 32 bytes in base64"),
                ("\(key)\n\(key)", "line 2 repeats the key of line 1"),
            ] {
                try write(text, to: state + "/named")
                #expect(
                    refusal(file(named: state + "/named"))
                        == "\(state)/named holds no sealing keys: \(problem). Each stands on a line of its own, the current one first.")
            }
            try Data([0xFF, 0xFE, 0x00]).write(to: URL(filePath: state + "/named"))
            _ = refusal(file(named: state + "/named"))
        }
    }

    @Test func `a file with more lines than the longest ring holds is read whole`() throws {
        try withFolders {
            try write(String(repeating: "# a comment\n", count: 5000) + key + "\n", to: state + "/named")
            #expect(try read(file(named: state + "/named")).older.isEmpty)
        }
    }

    @Test func `keys that are missing are named with what to do`() throws {
        try withFolders {
            let file = file(named: state + "/named")
            #expect(file.complaint(about: [:]) == nil)
            let sentence = file.complaint(about: [SealingKey.ID(0xAB): 1, SealingKey.ID(2): 12]) ?? ""
            #expect(sentence.contains("not in \(state)/named: 0000000000000002 (12 entries), 00000000000000ab (1 entry). Add those keys"))
        }
    }
}

/// Remembers warnings.
private final class Warnings: LogHandler, Sendable {
    private let heard = Mutex<[String]>([])
    var lines: [String] { heard.withLock { $0 } }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { if event.level == .warning { heard.withLock { $0.append("\(event.message)") } } }
}
