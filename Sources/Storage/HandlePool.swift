import Gateway
package import Pacing
import Synchronization

/// How many handles all pools may hold together.
package final class HandleBudget: Sendable {
    package let limit: Int
    private let taken = Atomic<Int>(0)

    package init(limit: Int) { self.limit = limit }

    var room: Int { max(0, limit - taken.load(ordering: .relaxed)) }

    /// Takes up to so many; says how many it got.
    func reserve(_ wanted: Int) -> Int {
        var current = taken.load(ordering: .relaxed)
        while true {
            let granted = min(wanted, max(0, limit - current))
            if granted == 0 { return 0 }
            let (isDone, found) = taken.compareExchange(expected: current, desired: current + granted, ordering: .relaxed)
            if isDone { return granted }
            current = found
        }
    }

    func giveBack(_ count: Int) { taken.subtract(count, ordering: .relaxed) }
}

/// Handles lent one borrower at a time: at most `ceiling` of them, those who come in vain wait in their order and at
/// most `timeout`.
///
/// It grows when somebody would have to wait and shrinks when its usage stays low (`PoolSizing`).
package final class HandlePool<Handle: Sendable>: Sendable {
    private enum Lease {
        case handle(Handle)
        /// The borrower opens one in the place reserved for it.
        case place
    }

    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Lease, any Error>
    }

    private struct State {
        var idle: [Handle] = []
        /// Handles that are open or being opened.
        var open = 0
        var waiters: [Waiter] = []
        var nextID: UInt64 = 0
        var isClosed = false
        /// Waiters whose time was up, or who were gone, before they had queued; whether it was their time.
        var abandoned: [UInt64: Bool] = [:]
        /// Most handles in use at once, in each of the last minutes.
        var peaks: [Int] = []
        var metrics = PoolMetrics()
    }

    private let sizing: PoolSizing
    private let isAdaptive: Bool
    private let budget: HandleBudget?
    private let open: @Sendable () throws -> Handle
    private let close: @Sendable (Handle) -> Void
    /// Whether a handle is of no use any more after this error.
    private let isBroken: @Sendable (any Error) -> Bool
    private let state: Mutex<State>
    private let name: String
    private let timeout: Duration

    /// - Parameters:
    ///   - budget: nil for slots that hold no handle of their own.
    ///   - isAdaptive: otherwise the pool holds its ceiling, or what the budget leaves of it.
    package init(
        name: String, sizing: PoolSizing, isAdaptive: Bool, timeout: Duration, budget: HandleBudget?,
        isBroken: @escaping @Sendable (any Error) -> Bool,
        open: @escaping @Sendable () throws -> Handle, close: @escaping @Sendable (Handle) -> Void
    ) {
        self.name = name
        self.sizing = sizing
        self.isAdaptive = isAdaptive
        self.timeout = timeout
        self.budget = budget
        self.isBroken = isBroken
        self.open = open
        self.close = close
        var state = State()
        let wanted = isAdaptive ? sizing.minimum : sizing.ceiling
        state.metrics.name = name
        state.metrics.size = budget.map { $0.reserve(wanted) } ?? wanted
        state.metrics.minimum = sizing.minimum
        state.metrics.ceiling = sizing.ceiling
        state.metrics.timeout = timeout
        state.metrics.isSlots = budget == nil
        self.state = Mutex(state)
    }

    package var metrics: PoolMetrics {
        state.withLock { state in
            var metrics = state.metrics
            metrics.idle = state.idle.count
            metrics.waiting = state.waiters.count
            return metrics
        }
    }

    /// Lends a handle for as long as the body runs.
    ///
    /// - Throws: `Refusal.overloaded` when none became free within the timeout, `CancellationError` when the caller is
    ///   gone, and what the body throws.
    package func withHandle<Value: Sendable>(_ body: (Handle) async throws -> Value) async throws -> Value {
        let clock = ContinuousClock()
        let asked = clock.now
        let handle = try await borrow()
        let got = clock.now
        state.withLock { state in
            state.metrics.wait.record(got - asked)
            state.metrics.longestWait = max(state.metrics.longestWait, got - asked)
        }
        do {
            let value = try await body(handle)
            giveBack(handle, heldFor: clock.now - got, isBroken: false)
            return value
        } catch {
            giveBack(handle, heldFor: clock.now - got, isBroken: isBroken(error))
            throw error
        }
    }

    // MARK: Lending

    private func borrow() async throws -> Handle {
        switch try await lease() {
        case .handle(let handle): return handle
        case .place:
            do {
                let handle = try open()
                state.withLock { $0.metrics.opened += 1 }
                return handle
            } catch {
                freePlace()
                throw error
            }
        }
    }

    private func lease() async throws -> Lease {
        let (immediate, id) = try state.withLock { state -> (Lease?, UInt64) in
            guard !state.isClosed else { throw DatabaseGate.Closed() }
            if state.waiters.isEmpty, let lease = takeFree(&state) { return (lease, 0) }
            state.nextID += 1
            return (nil, state.nextID)
        }
        if let immediate { return immediate }
        let timer = Task { [weak self, timeout] in
            try await Task.sleep(for: timeout)
            self?.giveUp(id, timedOut: true)
        }
        defer {
            timer.cancel()
            // Cancelled when it had been served already.
            state.withLock { $0.abandoned[id] = nil }
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome = state.withLock { state -> Result<Lease, any Error>? in
                    if state.isClosed { return .failure(DatabaseGate.Closed()) }
                    if let isLate = state.abandoned.removeValue(forKey: id) { return .failure(error(isLate)) }
                    // What became free meanwhile belongs to whoever waits longest.
                    if state.waiters.isEmpty, let lease = takeFree(&state) { return .success(lease) }
                    state.waiters.append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            giveUp(id, timedOut: false)
        }
    }

    /// A free handle, or a place for one; grows the pool if that is what it takes and is allowed.
    private func takeFree(_ state: inout State) -> Lease? {
        if let handle = state.idle.popLast() {
            state.metrics.reused += 1
            noteLease(&state)
            return .handle(handle)
        }
        if state.open >= state.metrics.size { grow(&state) }
        guard state.open < state.metrics.size else { return nil }
        state.open += 1
        noteLease(&state)
        return .place
    }

    private func grow(_ state: inout State) {
        guard isAdaptive else { return }
        let size = state.metrics.size
        let wanted = sizing.grown(
            from: size, inUse: state.metrics.inUse, waiting: state.waiters.count + 1, room: budget?.room ?? sizing.ceiling)
        guard wanted > size else { return }
        let granted = budget.map { $0.reserve(wanted - size) } ?? (wanted - size)
        guard granted > 0 else { return }
        state.metrics.size += granted
        state.metrics.grown += 1
    }

    private func noteLease(_ state: inout State) {
        state.metrics.leases += 1
        state.metrics.inUse += 1
        state.metrics.peakInUse = max(state.metrics.peakInUse, state.metrics.inUse)
    }

    private func giveUp(_ id: UInt64, timedOut: Bool) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else {
                state.abandoned[id] = timedOut
                return nil
            }
            if timedOut { state.metrics.timeouts += 1 } else { state.metrics.cancelled += 1 }
            return state.waiters.remove(at: index)
        }
        waiter?.continuation.resume(throwing: error(timedOut))
    }

    private func error(_ timedOut: Bool) -> any Error { timedOut ? Refusal.overloaded(sentence) : CancellationError() }

    private var sentence: String {
        "The gateway had no \(name) handle free within \(timeout.roundedUpSeconds) s; try again, or raise MREG_POOL_\(name.uppercased())_SIZE."
    }

    private func giveBack(_ handle: Handle, heldFor held: Duration, isBroken: Bool) {
        let (closing, next, lease) = state.withLock { state -> (Handle?, Waiter?, Lease?) in
            state.metrics.latency.record(held)
            state.metrics.inUse -= 1
            if isBroken || state.isClosed || state.open > state.metrics.size {
                state.open -= 1
                if isBroken { state.metrics.replaced += 1 }
                let (waiter, lease) = serveNext(&state)
                return (handle, waiter, lease)
            }
            state.idle.append(handle)
            let (waiter, lease) = serveNext(&state)
            return (nil, waiter, lease)
        }
        if let closing { close(closing) }
        if let next, let lease { next.continuation.resume(returning: lease) }
    }

    private func freePlace() {
        let (next, lease) = state.withLock { state -> (Waiter?, Lease?) in
            state.open -= 1
            state.metrics.inUse -= 1
            return serveNext(&state)
        }
        if let next, let lease { next.continuation.resume(returning: lease) }
    }

    private func serveNext(_ state: inout State) -> (Waiter?, Lease?) {
        guard !state.waiters.isEmpty, let lease = takeFree(&state) else { return (nil, nil) }
        return (state.waiters.removeFirst(), lease)
    }

    // MARK: Once a minute

    /// Notes how full the pool was since the last sample, and shrinks it if that was little for long.
    ///
    /// - Returns: the metrics of the minute that ends.
    @discardableResult
    package func sample() -> PoolMetrics {
        let (metrics, surplus) = state.withLock { state -> (PoolMetrics, [Handle]) in
            let ended = state.metrics
            state.metrics.history.record(ended.size == 0 ? 0 : Double(ended.peakInUse) / Double(ended.size))
            state.peaks = state.peaks.suffix(PoolSizing.quietMinutes - 1) + [ended.peakInUse]
            state.metrics.peakInUse = ended.inUse
            state.metrics.longestWait = .zero
            var surplus: [Handle] = []
            if isAdaptive, state.waiters.isEmpty {
                // Shares of the present size: the pool may have been another one when a peak was seen.
                let shares = state.peaks.map { Double($0) / Double(max(1, ended.size)) }
                let wanted = max(sizing.shrunk(from: ended.size, history: shares), state.metrics.inUse)
                if wanted < ended.size {
                    state.metrics.size = wanted
                    state.metrics.shrunk += 1
                    budget?.giveBack(ended.size - wanted)
                    while state.open > wanted, !state.idle.isEmpty {
                        surplus.append(state.idle.removeFirst())
                        state.open -= 1
                    }
                }
            }
            return (ended, surplus)
        }
        for handle in surplus { close(handle) }
        return metrics
    }

    /// Closes what is idle, refuses whoever waits; what is lent is closed when it comes back.
    package func shutDown() {
        let (idle, waiters) = state.withLock { state -> ([Handle], [Waiter]) in
            state.isClosed = true
            defer {
                state.open -= state.idle.count
                state.idle = []
                state.waiters = []
            }
            return (state.idle, state.waiters)
        }
        for handle in idle { close(handle) }
        for waiter in waiters { waiter.continuation.resume(throwing: DatabaseGate.Closed()) }
    }
}
