package import Gateway
import Synchronization

/// The documents in which clients describe themselves, at the URL that is their id (Client ID Metadata Documents).
///
/// Fetched where the policy allows it, kept as long as their server says (see `Freshness`), failures for a minute. Whoever asks
/// for one that is being fetched waits for that fetch. Bounded: entries, the size and time of a fetch, and how many fetches
/// strangers can cause.
package final class ClientDocuments<Value: Sendable>: Sendable {
    private typealias Answer = Result<Value, ClientDocumentFailure>

    private struct Entry {
        let answer: Answer
        let until: BootInstant
        var lastUse: Int64
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var running: [String: Task<Answer, Never>] = [:]
        var allowance: FetchAllowance
        /// Counts uses, so that the least recent is known.
        var uses: Int64 = 0
    }

    private enum Next {
        case known(Answer)
        case wait(Task<Answer, Never>)
        case throttled(Duration)
    }

    private let policy: ClientDocumentPolicy
    private let fetcher: Fetcher
    private let now: @Sendable () -> Moment
    private let read: @Sendable ([UInt8], String) throws -> Value
    private let capacity: Int
    private let state: Mutex<State>

    private static var largest: Int { 5 << 10 }
    private static var deadline: Duration { .seconds(5) }
    private static var failureKept: Duration { .seconds(60) }

    /// - Parameters:
    ///   - fetcher: one that connects to public addresses only; in evaluation, to loopback too.
    ///   - capacity: at least 1; beyond it, what was used least recently is forgotten.
    ///   - read: makes a value of a document and of the URL it was at, or throws: that the two agree is its concern.
    package init(
        policy: ClientDocumentPolicy, fetcher: Fetcher, allowance: FetchAllowance = FetchAllowance(), capacity: Int = 1000,
        now: @escaping @Sendable () -> Moment, read: @escaping @Sendable ([UInt8], String) throws -> Value
    ) {
        self.policy = policy
        self.fetcher = fetcher
        self.now = now
        self.read = read
        self.capacity = max(1, capacity)
        state = Mutex(State(allowance: allowance))
    }

    /// What the document at a client's id says.
    ///
    /// - Parameter address: whose request makes us ask. What is known costs them nothing.
    package func document(of id: String, askedFrom address: IPAddress) async throws(ClientDocumentFailure) -> Value {
        let endpoint = try policy.endpoint(of: id)
        let now = now()
        let next = state.withLock { state -> Next in
            if let entry = state.entries[id], now.boot < entry.until {
                state.uses += 1
                state.entries[id]?.lastUse = state.uses
                return .known(entry.answer)
            }
            if let running = state.running[id] { return .wait(running) }
            if let wait = state.allowance.take(for: AddressPrefix(address), at: now.boot) { return .throttled(wait) }
            // Unstructured on purpose: the fetch is everybody's who waits for it, and outlives whoever asked first.
            let task = Task { await self.fetch(id, endpoint, asked: now) }
            state.running[id] = task
            return .wait(task)
        }
        switch next {
        case .known(let answer): return try answer.get()
        case .wait(let task): return try await task.value.get()
        case .throttled(let wait): throw .throttled(retryAfter: wait)
        }
    }

    private func fetch(_ id: String, _ endpoint: Endpoint, asked: Moment) async -> Answer {
        let answer: Answer
        var lifetime = Self.failureKept
        do throws(ClientDocumentFailure) {
            let fetched = try await ask(endpoint)
            answer = .success(try value(of: fetched, at: id))
            lifetime = Freshness.lifetime(of: fetched, asked: asked.wall)
        } catch {
            answer = .failure(error)
        }
        let until = asked.boot.advanced(by: lifetime)
        let now = now().boot
        state.withLock { state in
            state.running[id] = nil
            state.entries[id] = nil
            guard until > now else { return }
            if state.entries.count >= capacity { makeRoom(&state, now) }
            state.uses += 1
            state.entries[id] = Entry(answer: answer, until: until, lastUse: state.uses)
        }
        return answer
    }

    private func ask(_ endpoint: Endpoint) async throws(ClientDocumentFailure) -> FetchedAnswer {
        do {
            return try await fetcher.send(
                FetchRequest(
                    .get, endpoint, headers: [(name: "accept", value: "application/json")], largestAnswer: Self.largest, deadline: Self.deadline))
        } catch {
            throw .unreadable(Self.reason(error))
        }
    }

    private func value(of fetched: FetchedAnswer, at id: String) throws(ClientDocumentFailure) -> Value {
        guard fetched.status == 200 else { throw .unreadable("its server answered with status \(fetched.status)") }
        guard Self.isJSON(fetched["content-type"] ?? "") else { throw .unreadable("what its server answered is not JSON") }
        // Whoever fetches keeps to the bound; a document that is too large is none, whoever fetched it.
        guard fetched.body.count <= Self.largest else { throw .unreadable(Self.reason(.tooLarge)) }
        do { return try read(fetched.body, id) } catch { throw .unreadable("\(error)".cut(256).withoutControls) }
    }

    /// `application/json`, or another type whose syntax is JSON (RFC 6839), whatever its parameters.
    private static func isJSON(_ contentType: String) -> Bool {
        let type = contentType.prefix { $0 != ";" }.split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " ").lowercased()
        return type == "application/json" || (type.hasPrefix("application/") && type.hasSuffix("+json") && !type.contains(" "))
    }

    private static func reason(_ failure: FetchFailure) -> String {
        switch failure {
        case .unreachable(let why), .lost(let why): why
        case .tooLarge: "it is larger than \(largest >> 10) KiB"
        case .timedOut(let wait): "its server did not answer within \(wait.components.seconds) s"
        }
    }

    /// What is over goes first, then failures, then what was used least recently.
    private func makeRoom(_ state: inout State, _ now: BootInstant) {
        state.entries = state.entries.filter { now < $0.value.until }
        func rank(_ entry: Entry) -> (Int, Int64) { (entry.answer.isFailure ? 0 : 1, entry.lastUse) }
        guard state.entries.count >= capacity, let last = state.entries.min(by: { rank($0.value) < rank($1.value) }) else { return }
        state.entries[last.key] = nil
    }
}

extension Result {
    fileprivate var isFailure: Bool { if case .failure = self { true } else { false } }
}
