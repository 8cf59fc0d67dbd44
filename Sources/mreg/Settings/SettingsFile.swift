import FoundationEssentials

/// A file of `KEY=value` lines, as systemd reads `EnvironmentFile=`: comments on lines of their own, and values
/// bare or in one pair of quotes. There are no escapes, no continued lines and no `export`.
///
/// Lines that cannot be read are kept as problems, so that the operator hears of them together with bad values.
struct SettingsFile: Sendable {
    let path: String
    private(set) var entries: [String: WrittenSetting] = [:]
    private(set) var problems: [SettingsProblem] = []

    init(parsing text: String, path: String) {
        self.path = path
        // By bytes: to `Character`, CR LF is one and other characters break lines too.
        for (index, bytes) in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line = Substring(bytes).trimmingBlanks
            if line.isEmpty || line.first == "#" { continue }
            read(line, number: index + 1)
        }
    }

    init(reading path: String) throws(SettingsError) {
        do {
            self.init(parsing: try textOfFile(path, atMost: 1 << 20), path: path)
        } catch {
            throw SettingsError(problems: [.unreadable(path: path, reason: error.reason)])
        }
    }

    private mutating func read(_ line: Substring, number: Int) {
        let source = SettingSource.file(path: path, line: number)
        guard let equals = line.firstIndex(of: "="), Self.isName(line[..<equals]) else {
            let hint = line.hasPrefix("export ") ? "KEY=value without “export”" : "KEY=value, without blanks before the equals sign"
            problems.append(.badLine(source, expected: hint))
            return
        }
        var value = line[line.index(after: equals)...].trimmingBlanks
        if let quote = value.first, quote == "\"" || quote == "'" {
            guard value.count >= 2, value.last == quote, !value.dropFirst().dropLast().contains(quote) else {
                problems.append(.badLine(source, expected: "the closing quote at the end of the line, and none between"))
                return
            }
            value = value.dropFirst().dropLast()
        }
        let name = String(line[..<equals])
        if let first = entries[name] {
            problems.append(.badLine(source, expected: "each name once; \(name) stands at \(first.source) already"))
            return
        }
        entries[name] = WrittenSetting(text: String(value), source: source)
    }

    private static func isName(_ text: Substring) -> Bool {
        (1...100).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    }
}

/// The text of a setting as the operator wrote it, and where.
struct WrittenSetting: Hashable, Sendable {
    let text: String
    let source: SettingSource
}

struct UnreadableFile: Error {
    let reason: String
}

/// The text of a small file. The reason in the error holds nothing of the path or the text.
func textOfFile(_ path: String, atMost limit: Int) throws(UnreadableFile) -> String {
    guard let data = FileManager.default.contents(atPath: path) else { throw UnreadableFile(reason: "the file is not there or cannot be read") }
    guard data.count <= limit else { throw UnreadableFile(reason: "the file is larger than \(limit) bytes") }
    guard let text = String(validating: data, as: UTF8.self) else { throw UnreadableFile(reason: "the file is not UTF-8 text") }
    return text
}
