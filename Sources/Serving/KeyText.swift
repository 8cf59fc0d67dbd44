import Gateway
import MCP
import OAuth

/// How API keys are asked for and shown, by their owners' API and by the operator's socket alike.
enum KeyText {
    static let memberNames: Set<String> = ["name", "scopes", "servers", "tools", "expires_in_days", "requests_per_minute"]

    /// What is wanted of a new key; whether whoever asks may hand it out is not judged here.
    static func draft(_ members: Members) throws(Refusal) -> APIKeyDraft {
        guard let name = try members.string("name") else { throw .invalid("\"name\" is missing: what the key is for.") }
        let scopes = try scopes(members) ?? .tools
        guard !scopes.isEmpty else { throw .invalid("\"scopes\" are of \(Scopes.all.names.joined(separator: ", ")).") }
        let aliases = try members.strings("servers", most: 100, longest: 12)
        let tools = try members.strings("tools", most: 100, longest: 128)
        var reach = Reach.everything
        if aliases != nil || tools != nil {
            var servers: Set<ServerAlias> = []
            for text in aliases ?? [] {
                guard let alias = ServerAlias(text) else { throw .invalid("\"\(text)\" is no alias of a server.") }
                servers.insert(alias)
            }
            guard (tools ?? []).allSatisfy({ $0.contains("__") && $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } }) else {
                throw .invalid("\"tools\" are names as tools/list shows them: alias, two underscores, the tool's own name.")
            }
            // A list that came out empty must not make a key for everything, and one for nothing is of no use.
            guard !servers.isEmpty || tools?.isEmpty == false else {
                throw .invalid("\"servers\" and \"tools\" name nothing that the key is for; leave both out for everything that you may use.")
            }
            reach = .only(servers: servers, tools: Set(tools ?? []))
        }
        var lifetime = APIKeyDraft.usualLifetime
        if case .set(let days) = try members.integer("expires_in_days", in: 1...366) { lifetime = .seconds(Int64(days) * 86_400) }
        var draft = APIKeyDraft(name: name, scopes: scopes, reach: reach, lifetime: lifetime)
        if case .set(let rate) = try members.integer("requests_per_minute", in: APIKeyDraft.rates) { draft.perMinute = rate }
        return draft
    }

    /// The scopes that are named, each of which has to be one of ours; nil if none are.
    static func scopes(_ members: Members) throws(Refusal) -> Scopes? {
        guard let names = try members.strings("scopes", most: 10, longest: 64) else { return nil }
        let scopes = Scopes(names: names)
        guard scopes.names.count == Set(names).count else { throw .invalid("\"scopes\" are of \(Scopes.all.names.joined(separator: ", ")).") }
        return scopes
    }

    static func written(_ key: APIKey, at now: Timestamp) -> JSONText { .object(members(key, at: now)) }

    /// The answer to whoever made a key: the only one that shows it.
    static func written(_ key: APIKey, _ secret: Secret<String>, at now: Timestamp) -> JSONText {
        var members = members(key, at: now)
        members.insert(("key", .string(secret.revealed)), at: 1)
        return .object(members)
    }

    private static func members(_ key: APIKey, at now: Timestamp) -> [(String, JSONText?)] {
        let (servers, tools): (JSONText, JSONText) =
            switch key.reach {
            case .everything: (.null, .null)
            case .only(let servers, let tools): (.array(servers.sorted().map { .string($0.description) }), .array(tools.sorted().map { .string($0) }))
            }
        let status = key.revokedAt != nil ? "revoked" : now >= key.expiresAt ? "expired" : key.successor != nil ? "replaced" : "good"
        return [
            ("id", .number(key.id.rawValue)), ("name", .string(key.name)), ("hint", .string(key.hint + "…")), ("status", .string(status)),
            ("scopes", .array(key.scopes.names.map { .string($0) })), ("servers", servers), ("tools", tools),
            ("requests_per_minute", key.perMinute.map { .number($0) } ?? .null),
            ("created_at", .string(key.createdAt.rfc3339)), ("expires_at", .string(key.expiresAt.rfc3339)),
            ("last_used_at", key.lastUsedAt.map { .string($0.rfc3339) } ?? .null),
            ("replaced_by", key.successor.map { .number($0.rawValue) } ?? .null),
        ]
    }
}
