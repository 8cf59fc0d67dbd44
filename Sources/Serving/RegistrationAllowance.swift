import Gateway
import Synchronization

/// How many clients may register: so many an hour from one address, and so many from all together. Bounded by forgetting
/// everybody once an hour.
package final class RegistrationAllowance: Sendable {
    private struct State {
        var hour: Int64 = -1
        var total = 0
        var byAddress: [AddressPrefix: Int] = [:]
    }

    package static let perAddress = 60
    package static let inAll = 3000

    private let state = Mutex(State())

    package init() {}

    func take(for address: IPAddress?, at now: BootInstant) throws(Refusal) {
        let hour = now.nanoseconds / 3_600_000_000_000
        let isAllowed = state.withLock { state in
            if state.hour != hour { state = State(hour: hour) }
            let place = address.map { AddressPrefix($0) }
            guard state.total < Self.inAll, place.map({ state.byAddress[$0, default: 0] < Self.perAddress }) ?? true else { return false }
            state.total += 1
            if let place { state.byAddress[place, default: 0] += 1 }
            return true
        }
        guard !isAllowed else { return }
        let wait = Duration.nanoseconds((hour + 1) * 3_600_000_000_000 - now.nanoseconds)
        throw .throttled(Throttle(.registrations, of: address?.description ?? "", retryAfter: wait))
    }
}
