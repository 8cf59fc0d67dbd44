import Foundation
import Gateway
import Identity
import Pacing
import Synchronization
import Testing

/// Runs tasks one after the other on a thread of its own, in a time that passes only when none of them has anything to do.
///
/// Hours of it take no longer than their work, and the same program always runs the same way.
final class Simulation: TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var next = 0
        var sleepers = DueQueue<UInt64>()
        var continuations: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var count: UInt64 = 0
        var boot = BootInstant(nanoseconds: 5_000_000_000_000)
        var wall = Timestamp.now
        var isOver = false
        var isStuck = false
    }

    private enum Step {
        case run(UnownedJob)
        case wake(CheckedContinuation<Void, Never>)
        case end
    }

    private let state = Mutex(State())

    /// Runs a body, and everything it starts, to its end.
    static func run(_ body: @escaping @Sendable (Simulation) async throws -> Void) async throws {
        let simulation = Simulation()
        let task = Task(executorPreference: simulation) {
            defer { simulation.state.withLock { $0.isOver = true } }
            try await body(simulation)
        }
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                simulation.drain()
                continuation.resume()
            }
        }
        try #require(!simulation.state.withLock { $0.isStuck }, "everybody waits, and for nothing that time would bring")
        try await task.value
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
    }

    private func drain() {
        while true {
            switch state.withLock({ Self.step(&$0) }) {
            case .run(let job): job.runSynchronously(on: asUnownedTaskExecutor())
            case .wake(let continuation): continuation.resume()
            case .end: return
            }
        }
    }

    private static func step(_ state: inout State) -> Step {
        if state.next < state.jobs.count {
            state.next += 1
            return .run(state.jobs[state.next - 1])
        }
        state.jobs.removeAll(keepingCapacity: true)
        state.next = 0
        if state.isOver { return .end }
        if let earliest = state.sleepers.earliest { pass(until: earliest, &state) }
        guard let first = state.sleepers.take(at: state.boot), let continuation = state.continuations.removeValue(forKey: first) else {
            state.isStuck = true
            return .end
        }
        return .wake(continuation)
    }

    private static func pass(until moment: BootInstant, _ state: inout State) {
        guard moment > state.boot else { return }
        state.wall = state.wall.advanced(by: .nanoseconds(moment.nanoseconds - state.boot.nanoseconds))
        state.boot = moment
    }

    var now: Moment { state.withLock { Moment(wall: $0.wall, boot: $0.boot) } }

    var clock: RefreshClock { RefreshClock(now: { self.now }, sleep: { await self.sleep(until: $0) }) }

    func sleep(for duration: Duration) async { await sleep(until: now.boot.advanced(by: duration)) }

    func sleep(until moment: BootInstant) async {
        let number = state.withLock { state in
            state.count += 1
            return state.count
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    if Task.isCancelled || moment <= state.boot { return true }
                    state.continuations[number] = continuation
                    state.sleepers.set(number, dueAt: moment)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { state in
                state.sleepers.remove(number)
                return state.continuations.removeValue(forKey: number)
            }?.resume()
        }
    }

    /// Somebody sets the wall clock.
    func setWall(ahead duration: Duration) { state.withLock { $0.wall = $0.wall.advanced(by: duration) } }

    /// The machine sleeps: both clocks go on, and nothing else does.
    func suspend(for duration: Duration) {
        state.withLock { Self.pass(until: $0.boot.advanced(by: duration), &$0) }
    }
}
