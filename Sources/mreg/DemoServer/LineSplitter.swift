/// Splits a byte stream into lines, however the bytes arrive, and holds no more than the longest line allowed.
struct LineSplitter: Sendable {
    enum Line: Hashable, Sendable {
        case text([UInt8])
        /// Read over, because it was longer than allowed.
        case tooLong
    }

    private let longest: Int
    private var partial: [UInt8] = []
    private var isTooLong = false

    init(longest: Int) { self.longest = longest }

    /// The lines these bytes complete, in order; blank ones are left out.
    mutating func feed(_ bytes: [UInt8]) -> [Line] {
        var lines: [Line] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0A) {
            take(rest[..<end])
            if let line = finish() { lines.append(line) }
            rest = rest[(end + 1)...]
        }
        take(rest)
        return lines
    }

    /// What stands after the last line end; at the end of the stream it is a line too.
    mutating func finish() -> Line? {
        defer {
            partial = []
            isTooLong = false
        }
        if isTooLong { return .tooLong }
        return partial.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D } ? nil : .text(partial)
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        isTooLong = isTooLong || partial.count + bytes.count > longest
        if isTooLong { partial = [] } else { partial.append(contentsOf: bytes) }
    }
}
