package import Gateway
import LMDB
package import OAuth
import Sealing

/// Refreshes under way. A refresh token that is used once may be worth nothing afterwards, so that it is going to be used is
/// on disk before the issuer sees it, and the new one is before the old one is forgotten.
extension TokenVault {
    /// Notes that the refresh token is going to be shown to the issuer, and hands it out.
    ///
    /// One refresh of a user at a time is the caller's business. Each ends with `finishRefresh`, `refuseRefresh` or
    /// `cancelRefresh`, or is found by `openRefreshes` after a crash.
    ///
    /// - Returns: nil if there is no refresh token.
    package func beginRefresh(of user: UserID, at now: Timestamp) throws -> RefreshAttempt? {
        try write { transaction in
            guard let held = try open(transaction.entry(.refreshToken(user)), .refreshToken(user), HeldRefreshToken.init) else { return nil }
            let fingerprint = held.fingerprint
            let earlier = try intent(of: user, in: transaction).flatMap { isEqual($0.fingerprint, fingerprint) ? $0 : nil }
            let intent = RefreshIntent(fingerprint: fingerprint, attempts: (earlier?.attempts ?? 0) + 1, begunAt: earlier?.begunAt ?? now)
            try put(intent.fields, under: .refreshIntent(user), in: transaction)
            return RefreshAttempt(
                user: user, refreshToken: held.token, issuer: held.issuer, scope: held.scope, number: Int(intent.attempts), begunAt: intent.begunAt)
        }
    }

    /// Keeps what the issuer gave, and forgets the note, in one transaction. Without a new refresh token the old one stays.
    ///
    /// - Returns: false, and nothing was changed, when the user has signed in anew or out in the meantime: then what came
    ///   belongs to a sign-in that is over.
    package func finishRefresh(_ attempt: RefreshAttempt, with tokens: IssuerTokens) throws -> Bool {
        try write { transaction in
            guard try intent(of: attempt, in: transaction) != nil else { return false }
            try put(tokens, for: attempt.user, in: transaction)
            try delete(.refreshIntent(attempt.user), in: transaction)
            return true
        }
    }

    /// The issuer will have nothing more of this refresh token: it is forgotten. An access token stays good to its end.
    ///
    /// - Returns: false, and nothing was changed, when the user has signed in anew or out in the meantime.
    package func refuseRefresh(_ attempt: RefreshAttempt) throws -> Bool {
        try write(isDeletion: true) { transaction in
            guard try intent(of: attempt, in: transaction) != nil else { return false }
            try delete(.refreshToken(attempt.user), in: transaction)
            try delete(.refreshIntent(attempt.user), in: transaction)
            return true
        }
    }

    /// The issuer has not seen the refresh token this time: it is as if the attempt had not begun.
    package func cancelRefresh(_ attempt: RefreshAttempt) throws {
        try write(isDeletion: true) { transaction in
            guard var intent = try intent(of: attempt, in: transaction) else { return }
            intent.attempts -= 1
            if intent.attempts > 0 {
                // What became of an earlier one is still not known.
                try put(intent.fields, under: .refreshIntent(attempt.user), in: transaction)
            } else {
                try delete(.refreshIntent(attempt.user), in: transaction)
            }
        }
    }

    /// The refreshes that were begun and have not ended; after a start, those a crash cut short.
    ///
    /// - Throws: also for a single entry that does not open.
    package func openRefreshes() throws -> [OpenRefresh] {
        try file.read { snapshot in
            var found: [(user: UserID, entry: SealedEntry)] = []
            var next: [UInt8]? = Array(VaultKey.intentPrefix.utf8)
            while let start = next, start.starts(with: VaultKey.intentPrefix.utf8) {
                next = try snapshot.entries(from: start, count: 256) { key, value in
                    guard case .refreshIntent(let user) = VaultKey(key) else { return }
                    found.append((user, SealedEntry(value)))
                }
            }
            return try found.compactMap { user, entry in
                try open(entry, .refreshIntent(user), RefreshIntent.init).map {
                    OpenRefresh(user: user, attempts: Int($0.attempts), begunAt: $0.begunAt)
                }
            }
        }
    }

    private func intent(of user: UserID, in transaction: borrowing WriteTransaction) throws -> RefreshIntent? {
        try open(transaction.entry(.refreshIntent(user)), .refreshIntent(user), RefreshIntent.init)
    }

    /// Nil if it is of another refresh token, or there is none.
    private func intent(of attempt: RefreshAttempt, in transaction: borrowing WriteTransaction) throws -> RefreshIntent? {
        try intent(of: attempt.user, in: transaction).flatMap { isEqual($0.fingerprint, attempt.refreshToken.fingerprint) ? $0 : nil }
    }
}

/// That a refresh token is being used.
private struct RefreshIntent {
    let fingerprint: [UInt8]
    var attempts: Int64
    let begunAt: Timestamp

    init(fingerprint: [UInt8], attempts: Int64, begunAt: Timestamp) {
        self.fingerprint = fingerprint
        self.attempts = attempts
        self.begunAt = begunAt
    }

    init?(_ fields: inout VaultField.Reader) {
        guard let fingerprint = fields.bytes(), let attempts = fields.number(), let begunAt = fields.number() else { return nil }
        self.init(fingerprint: fingerprint, attempts: attempts, begunAt: Timestamp(microseconds: begunAt))
    }

    var fields: [VaultField] { [.bytes(fingerprint), .number(attempts), .number(begunAt.microseconds)] }
}

/// A refresh token with what is needed to use it, however long ago the access token ended.
struct HeldRefreshToken {
    let token: Secret<String>
    let issuer: String
    let scope: String
    /// Of the tokens that came with it. Known also when all else about them is over: a refresh is for the tokens of one moment.
    let obtainedAt: Timestamp

    init?(_ fields: inout VaultField.Reader) {
        guard let token = fields.text(), let issuer = fields.text(), let scope = fields.text() else { return nil }
        (self.token, self.issuer, self.scope) = (Secret(token), issuer, scope)
        // Not noted by the first versions; then it is the same each time, which is what counts.
        obtainedAt = Timestamp(microseconds: fields.number() ?? 0)
    }

    var fingerprint: [UInt8] { token.fingerprint }
}

extension Secret<String> {
    fileprivate var fingerprint: [UInt8] { digest(of: Array(revealed.utf8)) }
}
