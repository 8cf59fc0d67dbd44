import Testing

@testable import MCP

struct LineDiffTests {
    @Test func `a difference shows what went, what came, and what stands around it`() {
        let old = ["a", "b", "c", "d", "e", "f", "g", "h"]
        let new = ["a", "b", "c", "d", "E", "f", "g", "h", "i"]
        #expect(LineDiff(from: old, to: new, most: 100).lines == ["…", "  c", "  d", "- e", "+ E", "  f", "  g", "  h", "+ i"])
        #expect(LineDiff(from: old, to: old, most: 100).lines == [])
        #expect(LineDiff(from: [], to: ["x"], most: 100).lines == ["+ x"])
        #expect(LineDiff(from: ["x"], to: [], most: 100).lines == ["- x"])
        #expect(LineDiff(from: [], to: [], most: 100).lines == [])
        #expect(
            LineDiff(from: ["a", "b", "c", "d", "e", "f"], to: ["A", "b", "c", "d", "e", "f"], most: 9).lines == ["- a", "+ A", "  b", "  c", "…"])
    }

    @Test func `lines that only look the same are different`() {
        #expect(LineDiff(from: ["\u{E9}"], to: ["e\u{301}"], most: 9).lines == ["- \u{E9}", "+ e\u{301}"])
    }

    @Test func `no more lines are shown than were asked for, and it is said`() {
        let cut = LineDiff(from: [], to: (0..<100).map(String.init), most: 10)
        #expect(cut.lines == (0..<10).map { "+ \($0)" })
        #expect(cut.isCut)
        #expect(!LineDiff(from: [], to: ["x"], most: 1).isCut)
    }

    @Test(arguments: 0..<50)
    func `from the lines that are marked, the old and the new can be put together`(seed: Int) {
        var random = SeededGenerator(seed: seed)
        // Few lines between differences, so that all are shown.
        let old = (0..<Int.random(in: 0...12, using: &random)).map { _ in ["a", "b", "c"].randomElement(using: &random)! }
        let new = (0..<Int.random(in: 0...12, using: &random)).map { _ in ["a", "b", "c"].randomElement(using: &random)! }
        let lines = LineDiff(from: old, to: new, most: 1000).lines
        guard !lines.contains("…"), !lines.isEmpty else { return }
        func text(_ marks: Set<Character>) -> [String] { lines.filter { marks.contains($0.first!) }.map { String($0.dropFirst(2)) } }
        #expect(text([" ", "-"]) == old)
        #expect(text([" ", "+"]) == new)
    }

    @Test func `many lines that all differ are told without comparing each with each`() {
        let diff = LineDiff(from: (0..<30_000).map { "a\($0)" }, to: (0..<30_000).map { "b\($0)" }, most: 50)
        #expect(diff.isCut)
        #expect(diff.lines.count == 50)
        #expect(diff.lines[0] == "- a0")
    }
}
