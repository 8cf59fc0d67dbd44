package import Gateway

/// How a user stands with a server that wants an account of theirs, and what that means for a call.
///
///     not connected → asked → connected ⇄ expired
///           ↑            ↘        ↓
///           └──────────────── refused → asked → …
package enum Connection: Sendable {
    case notConnected
    /// On the way to the authorization server and not back yet.
    case asked
    case connected(UpstreamTokens)
    /// There were tokens, and the server or the authorization server will have nothing more of them.
    case refused

    package enum State: String, Hashable, Sendable, CaseIterable {
        case notConnected = "not_connected"
        case asked, connected, expired, refused
    }

    /// What there is to do before a call.
    package enum Step: Sendable {
        case show(Secret<String>, until: Timestamp?)
        case refresh(Secret<String>)
        /// The user has to do something: in this state they are told what.
        case ask(State)
    }

    /// - Parameters:
    ///   - tokens: what the vault holds.
    ///   - server: the origin of the server that is asked: tokens that were given for another are as none.
    ///   - isAsked: whether the user is under way.
    package init(_ tokens: UpstreamTokens?, for server: String, isAsked: Bool = false) {
        guard let tokens, tokens.server.utf8.elementsEqual(server.utf8) else {
            self = isAsked ? .asked : .notConnected
            return
        }
        self = tokens.isRefused ? isAsked ? .asked : .refused : .connected(tokens)
    }

    /// Before its end an access token is renewed: a call that begins with it may take a while to arrive.
    package static let margin = Duration.seconds(60)

    /// - Parameter isTurnedAway: whether the server turned away the access token there is.
    package func step(at now: Timestamp, isTurnedAway: Bool = false) -> Step {
        switch self {
        case .notConnected: return .ask(.notConnected)
        case .asked: return .ask(.asked)
        case .refused: return .ask(.refused)
        case .connected(let tokens):
            let isGood = !isTurnedAway && tokens.isGood(at: now.advanced(by: Self.margin))
            if isGood { return .show(tokens.accessToken, until: tokens.expiresAt) }
            if let refreshToken = tokens.refreshToken { return .refresh(refreshToken) }
            // There is no other one, so it is shown to its very end.
            if !isTurnedAway, tokens.isGood(at: now) { return .show(tokens.accessToken, until: tokens.expiresAt) }
            return .ask(isTurnedAway ? .refused : .expired)
        }
    }

    package func state(at now: Timestamp) -> State {
        switch self {
        case .notConnected: .notConnected
        case .asked: .asked
        case .refused: .refused
        case .connected(let tokens): tokens.isGood(at: now) || tokens.refreshToken != nil ? .connected : .expired
        }
    }
}

extension UpstreamTokens {
    fileprivate func isGood(at moment: Timestamp) -> Bool { expiresAt.map { moment < $0 } ?? true }

    /// The same after a refresh; what the answer leaves out stays as it was (RFC 6749, section 6).
    package func renewed(with answer: IssuerTokens, isTimed: Bool) -> Self {
        var renewed = self
        renewed.accessToken = answer.accessToken
        if let refreshToken = answer.refreshToken { renewed.refreshToken = refreshToken }
        renewed.scope = answer.scope
        renewed.obtainedAt = answer.obtainedAt
        renewed.expiresAt = isTimed ? answer.expiresAt : nil
        return renewed
    }

    /// The same when nobody will have anything of them any more.
    package var refused: Self {
        var refused = self
        (refused.accessToken, refused.refreshToken, refused.isRefused) = (Secret(""), nil, true)
        return refused
    }
}

/// That a user has connected an account of theirs at a server, as the record of truth knows it.
package struct ConnectionRecord: Hashable, Sendable {
    package let user: UserID
    package let server: ServerID
    package let issuer: String
    package let scope: String
    package let connectedAt: Timestamp
    /// Of the access token, if that is known.
    package let expiresAt: Timestamp?
    /// Why it is of no use any more.
    package let lastError: String?

    package init(
        user: UserID, server: ServerID, issuer: String, scope: String, connectedAt: Timestamp, expiresAt: Timestamp?, lastError: String? = nil
    ) {
        self.user = user
        self.server = server
        self.issuer = issuer
        self.scope = scope
        self.connectedAt = connectedAt
        self.expiresAt = expiresAt
        self.lastError = lastError
    }
}

/// Whether an answer to an authorization request may be used at all, before anything else in it is (RFC 9207, section 2.4).
package enum AnswerSender {
    /// - Parameters:
    ///   - iss: as it came, also with an error.
    ///   - issuer: whom the browser was sent to.
    ///   - isAnnounced: whether that one says of itself that it always writes `iss`.
    package static func isRight(_ iss: String?, issuer: String, isAnnounced: Bool) -> Bool {
        guard let iss else { return !isAnnounced }
        return iss.utf8.elementsEqual(issuer.utf8)
    }
}
