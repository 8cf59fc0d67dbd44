import Gateway
import MCP
import NIOCore
import Pacing
import Synchronization

/// What is heard of changes at one server: of its lists, in the gateway's name, and of resources, for those who subscribed to them.
///
/// Bounded: `mostPerOwner` resources for one owner, `most` in all.
final class Listenings: Sendable {
    typealias Owner = Conversations.Owner

    struct Subscription: Hashable, Sendable {
        let owner: Owner
        let uri: String
    }

    private struct State {
        var lists: Listening?
        var listsOwner: Owner?
        var wantsLists = false
        /// Of processes, which are listened to while they run.
        var streams: [Exchange] = []
        var resources: [Subscription: (listening: Listening, count: Int)] = [:]
        var isClosed = false
    }

    private static let mostPerOwner = 64
    private static let most = 256

    let ears = Ear.Places(256)
    private let notices: Notices
    private let onOpen = Mutex<(@Sendable (Link.Opened) -> Void)?>(nil)
    private let state = Mutex(State())

    init(loop: any EventLoop, tell: @escaping @Sendable (UpstreamNotice) -> Void) { notices = Notices(loop: loop, tell: tell) }

    /// Whose conversations have to stay.
    var owners: Set<Owner> {
        state.withLock { state in Set(state.resources.keys.map(\.owner)).union(state.listsOwner.map { [$0] } ?? []) }
    }

    var wantsLists: Bool { state.withLock { $0.wantsLists } }

    /// Passes a notice on, unless it is of a resource nobody subscribed to.
    func take(_ notice: UpstreamNotice, from owner: Owner) {
        if case .resourceUpdated(let uri, _) = notice, !isSubscribed(uri, owner) { return }
        notices.take(notice)
    }

    /// A server may also tell of a part of what was subscribed to.
    private func isSubscribed(_ uri: String, _ owner: Owner) -> Bool {
        state.withLock { state in
            if state.resources[Subscription(owner: owner, uri: uri)] != nil { return true }
            return state.resources.keys.contains { $0.owner == owner && uri.utf8.starts(with: $0.uri.utf8) }
        }
    }

    /// After a gap in what that owner hears: all of it may have changed.
    func missed(by owner: Owner, announced: Set<ListKind>) {
        let (lists, uris) = state.withLock { state in
            (state.listsOwner == owner ? announced : [], state.resources.keys.filter { $0.owner == owner }.map(\.uri))
        }
        for kind in lists { notices.take(.listChanged(kind)) }
        for uri in uris { notices.take(.resourceUpdated(uri: uri, user: owner.user)) }
    }

    /// How many conversations were opened.
    let openings = Atomic<Int>(0)

    /// What to do when a conversation is opened while lists are listened to. Set once, for processes.
    func whenOpened(_ action: @escaping @Sendable (Link.Opened) -> Void) { onOpen.withLock { $0 = action } }

    func opened(_ opened: Link.Opened) {
        openings.add(1, ordering: .relaxed)
        if wantsLists { onOpen.withLock { $0 }?(opened) }
    }

    // MARK: Lists

    /// - Parameter listening: nil for servers that are listened to while they run.
    /// - Returns: whether they were not heard so far.
    @discardableResult
    func hearLists(_ listening: @autoclosure () -> Listening?) -> Bool {
        state.withLock { state in
            guard !state.isClosed, !state.wantsLists else { return false }
            state.wantsLists = true
            state.lists = listening()
            return true
        }
    }

    func ignoreLists() async {
        let (listening, streams) = state.withLock { state in
            defer { (state.lists, state.listsOwner, state.wantsLists, state.streams) = (nil, nil, false, []) }
            return (state.lists, state.streams)
        }
        for stream in streams { stream.abandon(.abandoned) }
        await listening?.end()
    }

    func listsAreHeard(by owner: Owner) { state.withLock { $0.listsOwner = $0.wantsLists ? owner : nil } }

    func keep(_ stream: Exchange) {
        let isWanted = state.withLock { state in
            guard state.wantsLists, !state.isClosed else { return false }
            state.streams.removeAll { $0.isOver }
            state.streams.append(stream)
            return true
        }
        if !isWanted { stream.abandon(.abandoned) }
    }

    // MARK: Resources

    /// Counts one more subscriber.
    ///
    /// - Parameter make: makes what hears of the resource, for the first.
    func add(_ subscription: Subscription, _ make: () -> Listening) throws(UpstreamFailure) -> Listening {
        let result = state.withLock { state -> Result<Listening, UpstreamFailure> in
            if state.isClosed { return .failure(.unreachable("it was changed or removed a moment ago")) }
            if let held = state.resources[subscription] {
                state.resources[subscription] = (held.listening, held.count + 1)
                return .success(held.listening)
            }
            guard state.resources.count < Self.most, state.resources.keys.count(where: { $0.owner == subscription.owner }) < Self.mostPerOwner else {
                return .failure(.unreachable("it is subscribed to \(Self.mostPerOwner) resources for one caller, or \(Self.most) for all, already"))
            }
            let listening = make()
            state.resources[subscription] = (listening, 1)
            return .success(listening)
        }
        return try result.get()
    }

    /// Counts one less; whoever was the last ends it.
    func remove(_ subscription: Subscription) async {
        let last = state.withLock { state -> Listening? in
            guard let held = state.resources[subscription] else { return nil }
            state.resources[subscription] = held.count > 1 ? (held.listening, held.count - 1) : nil
            return held.count > 1 ? nil : held.listening
        }
        await last?.end()
    }

    func close() async {
        let all = state.withLock { state in
            defer { state = State(isClosed: true) }
            return state.resources.values.map(\.listening) + (state.lists.map { [$0] } ?? [])
        }
        for listening in all { await listening.end() }
    }
}

/// One thing that is heard of, over and over until nobody wants to hear it any more.
final class Listening: Sendable {
    private struct State {
        var outcome: Result<Void, UpstreamFailure>?
        var task: Task<Void, Never>?
    }

    private static let backoff = Backoff(first: .seconds(1), longest: .seconds(300))
    private static let lasting = TimeAmount.seconds(30)

    private let settled = Question()
    private let state = Mutex(State())

    /// - Parameters:
    ///   - hear: hears until that ends, and says when it began.
    ///   - onGap: called when it is heard again: something may have been missed meanwhile.
    init(hear: @escaping @Sendable (_ onOpen: @escaping @Sendable () -> Void) async throws -> Void, onGap: @escaping @Sendable () -> Void) {
        let task = Task { [weak self] in
            let wasHeard = Atomic<Bool>(false)
            var failures = 0
            while !Task.isCancelled {
                let start = NIODeadline.now()
                do {
                    try await hear { [weak self] in
                        if wasHeard.exchange(true, ordering: .relaxed) { onGap() }
                        self?.settle(.success(()))
                    }
                } catch let failure as UpstreamFailure {
                    self?.settle(.failure(failure))
                } catch {
                    self?.settle(.failure(.abandoned))
                }
                failures = NIODeadline.now() - start > Self.lasting ? 1 : failures + 1
                do { try await Task.sleep(for: Self.backoff.wait(afterFailures: failures).jittered) } catch { return }
            }
        }
        state.withLock { $0.task = task }
    }

    private func settle(_ outcome: Result<Void, UpstreamFailure>) {
        state.withLock { $0.outcome = $0.outcome ?? outcome }
        settled.answered()
    }

    /// What came of the first attempt; within the patience with a handshake.
    func begun() async throws(UpstreamFailure) {
        await settled.wait(atMost: Exchange.Patience.handshake.total)
        guard let outcome = state.withLock({ $0.outcome }) else { throw .timedOut(Exchange.Patience.handshake.total) }
        try outcome.get()
    }

    func end() async {
        let task = state.withLock { $0.task }
        task?.cancel()
        await task?.value
    }

    deinit { state.withLock { $0.task }?.cancel() }
}
