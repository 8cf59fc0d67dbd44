import Gateway
import MCP
import OAuth

/// Finds out who gives tokens for a server (MCP authorization, Z-40): strangers' words, read with a fetcher that goes to no
/// private address and follows no redirect. Each question has five seconds, and there are at most seven.
struct UpstreamDiscovery: Sendable {
    let fetcher: Fetcher

    private static let deadline = Duration.seconds(5)

    /// Who gives tokens for a server, what they have to be for, and what to ask for.
    struct Found: Hashable, Sendable {
        let authority: AuthorityMetadata
        let resource: String
        /// Names separated by blanks; nil if nobody says.
        let scope: String?
    }

    /// - Parameter issuer: whose tokens they must be, if an administrator said so.
    func find(_ endpoint: Endpoint, expecting issuer: String?) async throws(IssuerFailure) -> Found {
        let challenge = await challenge(of: endpoint)
        let metadata = try await resourceMetadata(of: endpoint, challenge)
        let named: String
        if let metadata {
            guard let found = issuer.map({ wanted in metadata.issuers.first { $0.isExactly(wanted) } }) ?? metadata.issuers.first else {
                throw IssuerFailure(
                    .configuration, "\(endpoint.origin) takes tokens of other authorization servers than the one it is registered with.")
            }
            named = found
        } else {
            // Before there was such metadata, the server's own origin was asked (MCP of 2025-03-26).
            named = issuer ?? endpoint.origin.description
        }
        let authority = try await authority(named)
        let scopes = metadata?.scopes ?? []
        return Found(
            authority: authority, resource: metadata?.resource ?? Self.resource(of: endpoint),
            scope: Self.usable(challenge?.scope) ?? (scopes.isEmpty ? nil : Self.usable(scopes.joined(separator: " "))))
    }

    /// A server's own URL as tokens name it (RFC 8707, section 2).
    static func resource(of endpoint: Endpoint) -> String {
        let path = endpoint.path.prefix { $0 != "?" }
        return endpoint.origin.description + (path == "/" ? "" : path)
    }

    private static func usable(_ scope: String?) -> String? {
        guard let scope, !scope.isEmpty else { return nil }
        return (try? ScopeList(parsing: scope))?.description
    }

    func authority(_ issuer: String) async throws(IssuerFailure) -> AuthorityMetadata {
        for place in try AuthorityMetadata.places(of: issuer) {
            if let json = try await document(at: place, largest: AuthorityMetadata.largest) { return try AuthorityMetadata(json, of: issuer) }
        }
        throw IssuerFailure(.configuration, "The authorization server \(issuer.cut(200).withoutControls) publishes no metadata.")
    }

    /// What the server says to somebody who shows nothing.
    private func challenge(of endpoint: Endpoint) async -> BearerChallenge? {
        let question: JSONText = Message.request(id: MessageID(1), method: "ping", params: nil)
        let request = FetchRequest(
            .post, endpoint,
            headers: [("content-type", "application/json"), ("accept", "application/json, text/event-stream")].map { (name: $0.0, value: $0.1) },
            body: question.bytes, largestAnswer: 64 << 10, deadline: Self.deadline)
        guard let answer = try? await fetcher.send(request), answer.status == 401 else { return nil }
        return BearerChallenge(answer.headers.filter { $0.name == "www-authenticate" }.map(\.value))
    }

    private func resourceMetadata(of endpoint: Endpoint, _ challenge: BearerChallenge?) async throws(IssuerFailure) -> ResourceMetadata? {
        var places = ResourceMetadata.places(of: endpoint)
        if let text = challenge?.resourceMetadata {
            // What is said of a server is said at its own origin.
            guard let place = Endpoint(text), place.origin == endpoint.origin else {
                throw IssuerFailure(.configuration, "\(endpoint.origin) names resource metadata that is not at its own origin.")
            }
            places.insert(place, at: 0)
        }
        for place in places {
            if let json = try await document(at: place, largest: AuthorityMetadata.largest) { return try ResourceMetadata(json, of: endpoint) }
        }
        return nil
    }

    /// Nil if there is none there: an error of the client's, a redirect, or something that is no JSON object.
    private func document(at place: Endpoint, largest: Int) async throws(IssuerFailure) -> JSON? {
        let request = FetchRequest(.get, place, headers: [("accept", "application/json")], largestAnswer: largest, deadline: Self.deadline)
        let answer: FetchedAnswer
        do throws(FetchFailure) { answer = try await fetcher.send(request) } catch { throw IssuerFailure(error, "\(place)") }
        switch answer.status {
        case 200:
            guard let json = try? JSON(parsing: answer.body, limits: JSON.Limits(depth: 16, nodes: 10_000)), json.isObject else { return nil }
            return json
        case 408, 429, 500..<600: throw IssuerFailure(.later(after: answer.retryAfter), "\(place) was answered with status \(answer.status).")
        default: return nil
        }
    }
}
