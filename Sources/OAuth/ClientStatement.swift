import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A client's metadata as JSON, before anything is checked but the types: what a registration and a metadata document have
/// in common. Members that are not listed are ignored (RFC 7591, section 3.1).
struct ClientStatement: Decodable {
    var clientID: String?
    var name: String?
    var redirectURIs: [String]?
    var applicationType: String?
    var authentication: String?
    var grantTypes: [String]?
    var responseTypes: [String]?
    var scope: String?
    var clientURI: String?
    var softwareID: String?
    var softwareVersion: String?
    var keySetURI: String?
    /// Verbatim.
    var keySet: String?
    var names: Set<String> = []

    private enum CodingKeys: String, CodingKey {
        case clientID = "client_id"
        case name = "client_name"
        case redirectURIs = "redirect_uris"
        case applicationType = "application_type"
        case authentication = "token_endpoint_auth_method"
        case grantTypes = "grant_types"
        case responseTypes = "response_types"
        case scope
        case clientURI = "client_uri"
        case softwareID = "software_id"
        case softwareVersion = "software_version"
        case keySetURI = "jwks_uri"
    }

    /// - Throws: `invalid_client_metadata`.
    static func read(_ bytes: [UInt8], longest: Int) throws(OAuthError) -> Self {
        guard bytes.count <= longest else { throw ClientMetadata.invalid("Client metadata has at most \(longest) bytes.") }
        guard let outline = JSONOutline(bytes) else {
            throw ClientMetadata.invalid("Client metadata is a JSON object in UTF-8, with each member once.")
        }
        var statement: Self
        do {
            statement = try JSONDecoder().decode(Self.self, from: Data(bytes))
        } catch DecodingError.typeMismatch(_, let context) {
            throw ClientMetadata.invalid("\"\(context.codingPath.first?.stringValue ?? "")\" is not of the type that RFC 7591 gives it.")
        } catch DecodingError.valueNotFound(_, let context) {
            throw ClientMetadata.invalid("\"\(context.codingPath.first?.stringValue ?? "")\" holds a null where a value belongs.")
        } catch {
            throw ClientMetadata.invalid("Client metadata is a JSON object in UTF-8, with each member once.")
        }
        statement.names = Set(outline.members.map(\.name))
        if let member = outline.members.first(where: { $0.name == "jwks" }) {
            let text = String(decoding: bytes[member.value], as: UTF8.self)
            let trimmed = text.trimmingPrefix { $0.isWhitespace }
            statement.keySet = trimmed == "null" ? nil : String(trimmed)
        }
        return statement
    }

    /// - Throws: `invalid_redirect_uri`, if one is missing or wrong.
    func parsedRedirectURIs() throws(OAuthError) -> [RedirectURI] {
        guard let texts = redirectURIs, (1...ClientMetadata.mostRedirectURIs).contains(texts.count) else {
            throw OAuthError(.invalidRedirectURI, "\"redirect_uris\" has 1 to \(ClientMetadata.mostRedirectURIs) URIs.")
        }
        var uris: [RedirectURI] = []
        for text in texts { uris.append(try RedirectURI(text)) }
        return uris
    }

    func parsedType(_ uris: [RedirectURI]) throws(OAuthError) -> ApplicationType {
        guard let text = applicationType else { return ClientMetadata.guessType(uris) }
        guard let type = ApplicationType(rawValue: text) else { throw ClientMetadata.invalid("\"application_type\" is \"web\" or \"native\".") }
        return type
    }

    /// What this gateway offers of what the client would use; everything offered if it did not say.
    func parsedGrants(offered: [GrantType]) throws(OAuthError) -> [GrantType] {
        guard responseTypes?.contains("code") ?? true else { throw ClientMetadata.invalid("\"response_types\" has \"code\": there is no other.") }
        guard let grantTypes else { return offered }
        let grants = offered.filter { grantTypes.contains($0.rawValue) }
        guard grants.contains(.authorizationCode) else { throw ClientMetadata.invalid("\"grant_types\" has \"authorization_code\".") }
        return grants
    }

    /// Those of the scopes that this gateway knows.
    func parsedScopes() throws(OAuthError) -> ScopeList {
        do { return try ScopeList(parsing: scope ?? "").narrowed(to: .known) } catch { throw ClientMetadata.invalid(error.sentence) }
    }

    /// A home page that cannot be shown as a link is left out.
    func parsedClientURI(isEvaluation: Bool) -> String? {
        clientURI.flatMap { ClientMetadata.isWebPage($0, isEvaluation: isEvaluation) ? $0 : nil }
    }
}
