extension String {
    /// At most so many bytes of it, whole characters only. (A prefix of so many characters is no bound: one character
    /// holds any number of accents.)
    package func cut(_ bytes: Int) -> String {
        guard utf8.count > bytes else { return self }
        var end = utf8.index(startIndex, offsetBy: bytes)
        while end > startIndex, end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}

extension String {
    /// Whether it holds anything that would move a terminal's cursor, break a line, or turn the writing direction.
    package var hasControls: Bool { unicodeScalars.contains { $0.isControl } }

    /// The same with each such control shown as `\u{FFFD}`: what may go to a terminal, into a log line or on record. (A
    /// NUL would end the text for one reader and not for another.)
    package var withoutControls: String {
        hasControls ? String(String.UnicodeScalarView(unicodeScalars.map { $0.isControl ? "\u{FFFD}" : $0 })) : self
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0: true
        // Line and paragraph separators, and the marks that turn the writing direction. Joiners are left: emoji need them.
        case 0x2028, 0x2029, 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }
}
