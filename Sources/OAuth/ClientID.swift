package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What client ids are made and recognised with.
package struct ClientIDKey: Sendable {
    fileprivate let marks: MarkKeys

    /// - Parameters:
    ///   - secret: at least 32 bytes, random. New ids are made with it.
    ///   - older: former secrets, whose ids are still good.
    package init(_ secret: Secret<[UInt8]>, older: [Secret<[UInt8]>] = []) { marks = MarkKeys(secret, older: older, label: "mreg client id\n") }
}

/// The id of a client that registered itself: it carries what was registered, and a mark that only this gateway can make.
///
/// So a flood of registrations fills no table. An id cannot be taken back one by one; it can be refused by its age.
package struct ClientID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package static let longest = 2048
    private static let prefix = "mreg-c1."
    private static let markLength = 16

    /// Whether a client id is of this kind, before it is known to be a good one.
    package static func isMeant(by id: String) -> Bool { id.utf8.starts(with: prefix.utf8) }

    /// The same id for the same metadata, second and key.
    ///
    /// - Throws: `invalid_client_metadata` if there is too much of it, or the client is not a public one.
    package static func issue(_ metadata: ClientMetadata, at now: Timestamp, key: ClientIDKey) throws(OAuthError) -> ClientID {
        guard metadata.authentication == .none else {
            throw OAuthError(.invalidClientMetadata, "Only public clients are registered here.")
        }
        let content = prefix + Base64URL.encode(Content.bytes(of: metadata, at: now))
        let text = content + "." + Base64URL.encode(key.marks.mark(of: Array(content.utf8)).prefix(markLength))
        guard text.utf8.count <= longest else {
            throw OAuthError(
                .invalidClientMetadata, "The names and redirect URIs together are too long: they have to fit a client id of \(longest) bytes.")
        }
        return ClientID(text: text)
    }

    /// What was registered, and when (to the second).
    ///
    /// - Throws: `invalid_client` for what this gateway did not issue, or would not any more.
    package static func read(_ text: String, key: ClientIDKey) throws(OAuthError) -> (metadata: ClientMetadata, issuedAt: Timestamp) {
        let unknown = OAuthError(.invalidClient, "This client id is not known here; register again.")
        guard text.utf8.count <= longest, isMeant(by: text), let dot = text.utf8.lastIndex(of: UInt8(ascii: ".")),
            let given = Base64URL.decode(text.utf8[dot...].dropFirst()), given.count == markLength
        else { throw unknown }
        let content = String(text[..<dot])
        guard key.marks.isMark(given, of: Array(content.utf8)), let bytes = Base64URL.decode(content.utf8.dropFirst(prefix.utf8.count)),
            let content = Content(bytes)
        else { throw unknown }
        do { return (try content.metadata(), Timestamp(microseconds: content.issuedAt * 1_000_000)) } catch { throw unknown }
    }

    package var description: String { text }
}

/// The metadata inside a client id. Its form is kept for ever: old ids are read by new versions, and the same client gets
/// the same id from both.
private struct Content: Decodable {
    let issuedAt: Int64
    let name: String
    let redirectURIs: [String]
    let type: String
    let grants: [String]
    let scopes: [String]?
    let clientURI: String?
    let softwareID: String?
    let softwareVersion: String?

    enum CodingKeys: String, CodingKey {
        case issuedAt = "at"
        case name = "n"
        case redirectURIs = "r"
        case type = "t"
        case grants = "g"
        case scopes = "s"
        case clientURI = "u"
        case softwareID = "i"
        case softwareVersion = "v"
    }

    init?(_ bytes: [UInt8]) {
        guard let content = try? JSONDecoder().decode(Self.self, from: Data(bytes)), content.issuedAt.magnitude < 1 << 40 else { return nil }
        self = content
    }

    static func bytes(of metadata: ClientMetadata, at now: Timestamp) -> [UInt8] {
        var writer = JSONWriter()
        writer.add(CodingKeys.issuedAt.rawValue, now.seconds)
        writer.add(CodingKeys.name.rawValue, metadata.name)
        writer.add(CodingKeys.redirectURIs.rawValue, metadata.redirectURIs.map(\.text))
        writer.add(CodingKeys.type.rawValue, metadata.applicationType.rawValue)
        writer.add(CodingKeys.grants.rawValue, metadata.grantTypes.map(\.rawValue))
        if !metadata.scopes.isEmpty { writer.add(CodingKeys.scopes.rawValue, metadata.scopes.names) }
        if let uri = metadata.clientURI { writer.add(CodingKeys.clientURI.rawValue, uri) }
        if let id = metadata.softwareID { writer.add(CodingKeys.softwareID.rawValue, id) }
        if let version = metadata.softwareVersion { writer.add(CodingKeys.softwareVersion.rawValue, version) }
        return writer.bytes
    }

    func metadata() throws(OAuthError) -> ClientMetadata {
        var uris: [RedirectURI] = []
        for text in redirectURIs { uris.append(try RedirectURI(text)) }
        guard let type = ApplicationType(rawValue: type) else { throw OAuthError(.invalidClient, "") }
        // What evaluation once allowed was checked then.
        return try ClientMetadata(
            name: name, redirectURIs: uris, applicationType: type, grantTypes: grants.compactMap(GrantType.init), scopes: ScopeList(scopes ?? []),
            clientURI: clientURI, softwareID: softwareID, softwareVersion: softwareVersion, isEvaluation: true)
    }
}
