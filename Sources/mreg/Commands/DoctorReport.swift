import Gateway
import Identity

/// Findings as they are printed: a mark, a subject and a sentence in columns, and what to do below them.
struct DoctorReport {
    private var sections: [String] = []
    private var counts: [EntraFinding.Level: Int] = [:]

    var hasErrors: Bool { counts[.error, default: 0] > 0 }

    mutating func add(_ title: String, _ findings: [EntraFinding]) {
        let width = findings.map(\.subject.count).max() ?? 0
        let lines = findings.map { Self.text($0, subjectWidth: width) }
        sections.append(([title, ""] + lines).joined(separator: "\n"))
        for finding in findings { counts[finding.level, default: 0] += 1 }
    }

    var text: String { (sections + [summary]).joined(separator: "\n\n") }

    private var summary: String {
        let (errors, warnings) = (counts[.error, default: 0], counts[.warning, default: 0])
        let parts = [(errors, "error"), (warnings, "warning")].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }
        return parts.isEmpty ? "Nothing is wrong." : parts.joined(separator: ", ") + "."
    }

    private static let markWidth = EntraFinding.Level.allCases.map(\.rawValue.count).max() ?? 0

    private static func text(_ finding: EntraFinding, subjectWidth: Int) -> String {
        let head = "  " + finding.level.rawValue.padded(to: markWidth) + "  " + finding.subject.padded(to: subjectWidth) + "  "
        let steps = finding.steps.map { text($0, indent: head.count) }
        return ([Paragraph.text(finding.sentence, after: head)] + steps).joined(separator: "\n")
    }

    /// Commands and settings stay on one line, to be copied.
    static func text(_ step: EntraFinding.Step, indent: Int) -> String {
        String(repeating: " ", count: indent) + step.label.padded(to: 6) + "  " + step.text.withoutControls
    }
}

/// Words in lines of at most 110 columns; a longer word has a line of its own.
enum Paragraph {
    static let width = 110

    static func text(_ words: String, indent: Int) -> String { text(words, after: String(repeating: " ", count: indent)) }

    /// - Parameter head: stands before the first line; the others are indented by as much.
    static func text(_ words: String, after head: String) -> String {
        let margin = String(repeating: " ", count: head.count)
        var lines: [String] = []
        var line = ""
        for word in words.withoutControls.split(separator: " ") {
            if !line.isEmpty, margin.count + line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return head + (lines + [line]).joined(separator: "\n" + margin)
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
