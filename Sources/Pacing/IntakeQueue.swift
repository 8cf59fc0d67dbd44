/// Whose turn it is to receive something large, so that what is on its way takes no more than there is room for.
///
/// Room is for the whole of it: whoever is admitted can always come to an end. In the order in which they came, except that nobody waits
/// behind a source that has its share.
package struct IntakeQueue<Source: Hashable & Sendable>: Sendable {
    package typealias Ticket = Int

    private struct Claim {
        let bytes: Int
        let source: Source
    }

    private let mostBytes: Int
    private let mostBytesPerSource: Int
    private var admitted: [Ticket: Claim] = [:]
    private var waiting: [(ticket: Ticket, claim: Claim)] = []
    private var perSource: [Source: Int] = [:]
    private var count = 0
    package private(set) var bytes = 0

    package init(mostBytes: Int, mostBytesPerSource: Int) {
        self.mostBytes = mostBytes
        self.mostBytesPerSource = mostBytesPerSource
    }

    package var waiters: Int { waiting.count }

    /// - Returns: a ticket to give back, and whether it is its turn already.
    package mutating func claim(_ bytes: Int, of source: Source) -> (ticket: Ticket, isAdmitted: Bool) {
        count += 1
        let claim = Claim(bytes: bytes, source: source)
        // Whoever came before and could have room goes first; what waits for its source's share alone is passed.
        let isAdmitted = fits(claim) && !waiting.contains { isWithinShare($0.claim) }
        if isAdmitted { admit(count, claim) } else { waiting.append((count, claim)) }
        return (count, isAdmitted)
    }

    /// - Returns: whose turn it is now.
    package mutating func end(_ ticket: Ticket) -> [Ticket] {
        if let claim = admitted.removeValue(forKey: ticket) {
            bytes -= claim.bytes
            let left = perSource[claim.source, default: 0] - claim.bytes
            perSource[claim.source] = left > 0 ? left : nil
        } else {
            waiting.removeAll { $0.ticket == ticket }
        }
        var turns: [Ticket] = []
        while let index = waiting.firstIndex(where: { isWithinShare($0.claim) }), fits(waiting[index].claim) {
            let (ticket, claim) = waiting.remove(at: index)
            admit(ticket, claim)
            turns.append(ticket)
        }
        return turns
    }

    /// Whether somebody has to wait because of the room that it has.
    package func isWaitedFor(_ ticket: Ticket) -> Bool {
        guard let source = admitted[ticket]?.source else { return false }
        return waiting.contains { $0.claim.source == source || isWithinShare($0.claim) }
    }

    private mutating func admit(_ ticket: Ticket, _ claim: Claim) {
        admitted[ticket] = claim
        bytes += claim.bytes
        perSource[claim.source, default: 0] += claim.bytes
    }

    /// What is larger than the share, or than all there is, goes when it is alone.
    private func isWithinShare(_ claim: Claim) -> Bool {
        let taken = perSource[claim.source, default: 0]
        return taken == 0 || taken + claim.bytes <= mostBytesPerSource
    }

    private func fits(_ claim: Claim) -> Bool { isWithinShare(claim) && (bytes == 0 || bytes + claim.bytes <= mostBytes) }
}
