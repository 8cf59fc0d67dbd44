import Synchronization

/// Lets accesses through until the database closes, and tells when the last of them has gone: a connection that is
/// used after it was closed takes the process with it.
final class DatabaseGate: Sendable {
    package struct Closed: Error, CustomStringConvertible {
        package let description = "The database is closed."
    }

    private struct State {
        var inside = 0
        var isClosed = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func passing<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        guard enter() else { throw Closed() }
        defer { leave() }
        return try await body()
    }

    /// False once it is closed. Who is let in leaves once.
    func enter() -> Bool {
        state.withLock { state in
            if !state.isClosed { state.inside += 1 }
            return !state.isClosed
        }
    }

    func leave() {
        let waiting = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.inside -= 1
            guard state.inside == 0 else { return nil }
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    /// Returns when nobody is inside any more. Called once.
    func close() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state -> Bool in
                state.isClosed = true
                if state.inside > 0 { state.waiting = continuation }
                return state.inside == 0
            }
            if isEmpty { continuation.resume() }
        }
    }
}
