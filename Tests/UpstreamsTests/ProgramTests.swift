import Foundation
import Gateway
import MCP
import NIOCore
import Pacing
import ServiceLifecycle
import Testing

@testable import Upstreams

/// Small servers written in Python, run without a shell from a folder of their own.
private struct Programs {
    /// What every server here begins with: it reads questions and introduces itself as modern.
    static let prelude = """
        import json, os, signal, socket, subprocess, sys, time

        def send(message):
            sys.stdout.write(json.dumps(message) + "\\n")
            sys.stdout.flush()

        def answer(question, result):
            send({"jsonrpc": "2.0", "id": question["id"], "result": result})

        def text(question, **members):
            answer(question, {"content": [], "structuredContent": members})

        def alive(program):
            \"""The text of a program that tells the test it lives by a connection, and ends with it.\"""
            return "import socket,sys,time; s=socket.create_connection(('127.0.0.1',int(sys.argv[1]))); " \\
                "s.sendall(b'POST /alive HTTP/1.1\\\\r\\\\nContent-Length: 0\\\\r\\\\n\\\\r\\\\n'); " + program

        def questions():
            for line in sys.stdin:
                question = json.loads(line)
                if question.get("method") == "server/discover":
                    answer(question, {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
                else:
                    yield question

        def elders(**offer):
            for line in sys.stdin:
                question = json.loads(line)
                if question.get("method") == "server/discover":
                    send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "Method not found"}})
                elif question.get("method") == "initialize":
                    declared = question["params"]["capabilities"]
                    answer(question, {"protocolVersion": "2025-11-25", "capabilities": offer, "serverInfo": {"name": "old", "version": "1"}})
                elif question.get("method") != "notifications/initialized":
                    yield question

        """

    let folder: URL
    let surroundings: UpstreamSurroundings

    func server(
        _ program: String, arguments: [String] = [], environment: [String: String] = [:], sealed: [String] = [], isShared: Bool = false,
        era: EraChoice = .auto
    )
        throws -> Upstream
    {
        let file = folder.appending(path: "\(UUID()).py")
        try Data((Self.prelude + program).utf8).write(to: file)
        let command = StdioCommand(
            path: "/usr/bin/python3", arguments: ["-I", "-S", file.path] + arguments, environment: environment,
            sealedNames: sealed, isShared: isShared)
        return Upstream(.stdio(command), era: era, surroundings: surroundings)
    }

    /// Everything runs while the body does, then is shut down as the program does it.
    static func running(
        environment: [String: String] = [:], sealed: [String: Secret<String>] = [:], chatter: Chatter.Bound = .standard,
        notice: @escaping @Sendable (ServerID, UpstreamNotice) -> Void = { _, _ in },
        rested: @escaping @Sendable (ServerRecord, String) -> Void = { _, _ in }, _ body: (Programs) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mreg-tests-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let keeper = ProcessKeeper()
        let group = ServiceGroup(services: [keeper], logger: .quiet)
        let programs = Programs(
            folder: folder,
            surroundings: try .testing(keeper: keeper, environment: environment, sealed: sealed, chatter: chatter, notice: notice, rested: rested))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            do { try await body(programs) } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

/// Hears of a process by its connection, which ends with it.
private struct Witness {
    let isThere = Signal()
    let isGone = Signal()

    func watching(_ body: (_ port: Int) async throws -> Void) async throws {
        try await ScriptedServer.running { _, reply in
            isThere.fire()
            await reply.closedByPeer()
            isGone.fire()
        } _: { server in
            try await body(server.port)
        }
    }
}

private let echo = """
    for question in questions():
        if "id" in question:
            text(question, pid=os.getpid(), **question.get("params", {}).get("arguments", {}))
    """

@Suite(.timeLimit(.minutes(1)), .serialized)
struct ProgramTests {
    @Test func `a program is asked in lines and answers in lines`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(echo)
            let answer = try await upstream.ask("echo", ["word": "grüße 👋\nzwei"])
            #expect(answer["structuredContent"]?["word"]?.string == "grüße 👋\nzwei")
            #expect(upstream.revision == .july2026)
        }
    }

    @Test func `a line break between the tokens of a request does not end it`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(echo)
            let spread = try JSON(parsing: Array("{\n\"word\":\r\n\"hello\"\n}".utf8)).text
            #expect(try await upstream.ask("echo", spread)["structuredContent"]?["word"]?.string == "hello")
        }
    }

    // MARK: Eras

    private static let handshake = """
        for question in (json.loads(line) for line in sys.stdin):
            if question["method"] == "server/discover":
                PROBED
            elif question["method"] == "initialize":
                answer(question, {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}})
            elif question["method"] == "tools/call":
                text(question, meta=question["params"].get("_meta"))
        """

    @Test(arguments: [
        #"send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "Method not found"}})"#,
        #"send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32602, "message": "Invalid request parameters"}})"#,
        #"answer(question, {})"#,
    ])
    func `a program that does not know the probe gets the handshake`(_ probed: String) async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(Self.handshake.replacing("PROBED", with: probed))
            #expect(try await upstream.ask()["structuredContent"]?["meta"]?.isNull == true)
            #expect(upstream.revision == .june2025)
        }
    }

    /// Waits out the probe's ten seconds: nothing but time tells silence from a slow answer.
    @Test func `a program that says nothing to the probe gets the handshake`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(Self.handshake.replacing("PROBED", with: "pass"))
            _ = try await upstream.ask()
            #expect(upstream.revision == .june2025)
        }
    }

    // MARK: What it says besides

    @Test func `a banner and blank lines are passed over`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server("print('Welcome!\\n\\n  \\n[INFO] {\"jsonrpc\"' * 10, flush=True)\n" + echo)
            #expect(try await upstream.ask("echo", ["word": "hello"])["structuredContent"]?["word"]?.string == "hello")
        }
    }

    @Test func `a program that talks nonsense without end is given up, and the reason says so`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    for _ in range(300):
                        print("nonsense", flush=True)
                """)
            let failure = await failure { try await upstream.ask() }
            #expect(failure?.kind == "lost")
            #expect(failure?.reason.contains("not MCP") == true)
        }
    }

    @Test func `answers to nobody and second answers reach nobody`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    n = question["params"]["arguments"]["n"]
                    for id in (999, str(question["id"]), None, question["id"] + 1, question["id"], question["id"]):
                        send({"jsonrpc": "2.0", "id": id, "result": {"content": [], "structuredContent": {"n": n}}})
                """)
            for number in 0..<5 {
                #expect(try await upstream.ask("echo", ["n": .number(number)])["structuredContent"]?["n"]?.integer == Int64(number))
            }
            // The last answer is still followed by its double.
            #expect(upstream.strayMessages >= 24)
        }
    }

    @Test func `two hundred calls with the same id, answered backwards, each get their own answer`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                waiting = []
                for question in questions():
                    waiting.append(question)
                    if len(waiting) == 200:
                        for waiter in reversed(waiting):
                            text(waiter, n=waiter["params"]["arguments"]["n"])
                """, isShared: true)
            try await withThrowingTaskGroup(of: (Int, Int64?).self) { group in
                for number in 0..<200 {
                    group.addTask {
                        (
                            number,
                            try await upstream.ask("echo", ["n": .number(number)], as: Int64(number % 8), id: "same")["structuredContent"]?["n"]?
                                .integer
                        )
                    }
                }
                for try await (asked, answered) in group { #expect(answered == Int64(asked)) }
            }
        }
    }

    @Test func `progress reaches the call it belongs to and no other`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                waiting = []
                for question in questions():
                    waiting.append(question)
                    if len(waiting) == 2:
                        for waiter in waiting:
                            token = waiter["params"]["_meta"]["progressToken"]
                            send({"jsonrpc": "2.0", "method": "notifications/progress",
                                "params": {"progressToken": token, "progress": waiter["params"]["arguments"]["n"]}})
                        send({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 12345, "progress": 9}})
                        for waiter in waiting:
                            text(waiter)
                """)
            let calls = [try await upstream.start("echo", ["n": 0], token: "same"), try await upstream.start("echo", ["n": 1], token: "same")]
            for (number, call) in calls.enumerated() {
                guard case .progress(let params) = try await call.next() else {
                    Issue.record("no progress")
                    continue
                }
                #expect(params["progress"]?.integer == Int64(number))
                guard case .answer = try await call.next() else {
                    Issue.record("no answer")
                    continue
                }
            }
        }
    }

    @Test(arguments: [("ping", "result"), ("elicitation/create", "error")])
    func `a question of the program is answered`(_ method: String, _ member: String) async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                for question in elders():
                    if question.get("method") == "tools/call":
                        send({"jsonrpc": "2.0", "id": "q1", "method": sys.argv[1], "params": {}})
                        call = question
                    elif question["id"] == "q1":
                        text(call, members=sorted(question))
                """, arguments: [method])
            let members = try await upstream.ask()["structuredContent"]?["members"]?.elements.map(\.string)
            #expect(members?.contains(member) == true)
        }
    }

    /// The stateless era has no requests of servers, and no answers to them (P-3).
    @Test func `a program of the stateless era that asks is not answered`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    if "method" not in question:
                        send({"jsonrpc": "2.0", "id": "q2", "method": "ping"})
                    elif question["params"]["name"] == "ask":
                        send({"jsonrpc": "2.0", "id": "q1", "method": "ping"})
                        text(question)
                    else:
                        text(question, alone=True)
                """)
            _ = try await upstream.ask("ask")
            #expect(try await upstream.ask()["structuredContent"]?["alone"]?.bool == true)
        }
    }

    // MARK: Whose question it is

    /// Asks when as many calls are under way as there are to be, and answers all of them with what it was told.
    private static let asking = """
        waiting = []
        for question in elders():
            if question.get("method") == "tools/call":
                waiting.append(question)
                if len(waiting) == int(sys.argv[1]):
                    send({"jsonrpc": "2.0", "id": "q1", "method": "elicitation/create", "params": {"message": "?"}})
            elif question.get("id") == "q1":
                for call in waiting:
                    text(call, told=question.get("result", question.get("error")))
        """

    @Test func `a question of a user's own program belongs to the call sent last that can be asked it`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(Self.asking, arguments: ["2"])
            let first = try await upstream.start { $0.capabilities = .forms }
            let last = try await upstream.start { $0.capabilities = .forms }
            await last.answer(try await last.question().0, .success(["action": "accept"]))
            for call in [first, last] {
                guard case .answer(let result) = try await call.next() else {
                    Issue.record("something else was shown")
                    return
                }
                #expect(try result.get()["structuredContent"]?["told"]?["action"]?.string == "accept")
            }
        }
    }

    /// It has not been told of anybody's capabilities, and cannot say whom it asks.
    @Test(arguments: [1, 2])
    func `a question of a program of all users is put only if one call is under way`(_ count: Int) async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(Self.asking, arguments: [String(count)], isShared: true)
            var calls: [UpstreamCall] = []
            for user in 1...count { calls.append(try await upstream.start(as: Int64(user)) { $0.capabilities = .forms }) }
            if count == 1 { await calls[0].answer(try await calls[0].question().0, .success(["action": "accept"])) }
            for call in calls {
                guard case .answer(let result) = try await call.next() else {
                    Issue.record("something was shown")
                    return
                }
                let told = try result.get()["structuredContent"]?["told"]
                #expect(told?[count == 1 ? "action" : "code"] != nil)
            }
        }
    }

    @Test func `a stateless program is one for its user, whatever they can be asked; one with a handshake is not`() async throws {
        let pid = """
            for question in PRELUDE():
                text(question, pid=os.getpid())
            """
        try await Programs.running { programs in
            for (prelude, count) in [("questions", 1), ("elders", 2)] {
                let upstream = try programs.server(pid.replacing("PRELUDE", with: prelude))
                var seen: Set<Int64?> = []
                for capabilities in [.forms, .none, .forms] as [ClientCapabilities] {
                    seen.insert(try await upstream.start { $0.capabilities = capabilities }.answer().get()["structuredContent"]?["pid"]?.integer)
                }
                #expect(seen.count == count)
            }
        }
    }

    // MARK: Changes

    @Test func `a stateless program is listened to while it runs, and its streams are told apart`() async throws {
        let notes = Notes()
        try await Programs.running(notice: { _, notice in notes.take(notice) }) { programs in
            let upstream = try programs.server(
                """
                def note(method, stream, **params):
                    params["_meta"] = {"io.modelcontextprotocol/subscriptionId": stream}
                    send({"jsonrpc": "2.0", "method": "notifications/" + method, "params": params})

                for line in sys.stdin:
                    question = json.loads(line)
                    method = question.get("method")
                    if method == "server/discover":
                        answer(question, {"supportedVersions": ["2026-07-28"],
                            "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}}})
                    elif method == "subscriptions/listen":
                        wanted = question["params"]["notifications"]
                        note("subscriptions/acknowledged", question["id"], notifications=wanted)
                        if "resourceSubscriptions" in wanted:
                            note("resources/updated", question["id"] + 1000, uri="file:///a/stolen")
                            note("resources/updated", question["id"], uri="file:///a")
                        else:
                            note("tools/list_changed", "x")
                            note("tools/list_changed", question["id"])
                    elif method == "notifications/cancelled":
                        cancelled = question["params"]["requestId"]
                    elif method == "tools/call":
                        text(question)
                """)
            await upstream.listen(true)
            _ = try await upstream.ask()
            await notes.wait(for: .listChanged(.tools))
            try await upstream.subscribe("file:///a", for: .test(1))
            await notes.wait(for: .resourceUpdated(uri: "file:///a", user: UserID(1)))
            #expect(notes.all == [.listChanged(.tools), .resourceUpdated(uri: "file:///a", user: UserID(1))])
            await upstream.close()
        }
    }

    @Test func `a program with a handshake that starts anew is subscribed to anew`() async throws {
        let notes = Notes()
        try await Programs.running(notice: { _, notice in notes.take(notice) }) { programs in
            let upstream = try programs.server(
                """
                for question in elders(resources={"subscribe": True}):
                    if question["method"] == "resources/subscribe":
                        answer(question, {})
                        uri = question["params"]["uri"]
                        send({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri + "/" + str(os.getpid())}})
                    elif question["method"] == "tools/call":
                        sys.exit(0)
                """)
            try await upstream.subscribe("file:///a", for: .test(1))
            #expect(await failure { try await upstream.ask() }?.kind == "lost")
            // What may have been missed counts as changed.
            await notes.wait(for: .resourceUpdated(uri: "file:///a", user: UserID(1)))
            #expect(Set(notes.all).count >= 2)
            await upstream.close()
        }
    }

    // MARK: Going away

    @Test func `a program is told of an abandoned call, and its late answer goes nowhere`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    if question["method"] == "notifications/cancelled":
                        text(held)
                        text(asked, cancelled=question["params"]["requestId"], held=held["id"])
                    elif question["params"]["name"] == "hold":
                        held = question
                        send({"jsonrpc": "2.0", "method": "notifications/progress",
                            "params": {"progressToken": held["params"]["_meta"]["progressToken"], "progress": 1}})
                    else:
                        asked = question
                """)
            let held = try await upstream.start("hold", token: 1)
            _ = try await held.next()
            let asked = try await upstream.start("ask")
            held.abandon()
            let answer = try await asked.answer().get()
            #expect(answer["structuredContent"]?["cancelled"]?.integer == answer["structuredContent"]?["held"]?.integer)
            #expect(await failure { try await held.next() } == .abandoned)
        }
    }

    @Test(arguments: [("sys.exit(3)", "3"), ("os.kill(os.getpid(), signal.SIGKILL)", "9"), ("os._exit(0)", "0")])
    func `a call whose program ends is lost, and the reason names the end`(_ end: String, _ word: String) async throws {
        try await Programs.running { programs in
            let upstream = try programs.server("for question in questions():\n    \(end)")
            let failure = await failure { try await upstream.ask() }
            #expect(failure?.kind == "lost")
            #expect(failure?.mayHaveActed == true)
            #expect(failure?.reason.contains("ended") == true)
            #expect(failure?.reason.contains(word) == true)
        }
    }

    @Test func `after a program ended, the next call is refused for the pause and says how long`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server("for question in questions():\n    sys.exit(1)")
            _ = await failure { try await upstream.ask() }
            #expect(
                await failure { try await upstream.ask() } == .unreachable("its process keeps ending; it is started again in 1 s at the earliest"))
        }
    }

    @Test(arguments: [EraChoice.auto, .modern, .legacy])
    func `a program that is not there was sent nothing`(_ era: EraChoice) async throws {
        try await Programs.running { programs in
            let command = StdioCommand(path: "/nonexistent/server", arguments: [])
            let upstream = Upstream(.stdio(command), era: era, surroundings: programs.surroundings)
            let failure = try #require(await failure { try await upstream.ask() })
            #expect(!failure.mayHaveActed, "\(failure)")
        }
    }

    @Test func `an error to a list does not end the program and its other calls`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    if question["method"] == "tools/list":
                        send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "Method not found"}})
                    elif "id" in question:
                        text(question, pid=os.getpid())
                """, isShared: true)
            let before = try await upstream.ask()["structuredContent"]?["pid"]?.integer
            #expect(await failure { try await upstream.list(.tools) }?.kind == "rejected")
            #expect(try await upstream.ask()["structuredContent"]?["pid"]?.integer == before)
        }
    }

    // MARK: Talking without end

    /// What is written at full speed, beside whatever else the program does.
    private static let floods = [
        #"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"tick"}}"#,
        #"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"nobody's","progress":1}}"#,
        #"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#, #"{"jsonrpc":"2.0","method":"notifications/unheard-of"}"#,
        #"{"jsonrpc":"2.0","id":"x","method":"ping"}"#, #"{"jsonrpc":"2.0","id":999,"result":{}}"#, String(repeating: " ", count: 64),
    ]

    private static let flooding = """
        import queue, threading

        def hear():
            for line in sys.stdin:
                asked.put(json.loads(line))
            os._exit(0)

        asked, written = queue.SimpleQueue(), 0
        threading.Thread(target=hear, daemon=True).start()
        while True:
            try:
                question = asked.get_nowait()
            except queue.Empty:
                sys.stdout.write(sys.argv[1] + "\\n")
                sys.stdout.flush()
                written += len(sys.argv[1]) + 1
                continue
            if question.get("method") == "initialize":
                answer(question, {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}})
            elif question.get("method") == "tools/call":
                text(question, written=written)
        """

    @Test(arguments: floods)
    func `a program that talks without end has to wait, and its answers come all the same`(_ line: String) async throws {
        let (burst, pace) = (64 << 10, 256 << 10)
        try await Programs.running(chatter: Chatter.Bound(burst: burst, perSecond: pace, longest: .seconds(600))) { programs in
            let upstream = try programs.server(Self.flooding, arguments: [line], isShared: true, era: .legacy)
            let start = ContinuousClock.now
            var written = 0
            // Long enough for a program that need not wait to write a good deal more.
            while ContinuousClock.now < start + .seconds(1) {
                written = Int(try await upstream.ask()["structuredContent"]?["written"]?.integer ?? .max)
            }
            let elapsed = Double((ContinuousClock.now - start).components.seconds + 1)
            // What fits into the pipe and the one piece that is read at a time was written, and not counted yet.
            #expect(written <= burst + Int(elapsed * Double(pace)) + 2 * 64 << 10)
            #expect(upstream.complaint == nil)
        }
    }

    @Test func `a program that talks without end for too long is ended, and started again only after a pause`() async throws {
        try await Programs.running(chatter: Chatter.Bound(burst: 4096, perSecond: 4096, longest: .milliseconds(500))) { programs in
            let upstream = try programs.server(
                "for question in questions():\n    while True:\n        send({'jsonrpc': '2.0', 'method': 'notifications/unheard-of'})")
            let first = await failure { try await upstream.ask() }
            #expect(first?.kind == "lost")
            #expect(first?.reason.contains("it talks without end, and nobody asked it to") == true)
            #expect(upstream.complaint?.contains("it talks without end") == true)
            #expect(
                await failure { try await upstream.ask() }
                    == .unreachable("its process keeps ending; it is started again in 1 s at the earliest"))
            #expect(upstream.complaint != nil)
            #expect(upstream.rest == nil)
        }
    }

    @Test func `what a call wants to hear is nobody's flood`() async throws {
        try await Programs.running(chatter: Chatter.Bound(burst: 4096, perSecond: 1, longest: .zero)) { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    token = question["params"]["_meta"]["progressToken"]
                    for step in range(1, 101):
                        send({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
                    text(question)
                """)
            let call = try await upstream.start(token: "t")
            var steps = 0
            while let event = try await call.next() { if case .progress = event { steps += 1 } }
            #expect(steps == 100)
        }
    }

    @Test(arguments: [true, false])
    func `who does not take what they wanted holds up a program of their own, and none that others share`(_ isShared: Bool) async throws {
        try await Programs.running(chatter: Chatter.Bound(burst: 4096, perSecond: 4096, longest: .milliseconds(500))) { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    token = question["params"]["_meta"].get("progressToken")
                    for step in range(2000 if token else 0):
                        send({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
                    text(question)
                """, isShared: isShared)
            let slow = try await upstream.start(token: "t")
            if isShared {
                _ = try await upstream.ask(as: 2)
                _ = try await slow.answer().get()
            } else {
                let failure = await failure { try await upstream.ask() }
                #expect(failure?.reason.contains("it talks without end") == true)
            }
            #expect((upstream.complaint == nil) == isShared)
        }
    }

    // MARK: Crashing

    @Test func `a program that crashes five times in a row is put to rest, says so once, and is started again when it is woken`() async throws {
        let told = Shared<[String]>([])
        try await Programs.running(rested: { server, why in told.change { $0.append("\(server.alias): \(why)") } }) { programs in
            let upstream = try programs.server("sys.exit(7)")
            for user in 1...5 {
                #expect(upstream.rest == nil)
                #expect(await failure { try await upstream.ask(as: Int64(user)) }?.mayHaveActed == false)
            }
            let rest = try #require(upstream.rest)
            #expect(rest.contains("5 of its processes") && rest.contains("7") && rest.contains("mreg server check"))
            for user in 6...9 { #expect(await failure { try await upstream.ask(as: Int64(user)) } == .unreachable(rest)) }
            #expect(upstream.errorOutput.count == 5)
            #expect(told.current == ["s: \(rest)"])

            #expect(upstream.wake())
            #expect(await failure { try await upstream.ask(as: 10) }?.kind == "unreachable")
            #expect(upstream.errorOutput.count == 6)
            #expect(upstream.rest == nil)
        }
    }

    @Test func `what callers send puts no program to rest, however often it ends over it`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server("for question in questions():\n    sys.exit(1)")
            for user in 1...7 { #expect(await failure { try await upstream.ask(as: Int64(user)) }?.kind == "lost") }
            #expect(upstream.rest == nil)
        }
    }

    @Test func `a program that runs only once is kept by whoever has it`() async throws {
        try await Programs.running { programs in
            let lock = programs.folder.appending(path: "lock").path
            let upstream = try programs.server(
                """
                import fcntl
                lock = open(sys.argv[1], "w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    sys.exit("somebody else has it")
                """ + "\n" + echo, arguments: [lock])
            let first = try await upstream.ask(as: 1)["structuredContent"]?["pid"]?.integer
            for user in 2...8 { #expect(await failure { try await upstream.ask(as: Int64(user)) }?.kind == "unreachable") }
            #expect(upstream.rest == nil)
            #expect(try await upstream.ask(as: 1)["structuredContent"]?["pid"]?.integer == first)
        }
    }

    @Test func `a process that the gateway ends has not crashed`() async throws {
        let told = Shared<[String]>([])
        try await Programs.running(rested: { _, why in told.change { $0.append(why) } }) { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    answer(question, {"tools": []})
                """)
            for _ in 1...7 {
                #expect(try await upstream.list(.tools).isEmpty)
                await upstream.conversations.closeIdle(keeping: [], after: .zero)
            }
            #expect(upstream.openings == 7)
            #expect(upstream.rest == nil)
        }
        // By now all of them have ended.
        #expect(told.current.isEmpty)
    }

    // MARK: Whose process

    @Test func `each user has a process of their own`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(echo)
            var seen: [Int64?] = []
            for user in [1, 2, 1, 2] as [Int64] { seen.append(try await upstream.ask(as: user)["structuredContent"]?["pid"]?.integer) }
            #expect(seen[0] == seen[2] && seen[1] == seen[3])
            #expect(seen[0] != seen[1])
        }
    }

    @Test func `a shared program is one process for everybody`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(echo, isShared: true)
            var seen: Set<Int64?> = []
            for user in 1...3 { seen.insert(try await upstream.ask(as: Int64(user))["structuredContent"]?["pid"]?.integer) }
            #expect(seen.count == 1)
        }
    }

    @Test func `a child sees the few names it may and what the operator added, nothing else of the gateway's`() async throws {
        let environment = [
            "PATH": "/usr/bin", "HOME": "/nowhere", "LANG": "C", "MREG_SIGNING_KEY": "secret", "LD_PRELOAD": "/evil.so", "AWS_SECRET": "x",
        ]
        try await Programs.running(environment: environment) { programs in
            let upstream = try programs.server(
                "for question in questions():\n    text(question, **dict(os.environ))", environment: ["TOKEN": "t=1", "HOME": "/operator"])
            let seen = try await upstream.ask()["structuredContent"]?.members.map { "\($0.name)=\($0.value.string ?? "")" }
            let isOurs: (String) -> Bool = { !$0.hasPrefix("LC_CTYPE=") }
            #expect(seen.map { Set($0.filter(isOurs)) } == ["PATH=/usr/bin", "HOME=/operator", "LANG=C", "TOKEN=t=1"])
        }
    }

    @Test func `sealed variables reach the program, and no secret of its environment is seen in what it writes to stderr`() async throws {
        var kept: Upstream?
        try await Programs.running(sealed: ["API_TOKEN": Secret("s3aled-value"), "OTHER": Secret("not-asked-for")]) { programs in
            let upstream = try programs.server(
                """
                for question in questions():
                    for part in ("sea", "t s3aled", "-value and op3n-value\\n", "MODE is fast\\n"):
                        os.write(2, part.encode())
                        time.sleep(0.01)
                    text(question, token=os.environ["API_TOKEN"], other=os.environ.get("OTHER", ""))
                """, environment: ["MY_PASSWORD": "op3n-value", "MODE": "fast"], sealed: ["API_TOKEN"])
            let seen = try await upstream.ask()["structuredContent"]
            #expect(seen?["token"]?.string == "s3aled-value")
            #expect(seen?["other"]?.string == "")
            kept = upstream
        }
        // By now the process has ended, and all of it was read.
        #expect(kept?.errorOutput.map(\.text) == ["seat [hidden] and [hidden]\nMODE is fast\n"])
        #expect(kept?.errorOutput.map(\.user) == [UserID(1)])
    }

    @Test func `a program whose sealed variables are missing is not started`() async throws {
        try await Programs.running { programs in
            let upstream = try programs.server(echo, sealed: ["API_TOKEN"])
            let failure = await failure { try await upstream.ask() }
            #expect(failure?.kind == "unreachable")
            #expect(failure?.reason.contains("API_TOKEN") == true)
            #expect(upstream.errorOutput.isEmpty)
        }
    }

    @Test func `a program that nobody used for a while is ended, also one that only listed`() async throws {
        for use: @Sendable (Upstream) async throws -> Void in [{ _ = try await $0.ask() }, { _ = try? await $0.list(.tools) }] {
            let witness = Witness()
            try await witness.watching { port in
                try await Programs.running { programs in
                    let upstream = try programs.server("exec(alive('pass'))\n" + echo, arguments: [String(port)])
                    try await use(upstream)
                    await witness.isThere.wait()
                    await upstream.closeIdle()
                    #expect(upstream.conversations.opened.count == 1)
                    await upstream.conversations.closeIdle(keeping: [], after: .zero)
                    await witness.isGone.wait()
                    #expect(!Task.isCancelled)
                    #expect(upstream.conversations.opened.isEmpty)
                    #expect(upstream.openings == 1)
                }
            }
        }
    }

    @Test func `arguments reach the program as they are, for there is no shell`() async throws {
        let arguments = ["a b", "$HOME", "; exit 1", "*", "\"", ""]
        try await Programs.running { programs in
            let upstream = try programs.server("for question in questions():\n    text(question, arguments=sys.argv[1:])", arguments: arguments)
            #expect(try await upstream.ask()["structuredContent"]?["arguments"]?.elements.map(\.string) == arguments)
        }
    }

    // MARK: Ending

    /// How a child's own child keeps, or does not keep, what it inherited.
    @Test(arguments: ["stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL", "", "stderr=subprocess.DEVNULL"])
    func `closing ends the whole process group`(_ handles: String) async throws {
        let witness = Witness()
        try await witness.watching { port in
            try await Programs.running { programs in
                let upstream = try programs.server(
                    """
                    subprocess.Popen([sys.executable, "-I", "-S", "-c", alive("s.recv(1)"), sys.argv[1]], stdin=subprocess.DEVNULL, \(handles))
                    """ + "\n" + echo, arguments: [String(port)])
                _ = try await upstream.ask()
                await witness.isThere.wait()
                await upstream.close()
                await witness.isGone.wait()
                #expect(!Task.isCancelled)
            }
        }
    }

    @Test(arguments: [
        "", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "os.close(1); os.close(2)", "os.close(1)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.close(2)",
    ])
    func `closing ends a program that does not go by itself`(_ stubbornness: String) async throws {
        let witness = Witness()
        try await witness.watching { port in
            try await Programs.running { programs in
                let upstream = try programs.server(
                    """
                    for question in questions():
                        text(question)
                        break
                    \(stubbornness.replacing("; ", with: "\n"))
                    exec(alive("s.recv(1)"))
                    """, arguments: [String(port)])
                _ = try await upstream.ask()
                await witness.isThere.wait()
                await upstream.close()
                await witness.isGone.wait()
                #expect(!Task.isCancelled)
            }
        }
    }

    @Test func `stopping the keeper ends every process, and no more are taken`() async throws {
        let witness = Witness()
        try await witness.watching { port in
            var kept: Upstream?
            try await Programs.running { programs in
                let upstream = try programs.server("exec(alive('pass'))\n" + echo, arguments: [String(port)])
                _ = try await upstream.ask()
                // A connection that is closed before it is served is seen by nobody.
                await witness.isThere.wait()
                kept = upstream
            }
            await witness.isGone.wait()
            #expect(!Task.isCancelled)
            let upstream = try #require(kept)
            #expect(await failure { try await upstream.ask(as: 2) } == .unreachable("the gateway is stopping"))
        }
    }
}

struct RestartsTests {
    @Test(arguments: [(1, 1), (2, 1), (3, 2), (4, 4), (8, 60), (50, 60)])
    func `each end soon after a start lengthens the pause, up to a minute`(_ ends: Int, _ seconds: Int) throws {
        let restarts = Restarts()
        try restarts.admit()
        for _ in 0..<ends { restarts.ended() }
        #expect(throws: UpstreamFailure.unreachable("its process keeps ending; it is started again in \(seconds) s at the earliest")) {
            try restarts.admit()
        }
    }

    @Test func `the first start is at once`() throws { try Restarts().admit() }

    @Test func `whoever wants it tried again waits for no pause, and those after them do`() throws {
        let restarts = Restarts()
        try restarts.admit()
        for _ in 0..<8 { restarts.ended() }
        try restarts.admit(after: 1)
        restarts.ended()
        #expect(throws: UpstreamFailure.unreachable("its process keeps ending; it is started again in 1 s at the earliest")) {
            try restarts.admit(after: 1)
        }
    }
}
