import Gateway
import Testing

@testable import Pacing

struct UnreadAnswersTests {
    private let one = UserID(1)
    private let two = UserID(2)

    @Test func `within its bounds everybody may take their time`() {
        var unread = UnreadAnswers(mostBytes: 100, mostBytesPerUser: 40)
        let tickets = [(40, one), (40, two), (20, UserID(3))].map { unread.begin($0, of: $1) }
        #expect(tickets.allSatisfy { $0.leaving.isEmpty })
        #expect(unread.bytes == 100)
        for (ticket, _) in tickets { unread.end(ticket) }
        #expect(unread.bytes == 0 && unread.count == 0 && unread.letGo == 0)
    }

    @Test func `a user with too many unread answers loses the one they took nothing of for longest`() {
        var unread = UnreadAnswers(mostBytes: 100, mostBytesPerUser: 40)
        let others = unread.begin(30, of: two).ticket
        let first = unread.begin(20, of: one).ticket
        let second = unread.begin(20, of: one).ticket
        unread.took(5, of: first)
        #expect(unread.begin(10, of: one).leaving == [second])
        #expect(unread.bytes == 55)
        unread.end(others)
        #expect(unread.bytes == 25)
    }

    @Test func `beyond the bound of all the slowest go, whoever they are, and the newcomer stays`() {
        var unread = UnreadAnswers(mostBytes: 100, mostBytesPerUser: 60)
        let stuck = (1...4).map { unread.begin(20, of: UserID(Int64($0))).ticket }
        let reading = unread.begin(20, of: UserID(5)).ticket
        unread.took(1, of: stuck[0])
        unread.took(1, of: reading)
        let (newcomer, leaving) = unread.begin(50, of: UserID(6))
        #expect(leaving == [stuck[1], stuck[2], stuck[3]])
        #expect(unread.bytes == 88 && unread.letGo == 3)
        unread.took(50, of: newcomer)
        #expect(unread.bytes == 38)
    }

    @Test func `whose is not known counts for all`() {
        var unread = UnreadAnswers(mostBytes: 100, mostBytesPerUser: 10)
        let first = unread.begin(60, of: nil).ticket
        #expect(unread.begin(60, of: nil).leaving == [first])
    }

    @Test func `an answer larger than there is room for goes alone`() {
        var unread = UnreadAnswers(mostBytes: 100, mostBytesPerUser: 10)
        let other = unread.begin(5, of: one).ticket
        let (large, leaving) = unread.begin(200, of: one)
        #expect(leaving == [other])
        unread.end(large)
        #expect(unread.bytes == 0)
    }

    @Test func `who was let go, or is done, counts no more whatever is said of them`() {
        var unread = UnreadAnswers(mostBytes: 10, mostBytesPerUser: 10)
        let gone = unread.begin(10, of: one).ticket
        let stays = unread.begin(10, of: one).ticket
        unread.took(10, of: gone)
        unread.end(gone)
        #expect(unread.bytes == 10 && unread.count == 1)
        unread.took(1_000, of: stays)
        #expect(unread.bytes == 0)
        unread.end(stays)
        unread.end(stays)
        #expect(unread.bytes == 0 && unread.count == 0)
    }

    @Test func `whatever happens, the sums are those of what waits, and within the bounds`() {
        var random = SystemRandomNumberGenerator()
        var unread = UnreadAnswers(mostBytes: 1_000, mostBytesPerUser: 300)
        var open: [UnreadAnswers.Ticket: (left: Int, user: Int64)] = [:]
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                let (bytes, user) = (Int.random(in: 0...100, using: &random), Int64.random(in: 1...8, using: &random))
                let (ticket, leaving) = unread.begin(bytes, of: UserID(user))
                for gone in leaving { open[gone] = nil }
                open[ticket] = (bytes, user)
            case 1:
                guard let (ticket, kept) = open.randomElement(using: &random) else { continue }
                let bytes = Int.random(in: 0...kept.left, using: &random)
                unread.took(bytes, of: ticket)
                open[ticket]?.left -= bytes
            default:
                guard let ticket = open.keys.randomElement(using: &random) else { continue }
                unread.end(ticket)
                open[ticket] = nil
            }
            let sum = open.values.reduce(0) { $0 + $1.left }
            guard unread.bytes == sum, sum <= 1_000, unread.count == open.count else { return #expect(Bool(false), "\(unread) \(open)") }
        }
        for user in 1...8 { #expect(open.values.filter { $0.user == user }.reduce(0) { $0 + $1.left } <= 300) }
    }
}
