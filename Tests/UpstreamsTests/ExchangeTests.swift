import MCP
import NIOCore
import NIOPosix
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct ExchangeTests {
    static let long = Exchange.Patience(idle: .seconds(1000), total: .seconds(1000))

    private func exchange(_ patience: Exchange.Patience = Self.long) -> Exchange {
        Exchange(id: 1, loop: MultiThreadedEventLoopGroup.singleton.any(), patience: patience)
    }

    private static func note(_ number: Int) throws -> Exchange.Event {
        .notification(method: "n", params: try JSON(parsing: Array("{\"n\":\(number)}".utf8)))
    }

    private static func result(_ number: Int = 0) throws -> Exchange.Event {
        .response(.success(try JSON(parsing: Array("{\"n\":\(number)}".utf8))))
    }

    private static func number(_ event: Exchange.Event?) -> Int64? {
        switch event {
        case .notification(_, let params)?: params?["n"]?.integer
        case .response(.success(let result))?: result["n"]?.integer
        default: nil
        }
    }

    @Test func `events are taken in order, and nothing follows the response`() async throws {
        let exchange = exchange()
        for number in 1...3 { exchange.deliver(try Self.note(number)) }
        exchange.deliver(try Self.result(4))
        exchange.deliver(try Self.result(5))
        exchange.deliver(try Self.note(6))
        exchange.fail(.lost("late"))
        for number in 1...4 { #expect(Self.number(try await exchange.next()) == Int64(number)) }
        #expect(try await exchange.next() == nil)
        #expect(exchange.isOver)
    }

    @Test func `whoever waits is woken by what comes`() async throws {
        let exchange = exchange()
        try await withThrowingTaskGroup(of: Int64?.self) { group in
            group.addImmediateTask { Self.number(try await exchange.next()) }
            exchange.deliver(try Self.note(7))
            #expect(try await group.next() == 7)
            group.addImmediateTask { Self.number(try await exchange.next()) }
            exchange.fail(.lost("gone"))
            await #expect(throws: UpstreamFailure.lost("gone")) { try await group.next() }
        }
    }

    @Test func `what came before a failure is still told`() async throws {
        let exchange = exchange()
        exchange.deliver(try Self.note(1))
        exchange.fail(.lost("gone"))
        exchange.fail(.garbled("later"))
        #expect(Self.number(try await exchange.next()) == 1)
        await #expect(throws: UpstreamFailure.lost("gone")) { try await exchange.next() }
        await #expect(throws: UpstreamFailure.lost("gone")) { try await exchange.next() }
    }

    @Test func `a tool may say nothing for five minutes`() {
        #expect(Exchange.Patience.call.idle > .seconds(300))
        #expect(Exchange.Patience.call.total == .seconds(600))
    }

    @Test func `few large notifications fill it as well, and questions and the response still have room`() async throws {
        let exchange = exchange()
        let large = try JSON(parsing: JSONText.object([("n", 1), ("text", .string(String(repeating: "x", count: 1 << 18)))]).bytes)
        for _ in 0..<100 { exchange.deliver(.notification(method: "n", params: large)) }
        let question = try #require(ServerQuestion(method: "roots/list", params: nil))
        #expect(exchange.pose(question, as: MessageID(1)) == nil)
        exchange.deliver(try Self.result(-1))
        var (notes, questions) = (0, 0)
        while let event = try await exchange.next() {
            if case .notification = event { notes += 1 }
            if case .question = event { questions += 1 }
        }
        #expect(notes == 4)
        #expect(questions == 1)
    }

    @Test func `it is crowded long before it drops anything, until half of what waits was taken`() async throws {
        let exchange = exchange()
        let resumed = Shared(0)
        for number in 0..<Exchange.crowd { exchange.deliver(try Self.note(number)) }
        #expect(!exchange.isCrowded { resumed.change { $0 += 1 } })
        exchange.deliver(try Self.note(Exchange.crowd))
        #expect(exchange.isCrowded { resumed.change { $0 += 1 } })
        for _ in 0...Exchange.crowd / 2 - 1 { _ = try await exchange.next() }
        #expect(resumed.current == 0)
        _ = try await exchange.next()
        #expect(resumed.current == 1)
        while resumed.current == 1, Self.number(try await exchange.next()) != Int64(Exchange.crowd) {}
        #expect(resumed.current == 1)
    }

    @Test func `few large events crowd it too, questions among them`() async throws {
        let text = JSONText.string(String(repeating: "x", count: Exchange.crowdBytes))
        let params = try JSON(parsing: JSONText.object([("message", text)]).bytes)
        let (first, second) = (exchange(), exchange())
        first.deliver(.notification(method: "n", params: params))
        #expect(first.isCrowded {})
        let question = try #require(ServerQuestion(method: "elicitation/create", params: params))
        #expect(second.pose(question, as: MessageID(1)) == nil)
        #expect(second.isCrowded {})
        second.withdraw(MessageID(1))
        #expect(!second.isCrowded {})
    }

    @Test func `of questions no more waits than a few MiB`() async throws {
        let exchange = exchange()
        let params = try JSON(parsing: JSONText.object([("message", .string(String(repeating: "x", count: 3 << 20)))]).bytes)
        let question = try #require(ServerQuestion(method: "elicitation/create", params: params))
        #expect(exchange.pose(question, as: MessageID(1)) == nil)
        #expect(exchange.pose(question, as: MessageID(2)) != nil)
        _ = try await exchange.next()
        #expect(exchange.pose(question, as: MessageID(2)) == nil)
    }

    @Test func `one that ends is crowded no more, however it ends`() async throws {
        for isAnswered in [true, false] {
            let exchange = exchange()
            let resumed = Shared(0)
            for number in 0..<200 { exchange.deliver(try Self.note(number)) }
            #expect(exchange.isCrowded { resumed.change { $0 += 1 } })
            if isAnswered { exchange.deliver(try Self.result()) } else { exchange.fail(.lost("gone")) }
            #expect(!exchange.isCrowded {})
            if isAnswered { _ = try await exchange.next() }
            #expect(resumed.current == 1)
        }
    }

    @Test func `beyond its bound it drops notifications, never the response`() async throws {
        let exchange = exchange()
        for number in 1...1000 { exchange.deliver(try Self.note(number)) }
        exchange.deliver(try Self.result(-1))
        var taken: [Int64?] = []
        while let event = try await exchange.next() { taken.append(Self.number(event)) }
        #expect(taken == (1...256).map { Int64($0) } + [-1])
    }

    @Test(arguments: [
        Exchange.Patience(idle: .milliseconds(20), total: .seconds(1000)), Exchange.Patience(idle: .seconds(1000), total: .milliseconds(20)),
        Exchange.Patience(idle: .zero, total: .zero),
    ])
    func `time runs out by itself and is told to the server's side once`(_ patience: Exchange.Patience) async throws {
        let exchange = exchange(patience)
        let count = Shared(0)
        exchange.onAbandon { count.change { $0 += 1 } }
        await #expect(throws: UpstreamFailure.timedOut(min(patience.idle, patience.total))) { try await exchange.next() }
        exchange.abandon(.abandoned)
        #expect(count.current <= 1)
    }

    @Test func `cancelling the waiting task abandons, and the server's side is told`() async throws {
        let exchange = exchange()
        let told = Signal()
        exchange.onAbandon { told.fire() }
        await withTaskGroup(of: Void.self) { group in
            group.addImmediateTask { await #expect(throws: UpstreamFailure.abandoned) { try await exchange.next() } }
            group.cancelAll()
        }
        await told.wait()
        #expect(exchange.isOver)
        exchange.deliver(try Self.result())
        await #expect(throws: UpstreamFailure.abandoned) { try await exchange.next() }
    }

    @Test func `a task that was cancelled before it asks gets no event that comes later`() async throws {
        let exchange = exchange()
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask { await #expect(throws: UpstreamFailure.abandoned) { try await exchange.next() } }
        }
    }

    @Test func `abandoning after the response tells nobody`() async throws {
        let exchange = exchange()
        let count = Shared(0)
        exchange.onAbandon { count.change { $0 += 1 } }
        exchange.deliver(try Self.result(3))
        exchange.abandon(.abandoned)
        #expect(count.current == 0)
        #expect(Self.number(try await exchange.next()) == 3)
    }

    @Test func `whoever learns too late what to do on abandonment does it at once`() {
        let exchange = exchange()
        exchange.abandon(.abandoned)
        let count = Shared(0)
        exchange.onAbandon { count.change { $0 += 1 } }
        #expect(count.current == 1)
    }

    @Test func `a response read over others is the answer`() async throws {
        let exchange = exchange()
        exchange.deliver(try Self.note(1))
        exchange.deliver(.response(.failure(ProtocolError(code: 1, message: "no"))))
        guard case .failure(let error) = try await exchange.response() else {
            Issue.record("not the error")
            return
        }
        #expect(error == ProtocolError(code: 1, message: "no"))
    }
}

struct UpstreamFailureTests {
    @Test(arguments: [
        UpstreamFailure.unreachable("x"), .rejected(status: 400, error: nil), .rejected(status: 404, error: nil), .rejected(status: 429, error: nil),
    ])
    func `what was not taken up cannot have acted`(_ failure: UpstreamFailure) { #expect(!failure.mayHaveActed) }

    @Test(arguments: [UpstreamFailure.lost("x"), .timedOut(.seconds(1)), .garbled("x"), .abandoned])
    func `what was sent may have acted`(_ failure: UpstreamFailure) { #expect(failure.mayHaveActed) }
}
