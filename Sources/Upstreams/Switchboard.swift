import Gateway
import MCP
import Synchronization

/// Tells whose affair it is what a server says in one conversation: which request an answer, a question, a log message or
/// progress belongs to, and what is told outside of any.
///
/// A question is put only to a caller who declared that they can be asked it; all others are declined at once in words.
final class Switchboard: Sendable {
    /// How a message came.
    enum Way {
        /// On the stream that a request opened, or in answer to it.
        case own(Exchange)
        /// On a stream that goes on where that request's broke off. Nothing but ids tells there whose an answer is.
        case resumed(Exchange)
        /// On a stream beside those of requests.
        case aside
        /// The conversation has only one stream.
        case only
    }

    private struct State {
        var pending: [Int64: Exchange] = [:]
        var era: Revision.Era?
        var level: LogLevel?
        var say: (@Sendable (JSONText) -> Bool)?
    }

    /// Whether calls of several users meet in the conversation.
    private let isShared: Bool
    private let user: UserID?
    private let strays: Strays
    private let notice: @Sendable (UpstreamNotice) -> Void
    private let state = Mutex(State())

    init(isShared: Bool = false, user: UserID? = nil, strays: Strays = Strays(), notice: @escaping @Sendable (UpstreamNotice) -> Void = { _ in }) {
        self.isShared = isShared
        self.user = user
        self.strays = strays
        self.notice = notice
    }

    var isBusy: Bool { state.withLock { $0.pending.values.contains { !$0.isListening } } }
    /// Whether each request stands for itself.
    var isStateless: Bool { state.withLock { $0.era } == .modern }
    var pendingCount: Int { state.withLock { $0.pending.count } }

    /// From here on the rules of that era hold.
    func agree(on era: Revision.Era) { state.withLock { $0.era = era } }

    /// How the gateway's own answers get to the server.
    ///
    /// - Parameter say: false if it could not be said.
    func answers(_ say: @escaping @Sendable (JSONText) -> Bool) { state.withLock { $0.say = say } }

    /// Whether the server has to be told to log more, which whoever asks does then.
    func mustRaise(to level: LogLevel) -> Bool {
        state.withLock { state in
            if let set = state.level, set <= level { return false }
            state.level = level
            return true
        }
    }

    // MARK: Requests under way

    /// - Returns: false if there are too many.
    func add(_ exchange: Exchange, most: Int = .max) -> Bool {
        let isAdmitted = state.withLock { state in
            guard state.pending.count < most else { return false }
            state.pending[exchange.id] = exchange
            return true
        }
        if isAdmitted { exchange.onEnd { questions in self.ended(exchange, questions) } }
        return isAdmitted
    }

    /// A server that waits for an answer waits in vain, so it is told.
    private func ended(_ exchange: Exchange, _ questions: [MessageID]) {
        _ = state.withLock { $0.pending.removeValue(forKey: exchange.id) }
        for id in questions { decline(id, "The call it belongs to has ended.") }
    }

    /// Fails all that is under way: the conversation is over.
    func failAll(_ failure: UpstreamFailure) {
        for exchange in state.withLock({ Array($0.pending.values) }) { exchange.fail(failure) }
    }

    // MARK: What the server says

    /// - Returns: whether somebody waits for it: it belongs to a request that is under way, and whoever made that wants it.
    @discardableResult
    func receive(_ message: Message, _ way: Way) -> Bool {
        switch message {
        case .response(let id, _): respond(message, id, way)
        case .request(let id, let method, let params): ask(id, method, params, way)
        case .notification(let method, let params): note(method, params, way)
        }
    }

    private func respond(_ message: Message, _ id: MessageID?, _ way: Way) -> Bool {
        let exchange: Exchange? =
            switch way {
            case .own(let exchange): exchange
            case .resumed(let exchange): id == MessageID(exchange.id) ? exchange : nil
            case .only: id?.number.flatMap { number in state.withLock { $0.pending[number] } }.flatMap { id == MessageID($0.id) ? $0 : nil }
            case .aside: nil
            }
        guard let exchange else { return stray() }
        exchange.receive(message)
        return true
    }

    private func ask(_ id: MessageID, _ method: String, _ params: JSON?, _ way: Way) -> Bool {
        // The stateless era has no requests of servers, and no answers to them (P-3).
        if state.withLock({ $0.era }) == .modern { return stray() }
        if method == "ping" { return say(Message.result([:], to: id)) }
        guard let question = ServerQuestion(method: method, params: params) else {
            return decline(id, "A gateway does not serve “\(method.cut(64))”.")
        }
        if let objection = question.objection { return decline(id, objection, code: -32602) }
        switch addressee(way, { $0.capabilities.permits(question) }) {
        case .success(let exchange):
            guard exchange.audience?.capabilities.permits(question) ?? false else {
                return decline(id, "Who made this call did not declare that they can be asked “\(method)” in this way.")
            }
            if let refusal = exchange.pose(question, as: id) { return decline(id, refusal) }
            return true
        case .failure(let nobody): return decline(id, nobody.sentence)
        }
    }

    private func note(_ method: String, _ params: JSON?, _ way: Way) -> Bool {
        switch method {
        case "notifications/progress":
            let token = params?["progressToken"]?.integer
            let exchange: Exchange? =
                switch way {
                case .own(let exchange), .resumed(let exchange): exchange.id == token ? exchange : nil
                case .aside, .only: token.flatMap { token in state.withLock { $0.pending[token] } }
                }
            guard let params, let exchange, exchange.audience?.wantsProgress ?? false else { return stray() }
            return isHeard(exchange.deliver(.progress(params)))
        case "notifications/message":
            guard let params, case .success(let exchange) = addressee(way, { $0.wants(params) }) else { return stray() }
            return exchange.audience?.wants(params) ?? false && isHeard(exchange.deliver(.log(params)))
        case "notifications/cancelled":
            guard let id = params?["requestId"].flatMap({ MessageID($0) }) else { return stray() }
            for exchange in state.withLock({ Array($0.pending.values) }) { exchange.withdraw(id) }
            return false
        case "notifications/elicitation/complete":
            let (calls, era) = state.withLock { (Array($0.pending.values), $0.era) }
            // The stateless era has none.
            guard era != .modern, let id = params?["elicitationId"]?.string else { return stray() }
            if let wasOpen = calls.lazy.compactMap({ $0.complete(id) }).first { return wasOpen }
            for notice in UpstreamNotice.read(method, params, user: user) { self.notice(notice) }
            return false
        default:
            let notices = UpstreamNotice.read(method, params, user: user)
            guard mayAnnounce(method, params, way) else { return stray() }
            for notice in notices { self.notice(notice) }
            return false
        }
    }

    /// Whoever is slow to take what they wanted holds up nobody but themselves.
    private func isHeard(_ delivery: Exchange.Delivery) -> Bool { delivery == .taken || (isShared && delivery == .dropped) }

    /// In the stateless era changes are told on a stream that was opened to hear them, and under its name (S-27).
    private func mayAnnounce(_ method: String, _ params: JSON?, _ way: Way) -> Bool {
        guard state.withLock({ $0.era }) == .modern else { return true }
        let number = ModernRequest.subscription(params)
        let exchange: Exchange? =
            switch way {
            case .own(let exchange), .resumed(let exchange): exchange.id == number ? exchange : nil
            case .aside, .only: number.flatMap { number in state.withLock { $0.pending[number] } }
            }
        guard let exchange, exchange.isListening else { return false }
        if method == "notifications/subscriptions/acknowledged" { exchange.deliver(.notification(method: method, params: params)) }
        return true
    }

    // MARK: Whose it is

    private struct Nobody: Error {
        let sentence: String
    }

    /// The call that something belongs to which does not name it.
    ///
    /// - Parameter suits: whether it can be for them; decides between several calls of one user.
    private func addressee(_ way: Way, _ suits: (Audience) -> Bool) -> Result<Exchange, Nobody> {
        if case .own(let exchange) = way { return .success(exchange) }
        if case .resumed(let exchange) = way { return .success(exchange) }
        let calls = state.withLock { state in state.pending.values.filter { $0.audience != nil } }
        guard let first = calls.first else { return .failure(Nobody(sentence: "No call is under way here, so nobody is there to ask.")) }
        if calls.count == 1 { return .success(first) }
        if case .only = way, !isShared {
            let suited = calls.filter { $0.audience.map(suits) ?? false }
            // Ids grow, so the greatest was sent last.
            return .success(suited.max { $0.id < $1.id } ?? first)
        }
        return .failure(Nobody(sentence: "Several calls are under way here, and it does not say to which of them it belongs."))
    }

    // MARK: What it is told

    /// - Returns: false: it was nobody's.
    @discardableResult
    private func decline(_ id: MessageID, _ sentence: String, code: Int = -32601) -> Bool {
        say(ProtocolError(code: code, message: sentence).response(to: id))
    }

    private func say(_ answer: JSONText) -> Bool {
        let say = state.withLock { $0.say }
        if say?(answer) != true { stray() }
        return false
    }

    /// Counts a message that is nobody's.
    ///
    /// - Returns: false, for that.
    @discardableResult
    func stray() -> Bool {
        strays.add()
        return false
    }
}

/// How many messages of a server were nobody's: answers to what was not asked, second answers, what the era does not know.
final class Strays: Sendable {
    private let number = Atomic<Int>(0)

    var count: Int { number.load(ordering: .relaxed) }
    func add() { number.add(1, ordering: .relaxed) }
}
