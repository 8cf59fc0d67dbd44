import Access
import Gateway
import Logging
import MCP
import NIOCore
import NIOPosix
import Pacing
import Synchronization
import Testing

@testable import Upstreams

extension Logger {
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// Something that happens once, told from one task to another.
final class Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func fire() { continuation.finish() }

    /// Returns when it happened or the waiting task is cancelled.
    func wait() async { for await _ in stream {} }
}

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }

    var current: Value { value.withLock { $0 } }
    func change<Found: Sendable>(_ change: @Sendable (inout Value) -> Found) -> Found { value.withLock { change(&$0) } }
}

extension EgressPolicy {
    static let loopback = EgressPolicy(allowed: [AddressRange("127.0.0.0/8")!])
}

extension UpstreamSurroundings {
    static func testing(
        egress: EgressPolicy = .loopback, keeper: ProcessKeeper = ProcessKeeper(), environment: [String: String] = [:],
        sealed: [String: Secret<String>] = [:], chatter: Chatter.Bound = .standard,
        notice: @escaping @Sendable (ServerID, UpstreamNotice) -> Void = { _, _ in },
        rested: @escaping @Sendable (ServerRecord, String) -> Void = { _, _ in }, now: @escaping @Sendable () -> Moment = clock
    ) throws -> Self {
        UpstreamSurroundings(
            client: Implementation(name: "gateway", title: "Gateway", version: "1"),
            // The system's certificates take long to read, so only who needs them does.
            connections: HTTPConnections(
                dialing: try Dialing(
                    group: .singletonMultiThreadedEventLoopGroup, egress: egress, patience: .seconds(30), trust: TestCertificate.trust)),
            keeper: keeper,
            environment: environment, sealedEnvironment: { _ in sealed }, chatter: chatter, notice: notice, rested: rested, now: now, logger: .quiet)
    }

    static let clock: @Sendable () -> Moment = {
        Moment(wall: Timestamp(microseconds: 0), boot: BootInstant(nanoseconds: Int64(NIODeadline.now().uptimeNanoseconds)))
    }
}

extension Upstream {
    convenience init(
        _ transport: Transport, era: EraChoice = .auto, questions: Set<QuestionKind> = .everything, surroundings: UpstreamSurroundings
    ) {
        let record = ServerRecord(
            id: ServerID(1), tenant: TenantID(1), owner: UserID(1), alias: ServerAlias("s")!, title: "S", transport: transport, status: .active,
            era: era, tags: [], questions: questions, createdAt: Timestamp(microseconds: 0), updatedAt: Timestamp(microseconds: 0))
        self.init(record, surroundings: surroundings)
    }

    convenience init(
        _ server: ScriptedServer, era: EraChoice = .auto, questions: Set<QuestionKind> = .everything, surroundings: UpstreamSurroundings? = nil
    ) throws {
        self.init(.http(endpoint: server.url), era: era, questions: questions, surroundings: try surroundings ?? .testing())
    }

    /// Starts a call as the forwarder does.
    ///
    /// - Parameter change: what the caller wants besides.
    func start(
        _ tool: String = "echo", _ arguments: JSONText = [:], as user: Int64 = 1, id: JSONText = 1, token: JSONText? = nil,
        isIdempotent: Bool = false, preferring replica: Int? = nil, _ change: (inout Outgoing) -> Void = { _ in }
    ) async throws -> UpstreamCall {
        let meta: JSONText? = token.map { ["progressToken": $0] }
        let text: JSONText = [
            "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": ["name": "s__tool", "arguments": arguments, "_meta": meta],
        ]
        guard case .request(let incoming) = try Reading(Message(parsing: text.bytes), headers: RoutingHeaders()) else { throw NotARequest() }
        let rules = ToolRules([ToolRule(ToolRuleID(1), .init(.allow, .everyone, .everything), createdAt: Timestamp(microseconds: 0))])
        let listed = Tool(tool, of: server.alias, exposedAs: "s__tool")
        var request = incoming.outgoing(as: tool)
        change(&request)
        return try await ask(request, by: Policy().grant(listed, to: .test(user), under: rules), isIdempotent: isIdempotent, preferring: replica)
    }

    /// Calls a tool and waits for what it answers.
    func ask(_ tool: String = "echo", _ arguments: JSONText = [:], as user: Int64 = 1, id: JSONText = 1) async throws -> JSONText {
        try await start(tool, arguments, as: user, id: id).answer().get().text
    }

    private struct NotARequest: Error {}

    /// Subscribes as somebody who may use everything the server has.
    func subscribe(_ uri: String, for principal: Principal, declaring capabilities: ClientCapabilities = .none) async throws {
        let rules = ToolRules([ToolRule(ToolRuleID(1), .init(.allow, .everyone, .everything), createdAt: Timestamp(microseconds: 0))])
        guard let grant = Policy().grant(besidesTools: server.alias, to: principal, under: rules) else { throw NotARequest() }
        try await subscribe(uri, by: grant, declaring: capabilities)
    }
}

extension Principal {
    static func test(_ user: Int64) -> Self { Principal(user: UserID(user), name: "user-\(user)", tenant: TenantID(1), role: .user) }
}

extension ClientCapabilities {
    static var forms: Self {
        var capabilities = ClientCapabilities()
        capabilities.elicitsForms = true
        return capabilities
    }

    static var everything: Self {
        var capabilities = forms
        (capabilities.elicitsURLs, capabilities.samples, capabilities.listsRoots) = (true, true, true)
        return capabilities
    }
}

extension UpstreamCall {
    /// The next question, with its id; everything before it is read over.
    func question() async throws -> (MessageID, ServerQuestion) {
        while let event = try await next() {
            if case .question(let id, let question) = event { return (id, question) }
        }
        throw UpstreamFailure.garbled("no question")
    }

    /// The answer, reading over progress.
    func answer() async throws -> Result<JSON, ProtocolError> {
        while let event = try await next() {
            if case .answer(let answer) = event { return answer }
            if case .mismatch(let error) = event { return .failure(error) }
        }
        throw UpstreamFailure.garbled("no answer")
    }
}

extension JSONText {
    subscript(name: String) -> JSON? { (try? JSON(parsing: bytes))?[name] }
}

/// What an expression threw, if it was a failure of the upstream.
func failure(of body: () async throws -> some Any) async -> UpstreamFailure? {
    do {
        _ = try await body()
        return nil
    } catch { return error as? UpstreamFailure }
}

extension UpstreamFailure {
    /// The case without what it holds.
    var kind: String { String(describing: self).prefix { $0 != "(" }.description }
}

extension LegacyRequest {
    /// What a server may ask at any time.
    static func ping(id: MessageID) -> JSONText { Message.request(id: id, method: "ping", params: nil) }
}
