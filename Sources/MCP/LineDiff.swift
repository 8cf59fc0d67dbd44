/// What changed between two texts, line by line.
package struct LineDiff: Sendable {
    /// Lines that went begin with `- `, those that came with `+ `, two of what stands around them with two blanks; `…` stands for others.
    package let lines: [String]
    /// Whether there were more than were to be shown.
    package let isCut: Bool

    /// Beyond, everything between the first and the last difference counts as changed.
    private static let mostCells = 1_000_000
    private static let context = 2

    /// Takes time and memory in proportion to the number of lines, plus at most a million steps.
    ///
    /// - Parameter most: how many lines to show.
    package init(from old: [String], to new: [String], most: Int) {
        // By their bytes: strings that look alike are equal to Swift, and not to a hash.
        let (before, after) = (old.map { Array($0.utf8) }, new.map { Array($0.utf8) })
        var start = 0
        while start < min(before.count, after.count), before[start] == after[start] { start += 1 }
        var tail = 0
        while tail < min(before.count, after.count) - start, before[before.count - 1 - tail] == after[after.count - 1 - tail] { tail += 1 }

        let common = Self.common(before[start..<before.count - tail], after[start..<after.count - tail])
        var marked = old[..<start].map { (" ", $0) }
        var (left, right) = (start, start)
        for (inOld, inNew) in common + [(before.count - tail, after.count - tail)] {
            marked += old[left..<inOld].map { ("-", $0) } + new[right..<inNew].map { ("+", $0) }
            if inOld < before.count - tail { marked.append((" ", old[inOld])) }
            (left, right) = (inOld + 1, inNew + 1)
        }
        marked += old[(before.count - tail)...].map { (" ", $0) }

        var isShown = Array(repeating: false, count: marked.count)
        for (place, line) in marked.enumerated() where line.0 != " " {
            for near in max(0, place - Self.context)...min(marked.count - 1, place + Self.context) { isShown[near] = true }
        }
        var lines: [String] = []
        for (place, line) in marked.enumerated() {
            if isShown[place] { lines.append("\(line.0) \(line.1)") } else if place == 0 || isShown[place - 1] { lines.append("…") }
        }
        if lines == ["…"] { lines = [] }
        isCut = lines.count > most
        self.lines = Array(lines.prefix(most))
    }

    /// The places of a longest common subsequence; nothing if finding it would take too long.
    private static func common(_ old: ArraySlice<[UInt8]>, _ new: ArraySlice<[UInt8]>) -> [(Int, Int)] {
        guard !old.isEmpty, !new.isEmpty, old.count <= mostCells / new.count else { return [] }
        var numbers: [[UInt8]: Int32] = [:]
        func number(_ line: [UInt8]) -> Int32 {
            if let known = numbers[line] { return known }
            numbers[line] = Int32(numbers.count)
            return Int32(numbers.count - 1)
        }
        let (left, right) = (old.map(number), new.map(number))
        let width = right.count + 1
        // The length of the longest one of what follows each pair of places.
        var length = Array(repeating: Int32(0), count: (left.count + 1) * width)
        for row in left.indices.reversed() {
            for column in right.indices.reversed() {
                let here = row * width + column
                length[here] = left[row] == right[column] ? length[here + width + 1] + 1 : max(length[here + width], length[here + 1])
            }
        }
        var found: [(Int, Int)] = []
        var (row, column) = (0, 0)
        while row < left.count, column < right.count {
            let here = row * width + column
            if left[row] == right[column] {
                found.append((old.startIndex + row, new.startIndex + column))
                (row, column) = (row + 1, column + 1)
            } else if length[here + width] >= length[here + 1] {
                row += 1
            } else {
                column += 1
            }
        }
        return found
    }
}
