import Gateway
import MCP

/// Looks up the groups of a user who has more than a token holds, with the gateway's own application permission
/// (GroupMember.Read.All). Security groups, also those within others.
///
/// It gives all of them or fails: some of a user's groups may be those that say what the user must not do.
struct GraphGroups: Sendable {
    let origin: Origin
    let fetcher: Fetcher
    let now: @Sendable () -> BootInstant

    static let mostPages = 50
    static let mostGroups = 2000
    /// For all pages together.
    static let deadline = Duration.seconds(30)
    private static let largestPage = 256 << 10

    var scope: String { "\(origin)/.default" }

    func groups(of user: GUID, token: Secret<String>) async throws(IssuerFailure) -> [String] {
        let end = now().advanced(by: Self.deadline)
        let headers = [("accept", "application/json"), ("authorization", "Bearer " + token.revealed)].map { (name: $0.0, value: $0.1) }
        guard let first = Endpoint("\(origin)/v1.0/users/\(user)/getMemberObjects") else {
            throw IssuerFailure(.configuration, "The address of Graph is not usable.")
        }
        var request = FetchRequest(
            .post, first, headers: headers + [(name: "content-type", value: "application/json")], body: Array(#"{"securityEnabledOnly":true}"#.utf8),
            largestAnswer: Self.largestPage)
        var groups: [String] = []
        for _ in 0..<Self.mostPages {
            guard now() < end else { throw IssuerFailure(.later(after: nil), "The look-up of the user's groups took longer than \(Self.deadline).") }
            let page = try await page(request)
            guard let list = page["value"], list.kind == .array else { throw Self.unreadable }
            let elements = list.elements
            let ids = elements.compactMap(\.string).filter { $0.isVisibleASCII(1...64) }
            guard ids.count == elements.count else { throw Self.unreadable }
            groups += ids
            guard groups.count <= Self.mostGroups else { throw Self.tooMany }
            guard let next = page["@odata.nextLink"], !next.isNull else { return groups }
            // The next page is asked for with the application's token: nowhere but at Graph itself.
            guard let endpoint = next.string.flatMap({ Endpoint($0) }), endpoint.origin == origin, endpoint.path.hasPrefix("/v1.0/") else {
                throw IssuerFailure(.configuration, "Graph's answer goes on at an address that is not Graph's.")
            }
            request = FetchRequest(.get, endpoint, headers: headers, largestAnswer: Self.largestPage)
        }
        throw Self.tooMany
    }

    private func page(_ request: FetchRequest) async throws(IssuerFailure) -> JSON {
        let answer: FetchedAnswer
        do throws(FetchFailure) { answer = try await fetcher.send(request) } catch { throw IssuerFailure(error, "Graph at \(origin)") }
        switch answer.status {
        case 200: break
        case 408, 429, 500..<600: throw IssuerFailure(.later(after: answer.retryAfter), "Graph was answered with status \(answer.status).")
        case 401, 403:
            throw IssuerFailure(
                .configuration,
                "The application may not look up groups (status \(answer.status)): give it the application permission GroupMember.Read.All with an "
                    + "administrator's consent, or have Entra ID put only groups assigned to the application into tokens."
            )
        default: throw IssuerFailure(.configuration, "The look-up of the user's groups was answered with status \(answer.status).")
        }
        guard answer.body.count <= Self.largestPage, let json = try? JSON(parsing: answer.body, limits: JSON.Limits(depth: 8, nodes: 20_000)) else {
            throw Self.unreadable
        }
        return json
    }

    private static let unreadable = IssuerFailure(.configuration, "Graph's list of the user's groups cannot be read.")
    private static let tooMany = IssuerFailure(
        .configuration,
        "The user is in more than \(mostGroups) groups, or on more than \(mostPages) pages: assign application roles, or have Entra ID put only "
            + "groups assigned to the application into tokens."
    )
}
