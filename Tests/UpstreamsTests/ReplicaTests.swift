import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

extension Upstream {
    /// One with as many endpoints as there are URLs.
    fileprivate convenience init(
        _ urls: [String], weight: Int = 1, weights: [Int] = [], strategy: BalancingStrategy = .roundRobin, era: EraChoice = .auto,
        time: Shared<Int64>? = nil
    ) throws {
        let replicas = urls.dropFirst().enumerated().map { ServerReplica(endpoint: $1, weight: weights.isEmpty ? 1 : weights[$0]) }
        let record = ServerRecord(
            id: ServerID(1), tenant: TenantID(1), owner: UserID(1), alias: ServerAlias("s")!, title: "S",
            transport: .http(endpoint: try #require(urls.first)), weight: weight, replicas: Array(replicas), strategy: strategy, status: .active,
            era: era, tags: [],
            createdAt: Timestamp(microseconds: 0), updatedAt: Timestamp(microseconds: 0))
        let now: @Sendable () -> Moment = {
            let seconds = time?.current ?? 0
            return Moment(wall: Timestamp(microseconds: seconds * 1_000_000), boot: BootInstant(nanoseconds: seconds * 1_000_000_000))
        }
        self.init(record, surroundings: try .testing(now: now))
    }

    fileprivate var states: [ReplicaCondition.State] { replicaConditions.map(\.state) }
}

/// Says which of several servers it is.
private func named(_ name: String) -> ScriptedServer.Script {
    { _, reply in try await reply.result(["content": [], "structuredContent": ["at": .string(name)]]) }
}

/// Hangs up on calls, and answers everything else.
private let broken: ScriptedServer.Script = { request, reply in
    if request.rpc == "tools/call" { throw ScriptedServer.Hangup() }
    try await reply.result(["tools": []])
}

private func running(
    _ first: @escaping ScriptedServer.Script, _ second: @escaping ScriptedServer.Script, _ body: (ScriptedServer, ScriptedServer) async throws -> Void
) async throws {
    try await ScriptedServer.running(first) { first in
        try await ScriptedServer.running(second) { second in try await body(first, second) }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct ReplicaTests {
    private func places(_ upstream: Upstream, _ calls: Int, users: Int64 = 1) async throws -> [String] {
        var places: [String] = []
        for call in 0..<calls {
            let answer = try await upstream.ask(as: Int64(call) % users + 1)
            places.append(answer["structuredContent"]?["at"]?.string ?? "")
        }
        return places
    }

    @Test func `the first endpoint gets as much of the work as its weight says`() async throws {
        try await running(ScriptedServer.modern(named("a")), ScriptedServer.modern(named("b"))) { first, second in
            let upstream = try Upstream([first.url, second.url], weight: 3, strategy: .weighted)
            #expect(upstream.replicaConditions.map(\.weight) == [3, 1])
            #expect(try await places(upstream, 8).count { $0 == "a" } == 6)
        }
    }

    @Test func `the requests of one conversation without a handshake go round`() async throws {
        try await running(ScriptedServer.modern(named("a")), ScriptedServer.modern(named("b"))) { first, second in
            let upstream = try Upstream([first.url, second.url])
            let places = try await places(upstream, 6)
            #expect(places.sorted() == ["a", "a", "a", "b", "b", "b"])
        }
    }

    @Test func `a conversation with a handshake stays where it was begun, and the next one begins elsewhere`() async throws {
        try await running(ScriptedServer.legacy(session: "x", named("a")), ScriptedServer.legacy(session: "y", named("b"))) { first, second in
            let upstream = try Upstream([first.url, second.url])
            let places = try await places(upstream, 8, users: 2)
            #expect(Set([places[0], places[1]]) == ["a", "b"])
            #expect(places == [places[0], places[1], places[0], places[1], places[0], places[1], places[0], places[1]])
            #expect(Set(first.requests("tools/call").map { $0.headers["Mcp-Session-Id"] }) == [["x"]])
            #expect(upstream.replicaConditions.map(\.conversations) == [1, 1])
        }
    }

    @Test func `a request goes where its state was made, unless that place is down`() async throws {
        try await running(ScriptedServer.modern(broken), ScriptedServer.modern(named("b"))) { first, second in
            let upstream = try Upstream([first.url, second.url])
            for _ in 0..<5 {
                let call = try await upstream.start(preferring: 1)
                #expect(call.replica == 1)
                #expect(try await call.answer().get()["structuredContent"]?["at"]?.string == "b")
            }
            #expect(first.requests("tools/call").isEmpty)
            for _ in 0..<3 { _ = try? await upstream.start(preferring: 0).answer() }
            #expect(upstream.states == [.open, .closed])
            #expect(try await upstream.start(preferring: 0).answer().get()["structuredContent"]?["at"]?.string == "b")
            #expect(try await upstream.start(preferring: 17).answer().get()["structuredContent"]?["at"]?.string == "b")
        }
    }

    @Test func `a call that could not be sent goes elsewhere, whatever it does`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(named("b"))) { server in
            let upstream = try Upstream([server.url, "http://127.0.0.1:1/mcp"])
            let answering = try await places(upstream, 4)
            #expect(Set(answering) == ["b"])
        }
    }

    @Test func `each user's requests keep to one place by the hash`() async throws {
        try await running(ScriptedServer.modern(named("a")), ScriptedServer.modern(named("b"))) { first, second in
            let upstream = try Upstream([first.url, second.url], strategy: .consistentHash)
            let places = try await places(upstream, 40, users: 10)
            for user in 0..<10 { #expect(Set(stride(from: user, to: 40, by: 10).map { places[$0] }).count == 1) }
        }
    }

    // MARK: Circuits

    @Test func `after three faults a call is refused at once, and told when to come back`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(broken)) { server in
            let time = Shared<Int64>(0)
            let upstream = try Upstream([server.url], time: time)
            for _ in 0..<3 { #expect(await failure { try await upstream.ask() }?.kind == "lost") }
            let failure = await failure { try await upstream.ask() }
            guard case .resting(let reason, .seconds(1)) = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
            #expect(reason.contains("circuit is open"))
            #expect(failure?.mayHaveActed == false)
            #expect(server.requests("tools/call").count == 3)
            #expect(upstream.states == [.open])
            #expect(upstream.replicaConditions[0].openedAt == Timestamp(microseconds: 0))

            time.change { $0 = 1 }
            #expect(upstream.states == [.halfOpen])
            // Listing works, so the circuit closes.
            _ = try await upstream.list(.tools)
            #expect(upstream.states == [.closed])
        }
    }

    @Test func `an error is an answer, and opens no circuit`() async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { _, reply in try await reply.error(-32000, "No", status: "500 Internal Server Error") }
        ) { server in
            let upstream = try Upstream([server.url])
            for _ in 0..<10 { #expect(try await upstream.start().answer().failure?.code == -32000) }
            #expect(upstream.states == [.closed])
        }
    }

    @Test func `what everybody sees of a replica is one, and a conversation on a dead one moves`() async throws {
        try await running(ScriptedServer.legacy(broken), ScriptedServer.legacy(named("b"))) { first, second in
            let upstream = try Upstream([first.url, second.url])
            // The first user's conversation is at the broken one, and the others' calls count with theirs.
            for user: Int64 in [1, 3, 5] { _ = await failure { try await upstream.ask(as: user) } }
            for user: Int64 in [1, 3, 5] { _ = await failure { try await upstream.ask(as: user) } }
            for user: Int64 in [1, 3, 5] { _ = await failure { try await upstream.ask(as: user) } }
            #expect(upstream.states == [.open, .closed])
            for user in 1...6 as ClosedRange<Int64> {
                #expect(try await upstream.ask(as: user)["structuredContent"]?["at"]?.string == "b")
            }
        }
    }

    @Test func `a conversation is begun elsewhere when one place cannot be reached`() async throws {
        for era in [EraChoice.legacy, .auto] {
            try await ScriptedServer.running(ScriptedServer.legacy(named("b"))) { server in
                let upstream = try Upstream(["http://127.0.0.1:1/mcp", server.url], era: era)
                for user in 1...4 as ClosedRange<Int64> {
                    #expect(try await upstream.ask(as: user)["structuredContent"]?["at"]?.string == "b")
                }
            }
        }
    }

    // MARK: Second tries

    @Test func `a list that is lost at one place is asked for at another`() async throws {
        let hangup: ScriptedServer.Script = { _, _ in throw ScriptedServer.Hangup() }
        let list: ScriptedServer.Script = { _, reply in try await reply.result(["tools": [["name": "echo"]]]) }
        for (first, second) in [
            (ScriptedServer.modern(hangup), ScriptedServer.modern(list)), (ScriptedServer.legacy(hangup), ScriptedServer.legacy(list)),
        ] {
            try await running(first, second) { first, second in
                let upstream = try Upstream([first.url, second.url])
                for _ in 0..<4 { #expect(try await upstream.list(.tools).count == 1) }
                #expect(first.requests("tools/list").count + second.requests("tools/list").count >= 5)
            }
        }
    }

    @Test(arguments: [false, true])
    func `only a tool that may be called twice is called again, once, and elsewhere`(_ isIdempotent: Bool) async throws {
        try await running(ScriptedServer.modern(broken), ScriptedServer.modern(broken)) { first, second in
            let upstream = try Upstream([first.url, second.url])
            #expect(await failure { try await upstream.start(isIdempotent: isIdempotent).answer() }?.kind == "lost")
            let counts = [first, second].map { $0.requests("tools/call").count }
            #expect(counts.sorted() == [isIdempotent ? 1 : 0, 1])
        }
        // The first is asked what it is, so the second is called.
        try await running(ScriptedServer.modern(named("b")), ScriptedServer.modern(broken)) { first, second in
            let upstream = try Upstream([first.url, second.url])
            let answer = try? await upstream.start(isIdempotent: isIdempotent).answer().get()
            #expect(answer?["structuredContent"]?["at"]?.string == (isIdempotent ? "b" : nil))
        }
    }

    @Test func `a tool that has said something is not called again`() async throws {
        let halfway: ScriptedServer.Script = { request, reply in
            try await reply.startEvents()
            try await reply.event(
                Message.notification(
                    method: "notifications/progress",
                    params: ["progressToken": request.json?["params"]?["_meta"]?["progressToken"]?.text, "progress": 1]))
            throw ScriptedServer.Hangup()
        }
        try await running(ScriptedServer.modern(named("b")), ScriptedServer.modern(halfway)) { first, second in
            let upstream = try Upstream([first.url, second.url])
            #expect(await failure { try await upstream.start(token: 1, isIdempotent: true).answer() }?.kind == "lost")
            #expect(second.requests("tools/call").count == 1)
            #expect(first.requests("tools/call").isEmpty)
        }
    }

    @Test(arguments: [
        ("tools/list", false, true, true), ("resources/read", false, true, true), ("prompts/get", false, true, true),
        ("completion/complete", false, true, true), ("resources/templates/list", false, true, true), ("tools/call", true, true, true),
        ("tools/call", false, true, false), ("tasks/cancel", true, true, false), ("resources/subscribe", false, true, false),
        ("whatever/else", true, true, false),
    ])
    func `what may be asked for twice`(_ method: String, _ isMarked: Bool, _ afterUnreachable: Bool, _ afterLost: Bool) {
        let repetition = Repetition(method: method, isMarked: isMarked)
        for (failure, expected) in [
            (UpstreamFailure.unreachable("x"), afterUnreachable), (.resting("x", retryAfter: .zero), afterUnreachable), (.lost("x"), afterLost),
            (.timedOut(.zero), false), (.garbled("x"), false), (.abandoned, false), (.signedOut, false), (.credential("x"), false),
            (.rejected(status: 503, error: nil), false), (.turnedAway(TurnedAway(mark: 1)), false),
        ] {
            #expect(repetition.isAllowed(after: failure, times: 0, hasSpoken: false, hasOther: true) == expected, "\(failure)")
            #expect(!repetition.isAllowed(after: failure, times: 1, hasSpoken: false, hasOther: true))
            #expect(!repetition.isAllowed(after: failure, times: 0, hasSpoken: true, hasOther: true))
            #expect(!repetition.isAllowed(after: failure, times: 0, hasSpoken: false, hasOther: false))
        }
    }

    // MARK: Looks

    @Test func `an idle replica is looked at without a session, and what is found is its breaker's`() async throws {
        try await running(ScriptedServer.modern(named("a")), ScriptedServer.legacy(session: "x", named("b"))) { modern, legacy in
            for (server, methods) in [(modern, ["server/discover"]), (legacy, [])] {
                let time = Shared<Int64>(0)
                let upstream = try Upstream([server.url], time: time)
                _ = try await upstream.ask()
                let before = server.asked
                #expect(upstream.dueReplicas.isEmpty)
                time.change { $0 = 40 }
                for replica in upstream.dueReplicas { await upstream.look(at: replica) }
                #expect(Array(server.asked.dropFirst(before.count)) == methods)
                #expect(upstream.dueReplicas.isEmpty)
            }
        }
    }

    @Test func `looks open the circuit of a replica that is gone and close that of one that is back`() async throws {
        let time = Shared<Int64>(0)
        let upstream = try Upstream(["http://127.0.0.1:1/mcp"], time: time)
        for second: Int64 in [40, 80, 120] {
            time.change { $0 = second }
            for replica in upstream.dueReplicas { await upstream.look(at: replica) }
        }
        #expect(upstream.states == [.open])
        #expect(upstream.replicaConditions[0].lastFault?.reason.contains("refused") == true)
    }

    @Test func `a replica that only takes connections is not taken for well`() async throws {
        try await ScriptedServer.running(ScriptedServer.legacy(broken)) { server in
            let time = Shared<Int64>(0)
            let upstream = try Upstream([server.url], time: time)
            for _ in 0..<3 { _ = await failure { try await upstream.ask() } }
            time.change { $0 = 1 }
            for replica in upstream.dueReplicas { await upstream.look(at: replica) }
            #expect(upstream.states == [.halfOpen])
        }
    }

    @Test func `as many replicas as are due are looked at while the prober runs`() async throws {
        let looked = Signal()
        try await ScriptedServer.running(ScriptedServer.modern(named("a"))) { server in
            let time = Shared<Int64>(0)
            let upstream = try Upstream([server.url], era: .modern, time: time)
            time.change { $0 = 40 }
            let prober = HealthProber { [upstream] }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await prober.run() }
                #expect(await server.arrival(of: "server/discover") != nil)
                looked.fire()
                group.cancelAll()
            }
        }
        await looked.wait()
    }
}
