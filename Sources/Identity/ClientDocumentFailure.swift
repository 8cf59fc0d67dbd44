import Gateway
package import OAuth

/// Why there is no document for a client's id.
///
/// The sentence is for whoever asked, and tells nothing of what a fetch met: else the gateway would explore networks for
/// strangers. The reason is for the operator's log.
package enum ClientDocumentFailure: Error, Hashable, Sendable {
    /// The id names no place where a client's document could be. Nothing was fetched.
    case unusable(String)
    /// The domain is not among those that clients may come from. Nothing was fetched.
    case notAllowed(domain: String)
    /// It could not be fetched, or what came is none.
    case unreadable(String)
    /// Too many new documents were asked for, by this address or by all. Nothing was fetched.
    case throttled(retryAfter: Duration)

    package var sentence: String {
        switch self {
        case .unusable:
            "A client id that is a URL is the https URL of a document: with a domain and a path, in its normal form, without user name, fragment or dot segments."
        case .notAllowed: "Clients of this domain are not admitted here; the operator can admit it in MREG_CLIENT_DOCUMENT_DOMAINS."
        case .unreadable: "The document that the client id points to could not be read, or does not describe this client."
        case .throttled(let wait): "Too many new clients are being looked up; try again in \(wait.roundedUpSeconds) s."
        }
    }

    package var reason: String {
        switch self {
        case .unusable(let why): "the client id is not usable: \(why)"
        case .notAllowed(let domain): "the domain \(domain) is not among those that clients may come from"
        case .unreadable(let why): "no client document: \(why)"
        case .throttled(let wait): "too many new client documents are asked for, for another \(wait.roundedUpSeconds) s"
        }
    }
}

extension OAuthError {
    /// What a client hears whose document there is not. Nothing is wrong with one whose turn has not come.
    package init(_ failure: ClientDocumentFailure) {
        let code: Code = if case .throttled = failure { .temporarilyUnavailable } else { .invalidClient }
        self.init(code, failure.sentence)
    }
}
