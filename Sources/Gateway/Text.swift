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
