import Synchronization

/// The bytes of answers that have begun and not ended, over all connections: what each may take is bounded for itself, and all of them
/// together by this.
final class Gathering: Sendable {
    private let most: Int
    private let held = Atomic(0)

    init(most: Int = 256 << 20) { self.most = most }

    var bytes: Int { held.load(ordering: .relaxed) }

    /// - Returns: false if that is more than there may be. It counts all the same, until it is given back.
    func change(by bytes: Int) -> Bool { held.add(bytes, ordering: .relaxed).newValue <= most || bytes <= 0 }
}
