import Forwarding
import Gateway
import Glibc
import Logging
import MCP

/// Writes one line per event to stderr, as text or JSON. Control characters, line breaks included, never get through:
/// what a client sent cannot forge a line.
struct LogLines: LogHandler {
    let label: String
    let format: Settings.Log.Format
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(metadataProvider?.get() ?? [:]) { $1 }.merging(event.metadata ?? [:]) { $1 }
        let facts = all.sorted { $0.key < $1.key }.map { ($0.key, Self.cleaned("\($0.value)")) }
        let message = Self.cleaned("\(event.message)")
        let time = Clocks.now().wall.rfc3339
        let line: String
        switch format {
        case .text: line = "\(time) \(event.level) \(message)" + facts.map { " \($0.0)=\(Self.quoted($0.1))" }.joined()
        case .json:
            let members: [(String, JSONText?)] = [
                ("time", .string(time)), ("level", .string(event.level.rawValue)), ("logger", .string(label)), ("message", .string(message)),
            ]
            line = JSONText.object(members + facts.map { ($0.0, .string($0.1)) }).description
        }
        // One write per line, so that lines of several threads do not mix.
        let bytes = Array((line + "\n").utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }

    private static let longest = 4096

    private static func cleaned(_ text: String) -> String {
        String(text.unicodeScalars.prefix(longest)).withoutControls
    }

    private static func quoted(_ text: String) -> String { text.contains(" ") || text.isEmpty ? "\"\(text.replacing("\"", with: "'"))\"" : text }
}
