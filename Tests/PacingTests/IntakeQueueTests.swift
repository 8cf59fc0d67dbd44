import Testing

@testable import Pacing

struct IntakeQueueTests {
    private typealias Queue = IntakeQueue<String>

    @Test func `who finds room goes at once, the others in their order`() {
        var queue = Queue(mostBytes: 100, mostBytesPerSource: 100)
        let first = queue.claim(60, of: "a")
        let second = queue.claim(60, of: "b")
        let third = queue.claim(10, of: "c")
        #expect(first.isAdmitted && !second.isAdmitted)
        // It would have room, and came later.
        #expect(!third.isAdmitted)
        #expect(queue.end(first.ticket) == [second.ticket, third.ticket])
        #expect(queue.bytes == 70)
        #expect(queue.end(second.ticket).isEmpty && queue.end(third.ticket).isEmpty)
        #expect(queue.bytes == 0 && queue.waiters == 0)
    }

    @Test func `a source with its share keeps nobody else waiting`() {
        var queue = Queue(mostBytes: 100, mostBytesPerSource: 40)
        let first = queue.claim(30, of: "a")
        let second = queue.claim(30, of: "a")
        #expect(first.isAdmitted && !second.isAdmitted)
        #expect(queue.claim(40, of: "b").isAdmitted)
        #expect(queue.claim(10, of: "a").isAdmitted)
        #expect(queue.end(first.ticket) == [second.ticket])
    }

    @Test func `room is waited for by whoever could have it, and by nobody else`() {
        var queue = Queue(mostBytes: 100, mostBytesPerSource: 40)
        let (a, b) = (queue.claim(40, of: "a").ticket, queue.claim(40, of: "b").ticket)
        #expect(!queue.isWaitedFor(a))
        let second = queue.claim(10, of: "a").ticket
        #expect(queue.isWaitedFor(a) && !queue.isWaitedFor(b) && !queue.isWaitedFor(second))
        let c = queue.claim(40, of: "c").ticket
        #expect(queue.isWaitedFor(a) && queue.isWaitedFor(b))
        #expect(queue.end(b) == [c])
        #expect(queue.isWaitedFor(a) && !queue.isWaitedFor(c))
        #expect(queue.end(a) == [second])
        #expect(!queue.isWaitedFor(second) && !queue.isWaitedFor(a))
    }

    @Test func `who gives up while waiting lets the next ones go`() {
        var queue = Queue(mostBytes: 100, mostBytesPerSource: 100)
        let first = queue.claim(50, of: "a")
        let large = queue.claim(80, of: "b")
        let small = queue.claim(50, of: "c")
        #expect(!large.isAdmitted && !small.isAdmitted)
        #expect(queue.end(large.ticket) == [small.ticket])
        #expect(queue.end(large.ticket).isEmpty)
        #expect(queue.end(first.ticket).isEmpty)
        #expect(queue.bytes == 50)
    }

    @Test func `what is larger than all there is goes alone`() {
        var queue = Queue(mostBytes: 100, mostBytesPerSource: 50)
        let large = queue.claim(200, of: "a")
        let other = queue.claim(1, of: "b")
        #expect(large.isAdmitted && !other.isAdmitted)
        #expect(queue.end(large.ticket) == [other.ticket])
    }

    @Test func `whatever happens, the room is not overdrawn and everybody comes to their turn`() {
        var random = SystemRandomNumberGenerator()
        var queue = Queue(mostBytes: 1_000, mostBytesPerSource: 300)
        var admitted: [Queue.Ticket: (bytes: Int, source: String)] = [:]
        var waiting: [Queue.Ticket: (bytes: Int, source: String)] = [:]
        for step in 0..<3_000 {
            if step < 2_000, Bool.random(using: &random) {
                let claim = (bytes: Int.random(in: 1...200, using: &random), source: String(Int.random(in: 0..<6, using: &random)))
                let (ticket, isAdmitted) = queue.claim(claim.bytes, of: claim.source)
                if isAdmitted { admitted[ticket] = claim } else { waiting[ticket] = claim }
            } else if let ticket = (admitted.isEmpty || waiting.isEmpty || step % 7 > 0 ? admitted : waiting).keys.randomElement(using: &random) {
                (admitted[ticket], waiting[ticket]) = (nil, nil)
                for turn in queue.end(ticket) { admitted[turn] = waiting.removeValue(forKey: turn) }
            }
            let sum = admitted.values.reduce(0) { $0 + $1.bytes }
            guard sum == queue.bytes, sum <= 1_000, queue.waiters == waiting.count else { return #expect(Bool(false), "\(queue)") }
        }
        while let ticket = admitted.keys.first {
            admitted[ticket] = nil
            for turn in queue.end(ticket) { admitted[turn] = waiting.removeValue(forKey: turn) }
        }
        #expect(waiting.isEmpty && queue.bytes == 0)
    }
}
