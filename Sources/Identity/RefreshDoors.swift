package import Gateway
package import OAuth

/// Why an issuer gave no new tokens.
package enum RefreshFailure: Error, Hashable, Sendable {
    /// It declined, with a code of RFC 6749 (5.2), OpenID Connect Core (3.1.2.6) or its own.
    case refused(code: String)
    /// It asked to be left alone (429), or failed (5xx); for how long, if it said so.
    case later(Duration?)
    /// No answer. Whether it acted on the request is not known.
    case unreachable

    /// What a failure speaks against.
    enum Meaning: Hashable, Sendable {
        /// The refresh token is no good: its user has to sign in again.
        case token
        /// The issuer does not know the gateway, or not as a client that refreshes: an operator has to see to it, and no
        /// user's tokens are the worse for it.
        case client
        case issuer(Duration?)
        /// It declined this request for reasons of its own; the next may be granted.
        case attempt
    }

    var meaning: Meaning {
        switch self {
        case .refused("invalid_grant"), .refused("interaction_required"), .refused("login_required"), .refused("consent_required"): .token
        case .refused("invalid_client"), .refused("unauthorized_client"), .refused("unsupported_grant_type"): .client
        case .refused("temporarily_unavailable"), .refused("server_error"): .issuer(nil)
        case .refused: .attempt
        case .later(let wait): .issuer(wait)
        case .unreachable: .issuer(nil)
        }
    }
}

/// Names one attempt to use a refresh token; noted before it is sent, gone when what came of it is stored.
package struct RefreshIntent: Hashable, Sendable {
    /// Chosen at random.
    package let id: UInt64
    package let at: Timestamp

    package init(id: UInt64, at: Timestamp) {
        self.id = id
        self.at = at
    }
}

/// What the store knows about a user's tokens, without the tokens.
package struct StoredTokens: Hashable, Sendable {
    package let user: UserID
    package let issuer: String
    package let obtainedAt: Timestamp
    package let expiresAt: Timestamp
    package let canRefresh: Bool
    /// An attempt is noted of which nothing more is known.
    package let hasOpenIntent: Bool

    package init(user: UserID, issuer: String, obtainedAt: Timestamp, expiresAt: Timestamp, canRefresh: Bool, hasOpenIntent: Bool) {
        self.user = user
        self.issuer = issuer
        self.obtainedAt = obtainedAt
        self.expiresAt = expiresAt
        self.canRefresh = canRefresh
        self.hasOpenIntent = hasOpenIntent
    }
}

/// The refresher's doors to the issuer, the store and the record.
///
/// What `begin`, `finish` and `forget` say is on disk when they return, and each is one transaction that runs to its end even
/// if its task is cancelled. Whoever stores tokens at a sign-in, or deletes them at a sign-out, deletes the intent in the
/// same transaction: an attempt that was under way then finds its intent gone, and changes nothing.
package struct RefreshDoors: Sendable {
    /// Asks the issuer once, within a deadline of its own. The answer's refresh token is nil if the issuer gave no new one.
    package var refresh: @Sendable (_ user: UserID, _ tokens: IssuerTokens) async throws(RefreshFailure) -> IssuerTokens
    package var load: @Sendable (_ user: UserID) async throws -> IssuerTokens?
    /// Notes an intent in the place of an earlier one; returns the tokens it is for, nil (and nothing noted) if there are none.
    package var begin: @Sendable (_ user: UserID, _ intent: RefreshIntent) async throws -> IssuerTokens?
    /// Stores new tokens and deletes the intent; false, and nothing done, if the intent is not there any more.
    package var finish: @Sendable (_ user: UserID, _ tokens: IssuerTokens, _ intent: RefreshIntent) async throws -> Bool
    /// Deletes the tokens and the intent; false, and nothing done, if the intent is not there any more.
    package var forget: @Sendable (_ user: UserID, _ intent: RefreshIntent) async throws -> Bool
    /// The next so many after that user, in an order that does not change; empty at the end.
    package var all: @Sendable (_ after: UserID?, _ count: Int) async throws -> [StoredTokens]
    /// Puts a row in the audit trail, durably; the user's tenant is filled in on the way.
    package var record: @Sendable (_ record: AuditRecord) async throws -> Void

    package init(
        refresh: @escaping @Sendable (UserID, IssuerTokens) async throws(RefreshFailure) -> IssuerTokens,
        load: @escaping @Sendable (UserID) async throws -> IssuerTokens?,
        begin: @escaping @Sendable (UserID, RefreshIntent) async throws -> IssuerTokens?,
        finish: @escaping @Sendable (UserID, IssuerTokens, RefreshIntent) async throws -> Bool,
        forget: @escaping @Sendable (UserID, RefreshIntent) async throws -> Bool,
        all: @escaping @Sendable (UserID?, Int) async throws -> [StoredTokens],
        record: @escaping @Sendable (AuditRecord) async throws -> Void
    ) {
        self.refresh = refresh
        self.load = load
        self.begin = begin
        self.finish = finish
        self.forget = forget
        self.all = all
        self.record = record
    }
}

/// The time, and how to wait for it: live, the system's; in a test, whatever the test says.
package struct RefreshClock: Sendable {
    package var now: @Sendable () -> Moment
    /// Returns then, or earlier if the task is cancelled.
    package var sleep: @Sendable (_ until: BootInstant) async -> Void

    package init(now: @escaping @Sendable () -> Moment, sleep: @escaping @Sendable (BootInstant) async -> Void) {
        self.now = now
        self.sleep = sleep
    }

    /// - Parameter now: the system's clocks. Timers may stand still while the machine sleeps, so nobody should wait long at once.
    package static func system(now: @escaping @Sendable () -> Moment) -> Self {
        Self(now: now) { moment in
            try? await Task.sleep(for: .nanoseconds(max(0, moment.nanoseconds - now().boot.nanoseconds)))
        }
    }
}

/// Why there are no tokens for a caller.
package enum TokensUnavailable: Error, Hashable, Sendable {
    /// There are none, the issuer refused them, or it failed as often as it may: the user has to sign in again.
    case signInAgain
    /// They have expired and cannot be renewed before this has passed.
    case later(Duration)
    /// They have expired, and the refresh took longer than the caller could wait; it goes on.
    case timedOut
    /// Too many callers wait.
    case busy
    /// The gateway is shutting down.
    case stopping
}

/// What came of a refresh that an administrator asked for.
package enum ForcedRefresh: Hashable, Sendable {
    case renewed(expiresAt: Timestamp)
    case failed(TokensUnavailable)
    /// The store failed; the log says why.
    case storeFailed
}
