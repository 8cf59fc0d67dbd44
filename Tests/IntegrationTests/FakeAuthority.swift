import Gateway
import MCP
import NIOHTTP1
import OAuth

/// An MCP server that wants tokens, with the authorization server that gives them beside it: whoever comes is who `account`
/// says. What it publishes of itself can be changed member by member.
final class FakeAuthority: Sendable {
    struct State: Sendable {
        var account = "alice"
        var isLegacy = false
        var lifetime: Int? = 3600
        var codes: [String: (challenge: String, account: String)] = [:]
        var accessTokens: [String: String] = [:]
        var refreshTokens: [String: String] = [:]
        var count = 0
        /// What replaces members of what it publishes; nil leaves one out.
        var metadata: [String: JSONText?] = [:]
        var resourceMetadata: [String: JSONText?] = [:]
        /// What replaces `iss` in its answers; nil leaves it out.
        var iss: String??
        var registrations: [JSON] = []
        var revocationStatus = HTTPResponseStatus.ok
        /// What a tool needs besides, to be asked for with 403.
        var neededScope: String?
        var grantedScopes: [String: String] = [:]
    }

    let state = Mutexed(State())
    /// Canaries, to be looked for on disk.
    let mark = "canary\(RequestID.random())"

    var script: FakeUpstream.Script { { request, upstream in self.answer(request, upstream) } }

    func issuer(_ upstream: FakeUpstream) -> String { upstream.origin + "/as" }

    private func answer(_ request: FakeUpstream.Request, _ upstream: FakeUpstream) -> FakeUpstream.Response {
        switch request.path {
        case "/mcp": return mcp(request, upstream)
        case "/.well-known/oauth-protected-resource/mcp":
            return published(
                [
                    "resource": .string(upstream.endpoint), "authorization_servers": [.string(issuer(upstream))],
                    "scopes_supported": ["files:read", "files:write"],
                ], state.value.resourceMetadata)
        case "/.well-known/oauth-authorization-server/as":
            return published(
                [
                    "issuer": .string(issuer(upstream)), "authorization_endpoint": .string(upstream.origin + "/authorize"),
                    "token_endpoint": .string(upstream.origin + "/token"), "registration_endpoint": .string(upstream.origin + "/register"),
                    "revocation_endpoint": .string(upstream.origin + "/revoke"), "response_types_supported": ["code"],
                    "code_challenge_methods_supported": ["S256"],
                    "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
                    "authorization_response_iss_parameter_supported": true, "scopes_supported": ["files:read", "files:write", "offline_access"],
                ], state.value.metadata)
        case "/register":
            guard let json = request.json else { return .init(status: .badRequest) }
            let number = state.change { $0.registrations.append(json) }.registrations.count
            return .json(["client_id": .string("client-\(number)"), "token_endpoint_auth_method": "none"], status: .created)
        case "/authorize": return authorize(request, upstream)
        case "/token": return token(request, upstream)
        case "/revoke":
            return .init(
                status: state.change { state in
                    if state.revocationStatus == .ok, let token = request.form["token"] { state.refreshTokens[token] = nil }
                }.revocationStatus)
        default: return .nothing
        }
    }

    private func published(_ document: JSONText, _ changes: [String: JSONText?]) -> FakeUpstream.Response {
        guard let json = try? JSON(parsing: document.bytes) else { return .nothing }
        return .json(json.replacing(changes.map { ($0.key, $0.value) }))
    }

    private func mcp(_ request: FakeUpstream.Request, _ upstream: FakeUpstream) -> FakeUpstream.Response {
        let current = state.value
        if let needed = current.neededScope, request.rpc == "tools/call", let bearer = request.bearer,
            current.grantedScopes[bearer]?.split(separator: " ").contains(Substring(needed)) == false
        {
            return .init(
                status: .forbidden, headers: [("www-authenticate", "Bearer error=\"insufficient_scope\", scope=\"\(needed)\"")])
        }
        let server = FakeServer(isLegacy: current.isLegacy) { $0.bearer.flatMap { current.accessTokens[$0] } }
        return server.answer(
            request,
            challenge: "Bearer resource_metadata=\"\(upstream.origin)/.well-known/oauth-protected-resource/mcp\", scope=\"files:read\"")
    }

    private func authorize(_ request: FakeUpstream.Request, _ upstream: FakeUpstream) -> FakeUpstream.Response {
        let query = request.query
        guard let challenge = query["code_challenge"], query["code_challenge_method"] == "S256", query["resource"] == upstream.endpoint,
            query["response_type"] == "code", let redirect = query["redirect_uri"], let state = query["state"], query["client_id"] != nil
        else { return .init(status: .badRequest, body: "what it was asked: \(query)") }
        let after = self.state.change { state in
            state.count += 1
            state.codes["code-\(mark)-\(state.count)"] = (challenge, state.account)
        }
        var pairs = [(name: "code", value: "code-\(mark)-\(after.count)"), (name: "state", value: state)]
        if let iss = after.iss ?? issuer(upstream) { pairs.append((name: "iss", value: iss)) }
        return .init(status: .found, headers: [("location", redirect + "?" + FormURLEncoded.encode(pairs))])
    }

    private func token(_ request: FakeUpstream.Request, _ upstream: FakeUpstream) -> FakeUpstream.Response {
        let form = request.form
        guard form["resource"] == upstream.endpoint, form["client_id"] != nil else { return .json(["error": "invalid_request"], status: .badRequest) }
        var account: String?
        state.change { state in
            switch form["grant_type"] {
            case "authorization_code":
                guard let code = form["code"], let issued = state.codes.removeValue(forKey: code), let text = form["code_verifier"],
                    let verifier = try? CodeVerifier(text), verifier.challenge.text == issued.challenge
                else { return }
                account = issued.account
            case "refresh_token": account = form["refresh_token"].flatMap { state.refreshTokens.removeValue(forKey: $0) }
            default: return
            }
            guard let account else { return }
            state.count += 1
            state.accessTokens["access-\(mark)-\(state.count)"] = account
            state.refreshTokens["refresh-\(mark)-\(state.count)"] = account
            state.grantedScopes["access-\(mark)-\(state.count)"] = form["scope"] ?? "files:read"
        }
        guard account != nil else { return .json(["error": "invalid_grant"], status: .badRequest) }
        let current = state.value
        return .json(
            .object([
                ("access_token", .string("access-\(mark)-\(current.count)")), ("token_type", "Bearer"),
                ("expires_in", current.lifetime.map { .number($0) }), ("refresh_token", .string("refresh-\(mark)-\(current.count)")),
                ("scope", form["scope"].map { .string($0) }),
            ]))
    }
}
