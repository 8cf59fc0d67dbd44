import Gateway
import Synchronization

@testable import mreg

/// The system's clocks, ahead by what the test says has passed.
final class PassingTime: Sendable {
    private let ahead = Atomic<Int64>(0)

    func pass(_ time: Duration) { ahead.add(time.components.seconds * 1_000_000_000, ordering: .relaxed) }

    func now() -> Moment {
        let (now, ahead) = (Clocks.now(), ahead.load(ordering: .relaxed))
        return Moment(wall: now.wall.advanced(by: .nanoseconds(ahead)), boot: now.boot.advanced(by: .nanoseconds(ahead)))
    }
}
