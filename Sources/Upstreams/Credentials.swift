package import Gateway

/// What servers are shown: live, the vault and authorization servers; in a test, literals. A caller's own credential is
/// nowhere in it.
package struct Credentials: Sendable {
    /// In whose name the tools of a server are listed where each user is somebody else to it; nil for nobody's.
    ///
    /// - Throws: `UpstreamFailure.credential` if there is nobody yet.
    package var lister: @Sendable (ServerRecord) async throws(UpstreamFailure) -> UserID?
    /// - Parameter user: in whose name; nil for the gateway's own.
    /// - Throws: `UpstreamFailure.credential` with what to do about it.
    package var show: @Sendable (ServerRecord, _ user: UserID?) async throws(UpstreamFailure) -> ShownCredential
    /// The server turned it away. When this returns, it is worth asking once more.
    package var turnedAway: @Sendable (TurnedAway, ServerRecord, _ user: UserID?) async throws(UpstreamFailure) -> Void

    package init(
        lister: @escaping @Sendable (ServerRecord) async throws(UpstreamFailure) -> UserID?,
        show: @escaping @Sendable (ServerRecord, _ user: UserID?) async throws(UpstreamFailure) -> ShownCredential,
        turnedAway: @escaping @Sendable (TurnedAway, ServerRecord, _ user: UserID?) async throws(UpstreamFailure) -> Void
    ) {
        self.lister = lister
        self.show = show
        self.turnedAway = turnedAway
    }

    /// Nothing is shown to anybody.
    package static let none = Credentials { _ throws(UpstreamFailure) in
        nil
    } show: { _, _ throws(UpstreamFailure) in
        ShownCredential(headers: [], mark: 0)
    } turnedAway: { _, _, _ throws(UpstreamFailure) in
        throw .rejected(status: 401, error: nil)
    }
}

/// What one conversation shows its server.
struct OwnCredential: Sendable {
    let server: ServerRecord
    let user: UserID?
    let credentials: Credentials

    func show() async throws(UpstreamFailure) -> ShownCredential { try await credentials.show(server, user) }

    /// Returns if another try is worth it, once.
    func turnedAway(_ why: TurnedAway) async throws(UpstreamFailure) { try await credentials.turnedAway(why, server, user) }
}

extension ShownCredential {
    /// What a server's status and challenge mean for it; nil if they are about something else.
    func failure(_ status: UInt, _ challenges: [String]) -> UpstreamFailure? {
        switch status {
        case 401: return .turnedAway(TurnedAway(mark: mark))
        case 403:
            guard let challenge = BearerChallenge(challenges), challenge.error == "insufficient_scope" else { return nil }
            return .turnedAway(TurnedAway(mark: mark, wantedScope: challenge.scope ?? ""))
        default: return nil
        }
    }
}
