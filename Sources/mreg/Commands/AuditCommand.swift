import ArgumentParser
import FoundationEssentials
import Gateway
import Glibc
import Identity
import MCP
import Proof
import Storage

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "The record of who did what.", subcommands: [Verify.self])

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that the record is as the gateway wrote it.",
            discussion: """
                Reads the database beside a running gateway, or without one. Names the first row that is altered, missing or
                out of order, and ends with status 1. docs/audit.md says what this proves and what it cannot.
                With --export it also writes a folder that can be verified on another machine with Python and OpenSSL alone.
                """)

        @OptionGroup var instance: Instance
        @Option(help: "The database to check, if it is not the instance's own: a backup, for example.") var database: String?
        @Option(help: "The key rows are marked with (default: keys/record-key of the instance).") var key: String?
        @Option(help: "Also write what is needed to verify elsewhere into this new folder.") var export: String?
        @Flag(help: "Print JSON.") var json = false

        func run() async throws {
            let path = try database ?? Self.onlyDatabase(in: instance.path)
            let keyPath = key ?? RecordKeyFile.path(in: instance.path)
            let recordKey = try RecordKeyFile.read(keyPath)
            if key != nil, recordKey == nil { throw OperatorError("There is no key \(keyPath).") }
            let signing = try await Self.signingKey(in: instance.path)
            let bundle = try export.map { try ExportBundle($0, signing) }

            let verifier = try AuditVerifier(path: path)
            var report = try verifier.verify(key: recordKey) { start, row, seal in try bundle?.write(start, row, seal) }
            let heads = HeadChecks(report.heads, signing, file: instance.path + "/audit-heads", verifier)
            if report.finding == nil { report.finding = heads.finding }
            try bundle?.finish(heads)
            print(json ? Self.json(path, report, heads, recordKey != nil).description : Self.text(path, report, heads, recordKey != nil))
            if let export, !json { print("Exported to \(export); verify it there with: python3 verify.py") }
            if report.finding != nil { throw ExitCode(1) }
        }

        private static func onlyDatabase(in state: String) throws -> String {
            let names = ((try? FileManager.default.contentsOfDirectory(atPath: state)) ?? []).filter { $0.hasSuffix(".sqlite") }
            guard let name = names.first else { throw OperatorError("There is no database in \(state); name --state-dir or --database.") }
            guard names.count == 1 else { throw OperatorError("There are several databases in \(state); name one with --database.") }
            return "\(state)/\(name)"
        }

        private static func signingKey(in state: String) async throws -> SigningKey? {
            guard let pem = try? String(contentsOfFile: state + "/keys/signing-key.pem", encoding: .utf8) else { return nil }
            return try await SigningKey(pem: Secret(pem))
        }

        private static func text(_ path: String, _ report: AuditVerifier.Report, _ heads: HeadChecks, _ hasKey: Bool) -> String {
            var lines = ["\(path): rows \(report.firstRow) to \(report.lastRow), \(report.seals) seals, \(heads.checked) signed heads"]
            if !hasKey { lines.append("The record key is not here: the chain was checked, the rows' codes were not.") }
            if report.unsealedRows > 0 { lines.append("The last \(report.unsealedRows) rows wait for their seal.") }
            if let newest = heads.newest { lines.append("The last head was signed at \(newest.rfc3339).") }
            lines.append(report.finding.map { "NOT as it was written. \($0.description)" } ?? "The record is as it was written.")
            return lines.joined(separator: "\n")
        }

        private static func json(_ path: String, _ report: AuditVerifier.Report, _ heads: HeadChecks, _ hasKey: Bool) -> JSONText {
            [
                "database": .string(path), "intact": .bool(report.finding == nil), "first_row": .number(report.firstRow),
                "last_row": .number(report.lastRow), "rows": .number(report.rows), "seals": .number(report.seals),
                "unsealed_rows": .number(report.unsealedRows), "signed_heads": .number(heads.checked), "codes_checked": .bool(hasKey),
                "finding": report.finding.map { ["row": .number($0.row), "detail": .string($0.description)] } ?? .null,
            ]
        }
    }
}

/// What the signed heads say, in the database and in the file beside it.
struct HeadChecks {
    private(set) var checked = 0
    private(set) var newest: Timestamp?
    private(set) var finding: Verification.Finding?
    /// The lines whose signature holds.
    private(set) var lines: [String] = []

    init(_ stored: [AuditVerifier.Head], _ key: SigningKey?, file: String, _ verifier: AuditVerifier) {
        guard let key else { return }
        for head in stored {
            let line = AuditHead.text(seal: head.seal, hash: head.hash, at: head.signedAt)
            guard head.keyID == key.id else { continue }
            guard key.isSignature(head.signature, of: Array(line.utf8)) else {
                finding = finding ?? Verification.Finding(row: 0, description: "The signed head of seal \(head.seal) does not fit the seal.")
                continue
            }
            note(head.signedAt, "\(line) \(head.keyID) \(Data(head.signature).base64EncodedString())")
        }
        checkFile(file, key, verifier)
    }

    private mutating func note(_ at: Timestamp, _ line: String) {
        checked += 1
        newest = max(newest ?? at, at)
        lines.append(line)
    }

    /// The file outside remembers heads that the database may have been made to forget.
    private mutating func checkFile(_ path: String, _ key: SigningKey, _ verifier: AuditVerifier) {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), let last = text.split(separator: "\n").last else { return }
        let fields = last.split(separator: " ")
        guard fields.count == 6, fields[4] == key.id, let seal = Int64(fields[1]), let signature = Data(base64Encoded: String(fields[5])),
            key.isSignature([UInt8](signature), of: Array(fields[0..<4].joined(separator: " ").utf8))
        else { return }
        let found = (try? verifier.hash(ofSeal: seal)) ?? nil
        if found.map(AuditHead.hex) != String(fields[2]) {
            finding =
                finding
                ?? Verification.Finding(
                    row: 0,
                    description:
                        "\(path) has a signed head of seal \(seal), and the database \(found == nil ? "ends before it" : "has another seal there").")
        }
    }
}

/// A folder with the record in a form that is verified without the gateway.
private final class ExportBundle {
    private let folder: String
    private let rows: UnsafeMutablePointer<FILE>
    private let key: SigningKey?

    init(_ folder: String, _ key: SigningKey?) throws {
        guard mkdir(folder, 0o700) == 0 else { throw OperatorError("\(folder) cannot be made: \(String(cString: strerror(errno))).") }
        guard let file = fopen(folder + "/record.jsonl", "wx") else { throw OperatorError("\(folder) cannot be written.") }
        self.folder = folder
        self.key = key
        rows = file
    }

    func write(_ start: ChainPosition?, _ row: AuditRow?, _ seal: Seal?) throws {
        var line: JSONText?
        if let start {
            // The first line; a second start means: from the beginning, once more.
            guard fflush(rows) == 0, ftruncate(fileno(rows), 0) == 0 else { throw OperatorError("\(folder) cannot be written.") }
            rewind(rows)
            line = ["start": ["seal": .number(start.seal), "row": .number(start.lastRow), "hash": .string(AuditHead.hex(start.hash))]]
        }
        if let row { line = ["row": Self.text(row)] }
        if let seal {
            line = [
                "seal": [
                    "id": .number(seal.id), "first": .number(seal.firstRow), "last": .number(seal.lastRow), "at": .number(seal.at.microseconds),
                    "hash": .string(AuditHead.hex(seal.hash)),
                ]
            ]
        }
        guard let line else { return }
        try put(line.bytes + [UInt8(ascii: "\n")], rows)
    }

    private func put(_ bytes: [UInt8], _ file: UnsafeMutablePointer<FILE>) throws {
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw OperatorError("\(folder) cannot be written.") }
    }

    /// Numbers are written as text where another reader's might round them: the response time as its bit pattern.
    private static func text(_ row: AuditRow) -> JSONText {
        let record = row.record
        return [
            "id": .number(row.id), "created_at": .number(record.at.microseconds), "user_id": record.user.map { .number($0.rawValue) } ?? .null,
            "tenant_id": record.tenant.map { .number($0.rawValue) } ?? .null, "server_id": record.server.map { .number($0.rawValue) } ?? .null,
            "action": .string(record.action), "target": .string(record.target), "outcome": .string(record.outcome.rawValue),
            "reason": .string(record.reason), "status": .number(record.status),
            "response_time_ms_bits": .string(String(record.milliseconds.bitPattern, radix: 16)), "address": .string(record.address),
            "request_id": .string(record.requestID.description), "weight": .number(record.weight), "mac": .string(AuditHead.hex(row.mac)),
        ]
    }

    func finish(_ heads: HeadChecks) throws {
        guard fclose(rows) == 0 else { throw OperatorError("\(folder) cannot be written.") }
        try (heads.lines.map { $0 + "\n" }.joined()).write(toFile: folder + "/heads", atomically: true, encoding: .utf8)
        if let key { try key.publicPEM.write(toFile: folder + "/key.pem", atomically: true, encoding: .utf8) }
        try String(decoding: PackageResources.verify_py, as: UTF8.self).write(toFile: folder + "/verify.py", atomically: true, encoding: .utf8)
    }
}
