/// The connection that a request came by, as far as whoever answers cares: whether somebody waits at its other end.
package struct Caller: Sendable {
    /// Calls the closure once, soon after the caller has gone, unless what is returned was called before.
    package let whenGone: @Sendable (_ action: @escaping @Sendable () -> Void) -> @Sendable () -> Void

    package init(whenGone: @escaping @Sendable (_ action: @escaping @Sendable () -> Void) -> @Sendable () -> Void) { self.whenGone = whenGone }

    /// One of whom it is not known that they go.
    package static let staying = Caller { _ in {} }
}
