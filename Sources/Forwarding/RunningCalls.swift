package import Gateway
import Synchronization
import Upstreams

/// The calls under way at servers, so that they end with the credential they were made with.
package final class RunningCalls: Sendable {
    private struct Running {
        let principal: Principal
        let call: UpstreamCall
    }

    private let running = Mutex<[ObjectIdentifier: Running]>([:])

    package init() {}

    func add(_ call: UpstreamCall, of principal: Principal) {
        running.withLock { $0[ObjectIdentifier(call)] = Running(principal: principal, call: call) }
    }

    func remove(_ call: UpstreamCall) { running.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(call)) } }

    /// Ends the calls of whom the closure says so; who waits for them is told that they may have taken effect.
    package func end(_ isOver: (Principal) -> Bool) {
        let over = running.withLock { running in running.values.filter { isOver($0.principal) }.map(\.call) }
        for call in over { call.abandon(.signedOut) }
    }
}
