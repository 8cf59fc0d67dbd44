package import Gateway

/// Answers that their readers have not taken yet, and who is let go when they are too many (F-35).
///
/// Bounded in bytes for all and for each user. Beyond a bound that reader goes who took nothing for longest: of the user's own, then of
/// all. Whoever comes last stays, so one who reads is not held up by those who do not.
package struct UnreadAnswers: Sendable {
    package typealias Ticket = Int

    private struct Waiting {
        let user: UserID?
        var bytes: Int
        /// The number of the step in which something of it was taken last.
        var takenAt: Int
    }

    /// A quarter of a small machine's memory of 1 GiB.
    package static let mostBytes = 256 << 20
    /// Four of the largest answers.
    package static let mostBytesPerUser = 64 << 20

    private let mostBytes: Int
    private let mostBytesPerUser: Int
    private var waiting: [Ticket: Waiting] = [:]
    private var perUser: [UserID: Int] = [:]
    private var steps = 0
    package private(set) var bytes = 0
    /// How many readers were let go.
    package private(set) var letGo = 0

    package init(mostBytes: Int = Self.mostBytes, mostBytesPerUser: Int = Self.mostBytesPerUser) {
        self.mostBytes = mostBytes
        self.mostBytesPerUser = mostBytesPerUser
    }

    package var count: Int { waiting.count }

    /// - Parameter user: nil if that is not known; it counts for all alone.
    /// - Returns: a ticket, and whom to let go for it: they are counted no longer.
    package mutating func begin(_ bytes: Int, of user: UserID?) -> (ticket: Ticket, leaving: [Ticket]) {
        steps += 1
        let ticket = steps
        waiting[ticket] = Waiting(user: user, bytes: 0, takenAt: ticket)
        add(bytes, to: ticket)
        var leaving: [Ticket] = []
        if let user {
            while perUser[user, default: 0] > mostBytesPerUser, let slowest = slowest(besides: ticket, of: user) {
                leaving.append(slowest)
                end(slowest)
            }
        }
        while self.bytes > mostBytes, let slowest = slowest(besides: ticket, of: nil) {
            leaving.append(slowest)
            end(slowest)
        }
        letGo += leaving.count
        return (ticket, leaving)
    }

    /// Its reader took something.
    package mutating func took(_ bytes: Int, of ticket: Ticket) {
        guard let kept = waiting[ticket] else { return }
        steps += 1
        waiting[ticket]?.takenAt = steps
        add(-min(bytes, kept.bytes), to: ticket)
    }

    /// Its reader has it all, or has gone.
    package mutating func end(_ ticket: Ticket) {
        guard let kept = waiting[ticket] else { return }
        add(-kept.bytes, to: ticket)
        waiting[ticket] = nil
    }

    /// - Parameter user: nil for anybody's.
    private func slowest(besides ticket: Ticket, of user: UserID?) -> Ticket? {
        waiting.lazy.filter { $0.key != ticket && (user == nil || $0.value.user == user) }.min { $0.value.takenAt < $1.value.takenAt }?.key
    }

    private mutating func add(_ change: Int, to ticket: Ticket) {
        waiting[ticket]?.bytes += change
        bytes += change
        guard let user = waiting[ticket]?.user else { return }
        let left = perUser[user, default: 0] + change
        perUser[user] = left > 0 ? left : nil
    }
}
