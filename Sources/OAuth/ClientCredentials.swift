package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Who a client says it is at the token and the revocation endpoint, and how it would prove it (RFC 6749, section 2.3; RFC
/// 7523, section 2.2). Nothing is verified yet.
package struct ClientCredentials: Sendable {
    package enum Proof: Sendable {
        /// A public client.
        case none
        /// From the `Authorization` header.
        case basic(Secret<String>)
        /// From the form.
        case post(Secret<String>)
        /// A signed JWT, to be verified with the client's keys.
        case assertion(Secret<String>)
    }

    /// Nil only beside an assertion, whose subject it then is.
    package let clientID: String?
    package let proof: Proof

    package static let assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

    /// - Parameter authorization: every `Authorization` header of the request.
    /// - Throws: `invalid_request` for a client that proves itself in two ways, or in broken form; `invalid_client` for one
    ///   that does not say who it is.
    package init(_ parameters: Parameters, authorization: [String]) throws(OAuthError) {
        let id = try parameters.one("client_id", longest: ClientID.longest)
        let secret = try parameters.one("client_secret", longest: 512)
        let assertion = try parameters.one("client_assertion", longest: 8192)
        let type = try parameters.one("client_assertion_type", longest: 128)
        guard authorization.count <= 1, [!authorization.isEmpty, secret != nil, assertion != nil].count(where: { $0 }) <= 1 else {
            throw OAuthError(.invalidRequest, "A client proves who it is in one way, not in two.")
        }
        guard (assertion == nil) == (type == nil) else {
            throw OAuthError(.invalidRequest, "\"client_assertion\" and \"client_assertion_type\" belong together.")
        }

        if let header = authorization.first {
            let (name, password) = try Self.basic(header)
            guard id == nil || id?.utf8.elementsEqual(name.utf8) == true else {
                throw OAuthError(.invalidRequest, "\"client_id\" and the Authorization header name two clients.")
            }
            clientID = name
            proof = password.isEmpty ? .none : .basic(Secret(password))
        } else if let assertion {
            guard type == Self.assertionType else { throw OAuthError(.invalidRequest, "\"client_assertion_type\" is \"\(Self.assertionType)\".") }
            guard assertion.utf8.allSatisfy(URIText.isUnreserved), assertion.split(separator: ".", omittingEmptySubsequences: false).count == 3
            else { throw OAuthError(.invalidRequest, "\"client_assertion\" is a signed JWT.") }
            clientID = id
            proof = .assertion(Secret(assertion))
        } else {
            guard let id else { throw OAuthError(.invalidClient, "\"client_id\" is missing.") }
            clientID = id
            proof = secret.map { .post(Secret($0)) } ?? .none
        }
    }

    /// Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1).
    private static func basic(_ header: String) throws(OAuthError) -> (name: String, password: String) {
        let broken = OAuthError(.invalidRequest, "The Authorization header holds the client's id and secret, form-encoded, in the way of HTTP Basic.")
        let parts = header.split(separator: " ", maxSplits: 1)
        guard header.utf8.count <= 8192, parts.count == 2, parts[0].lowercased() == "basic", let bytes = Data(base64Encoded: String(parts[1])),
            bytes.base64EncodedString() == parts[1],
            let colon = bytes.firstIndex(of: UInt8(ascii: ":")), let name = FormURLEncoded.decode(bytes[..<colon]), !name.isEmpty,
            name.utf8.count <= ClientID.longest, let password = FormURLEncoded.decode(bytes[colon...].dropFirst()), password.utf8.count <= 512
        else { throw broken }
        return (name, password)
    }
}
