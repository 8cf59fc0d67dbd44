/// Everything that is wrong with the settings, one problem a line, for the operator.
struct SettingsError: Error, CustomStringConvertible {
    let problems: [SettingsProblem]

    var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// Where a value came from.
enum SettingSource: Hashable, Sendable, CustomStringConvertible {
    case environment
    case file(path: String, line: Int)
    /// The file that the variable names, which itself stands in the environment or on a line.
    indirect case secretFile(variable: String, from: SettingSource)
    case credential
    case fallback

    var description: String {
        switch self {
        case .environment: "environment"
        case .file(let path, let line): "\(path):\(line)"
        case .secretFile(let variable, let source): "the file in \(variable), \(source)"
        case .credential: "$CREDENTIALS_DIRECTORY"
        case .fallback: "default"
        }
    }
}

/// One thing wrong with the settings. Values in it are fit to be shown: redacted, escaped and cut short.
enum SettingsProblem: Error, Hashable {
    /// Its value is not kept, for nobody knows whether it is a secret under a mistyped name.
    case unknown(name: String, source: SettingSource, nearest: String)
    case malformed(ShownSetting, expected: String)
    /// Values that are good alone and not together.
    case contradiction([ShownSetting], rule: String)
    /// The line's text is not kept: it may hold a secret.
    case badLine(SettingSource, expected: String)
    case unreadable(path: String, reason: String)
}

struct ShownSetting: Hashable, Sendable {
    let name: String
    let value: String
    let source: SettingSource

    init(_ name: String, _ value: String, isRedacted: Bool, from source: SettingSource) {
        self.name = name
        self.value = isRedacted && !value.isEmpty ? "redacted" : value.shown
        self.source = source
    }
}

extension SettingsProblem: CustomStringConvertible {
    var description: String {
        switch self {
        case .unknown(let name, let source, let nearest): "\(name.shown) (\(source)): there is no such setting; the nearest name is \(nearest)"
        case .malformed(let setting, let expected): "\(setting): expected \(expected)"
        case .contradiction(let settings, let rule): "\(settings.map(\.description).joined(separator: ", ")): \(rule)"
        case .badLine(let source, let expected): "\(source): expected \(expected)"
        case .unreadable(let path, let reason): "\(path.shown): \(reason)"
        }
    }
}

extension ShownSetting: CustomStringConvertible {
    var description: String {
        source == .fallback && value.isEmpty ? "\(name) not set" : "\(name)=\(value) (\(source))"
    }
}

extension String {
    /// Fit for one line of a terminal: control and non-ASCII characters escaped, at most 80 characters, and what
    /// stands before an `@` left out, for that is where passwords stand in URLs.
    fileprivate var shown: String {
        var text = self
        if let at = text.lastIndex(of: "@") {
            let start = text[..<at].firstRange(of: "://")?.upperBound ?? text.startIndex
            text.replaceSubrange(start..<at, with: "redacted")
        }
        let escaped = text.unicodeScalars.prefix(81).map { ("\u{20}"..."\u{7E}").contains($0) ? String($0) : $0.escaped(asASCII: true) }
        return escaped.prefix(80).joined() + (escaped.count > 80 ? "…" : "")
    }

    /// How many bytes must be added, removed or replaced to make one of the other (Levenshtein).
    func editDistance(to other: String) -> Int {
        let other = Array(other.utf8)
        var row = Array(0...other.count)
        for (index, byte) in utf8.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in other.indices {
                let replaced = diagonal + (byte == other[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = Swift.min(replaced, diagonal + 1, row[column] + 1)
            }
        }
        return row[other.count]
    }
}
