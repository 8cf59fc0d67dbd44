/// On whom it counts that a request was bad.
package enum Blame: Hashable, Sendable {
    /// Nobody did wrong: a client that asks without a token is on its way to sign in, one with an old token to a new one.
    case nobody
    /// Whoever it was: a token that is none of ours, or more requests without one than an address may send.
    case address
    /// What somebody known does wrong is held against them, not against the office they share an address with.
    case account(UserID)
}
