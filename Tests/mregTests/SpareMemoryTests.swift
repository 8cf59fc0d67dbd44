import Testing

@testable import mreg

struct SpareMemoryTests {
    private func judged(_ spare: inout SpareMemory, _ free: Int) -> Bool { spare.isTooMuch(free) }

    @Test func `memory goes back when much was freed, and once`() {
        var spare = SpareMemory()
        #expect(!judged(&spare, SpareMemory.most))
        #expect(judged(&spare, SpareMemory.most + 1))
        spare.wentBack(leaving: SpareMemory.most + 1)
        #expect(!judged(&spare, SpareMemory.most + 1))
        #expect(!judged(&spare, 2 * SpareMemory.most))
    }

    @Test func `what was used again in the meantime and freed anew counts anew`() {
        var spare = SpareMemory()
        spare.wentBack(leaving: 5 * SpareMemory.most)
        #expect(!judged(&spare, SpareMemory.most))
        #expect(judged(&spare, 3 * SpareMemory.most))
    }
}
