package import Gateway

/// Something a server wants of the client before it can answer: a request of its own in one era, an entry of
/// `inputRequests` in the other. The parameters are the same in both.
package struct ServerQuestion: Sendable {
    package enum Mode: Hashable, Sendable { case form, url }
    package enum Kind: Hashable, Sendable {
        case elicitation(Mode), sampling, roots

        /// As an owner allows it.
        package var general: QuestionKind {
            switch self {
            case .elicitation: .elicitation
            case .sampling: .sampling
            case .roots: .roots
            }
        }
    }

    package let kind: Kind
    package let params: JSON?

    /// Nil for a method that asks nothing of a client.
    package init?(method: String, params: JSON?) {
        switch method {
        case "elicitation/create": kind = .elicitation(params?["mode"]?.string == "url" ? .url : .form)
        case "sampling/createMessage": kind = .sampling
        case "roots/list": kind = .roots
        default: return nil
        }
        self.params = params
    }

    /// Bytes of a name under which anything is remembered.
    package static let longestElicitationID = 1024

    /// The server's name of an elicitation by URL, under which it may say that it was dealt with.
    package var elicitationID: String? {
        guard kind == .elicitation(.url), let id = params?["elicitationId"]?.string, id.utf8.count <= Self.longestElicitationID else { return nil }
        return id
    }

    /// Why nobody is asked it; nil if they may be.
    ///
    /// Clients open the address of an elicitation for their user, some without a look at it (K-7).
    package var objection: String? {
        guard kind == .elicitation(.url) else { return nil }
        guard let url = params?["url"]?.string, Self.mayBeOpened(url) else {
            return "An elicitation by URL needs a plain https URL, or http to loopback, of at most \(Self.longestURL) characters."
        }
        return nil
    }

    /// Signed requests to an authorization server are long.
    private static let longestURL = 8192

    /// Whether an address may be put before a person: https, or http on their own machine, read alike by everybody, with no user
    /// name to mislead them about the host.
    static func mayBeOpened(_ url: String) -> Bool {
        guard url.utf8.count <= longestURL, url.utf8.allSatisfy({ (0x21...0x7E).contains($0) && !"\"<>\\^`{|}".utf8.contains($0) }) else {
            return false
        }
        guard let scheme = url.firstRange(of: "://") else { return false }
        let end = url[scheme.upperBound...].firstIndex { "/?#".contains($0) } ?? url.endIndex
        guard let origin = Origin(String(url[..<end])) else { return false }
        return origin.isSecure || origin.isLoopback
    }

    /// The same of what an error says that wants elicitations (-32042).
    static func mayAllBeOpened(_ data: JSONText?) -> Bool {
        guard let data, let json = try? JSON(parsing: data.bytes) else { return data == nil }
        return (json["elicitations"]?.elements ?? []).allSatisfy { wanted in
            wanted["url"].map { $0.string.map(mayBeOpened) ?? false } ?? true
        }
    }

    package var method: String {
        switch kind {
        case .elicitation: "elicitation/create"
        case .sampling: "sampling/createMessage"
        case .roots: "roots/list"
        }
    }
}
