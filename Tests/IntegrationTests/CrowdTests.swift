import Gateway
import Synchronization
import Testing

@testable import Serving
@testable import mreg

struct CrowdTests {
    private final class Closed: Sendable {
        private let names = Mutex<Set<Int>>([])
        func insert(_ name: Int) { names.withLock { _ = $0.insert(name) } }
        var all: Set<Int> { names.withLock { $0 } }
    }

    private let closed = Closed()

    private func seat(_ name: Int, idleSince: Int) -> Crowd.Seat {
        Crowd.Seat(idleSince: UInt64(idleSince)) { [closed] in closed.insert(name) }
    }

    @Test func `when there is no room those go that have asked nothing for longest, several at once`() {
        let crowd = Crowd(most: 128)
        let seats = (1...128).map { seat($0, idleSince: 1_000 - $0) }
        for seat in seats { #expect(crowd.enter(seat) == .admitted) }
        seats[127].becameBusy()
        seats[126].becameIdle(at: 2_000)
        #expect(closed.all.isEmpty)
        #expect(crowd.enter(seat(129, idleSince: 5_000)) == .admitted)
        #expect(closed.all == [125, 126])
        #expect(crowd.count == 127)
    }

    @Test func `where everybody is being answered the newcomer is told so, and of too many newcomers nobody`() {
        let crowd = Crowd(most: 16)
        let seats = (1...16).map { seat($0, idleSince: $0) }
        for seat in seats {
            #expect(crowd.enter(seat) == .admitted)
            seat.becameBusy()
        }
        let (first, second) = (seat(17, idleSince: 17), seat(18, idleSince: 18))
        #expect(crowd.enter(first) == .turnedAway)
        #expect(crowd.enter(second) == .turnedAway)
        #expect(crowd.enter(seat(19, idleSince: 19)) == .full)
        #expect(closed.all.isEmpty && crowd.count == 16)
        crowd.leave(first)
        #expect(crowd.enter(seat(20, idleSince: 20)) == .turnedAway)
        crowd.leave(seats[3])
        #expect(crowd.enter(seat(21, idleSince: 21)) == .admitted)
        #expect(crowd.count == 16)
    }

    @Test(arguments: [(64, 64), (1_024, 512), (4_096, 2_816), (20_000, 10_000), (65_536, 10_000)])
    func `of the files that may be open some are kept for servers and the database`(all: Int, connections: Int) {
        #expect(OpenFiles.connections(of: all) == connections)
    }
}
