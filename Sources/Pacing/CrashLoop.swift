package import Gateway

/// Whether a program is worth starting again: no more after it crashed so often in so short a time, until somebody looked after it.
package struct CrashLoop: Sendable {
    package static let most = 5
    package static let window = Duration.seconds(120)

    private var crashes: [BootInstant] = []
    package private(set) var isResting = false

    package init() {}

    /// It ended by itself before it was of any use.
    ///
    /// - Returns: whether it is put to rest with that; once, until it is woken.
    package mutating func crashed(at now: BootInstant) -> Bool {
        guard !isResting else { return false }
        crashes.append(now)
        crashes.removeAll { $0.advanced(by: Self.window) < now }
        isResting = crashes.count >= Self.most
        return isResting
    }

    /// It is of use, or somebody wants it tried again.
    ///
    /// - Returns: whether it was at rest.
    @discardableResult
    package mutating func wake() -> Bool {
        defer { self = Self() }
        return isResting
    }
}
