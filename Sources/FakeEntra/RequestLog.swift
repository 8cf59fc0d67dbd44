package import Gateway

extension FakeEntra {
    /// One of the last requests, as tests may see it.
    package struct RequestRecord: Hashable, Sendable {
        package let at: Timestamp
        package let method: String
        package let path: String
        /// Parameters of query and form; what is, or might be, a secret is shown as `…`.
        package let parameters: [String: String]
        /// How the client showed who it is: `basic`, `post`, `bearer` or `none`.
        package let authentication: String
        /// Nil if the connection was ended instead.
        package let status: Int?
        /// The number behind `AADSTS`.
        package let error: Int?

        var value: Value {
            [
                "at": .string(at.rfc3339), "method": .string(method), "path": .string(path),
                "parameters": .object(parameters.mapValues { .string($0) }), "authentication": .string(authentication),
                "status": status.map { .integer(Int64($0)) } ?? .null, "error": error.map { .integer(Int64($0)) } ?? .null,
            ]
        }
    }
}

/// The last requests, the latest last.
struct RequestLog: Sendable {
    static let capacity = 100
    private static let longestValue = 512
    private static let shown: Set<String> = [
        "client_id", "scope", "grant_type", "redirect_uri", "response_type", "response_mode", "prompt", "login_hint", "domain_hint",
        "code_challenge_method", "resource", "requested_token_use", "claims", "post_logout_redirect_uri", "$top", "cancel", "consent",
    ]

    private(set) var records: [FakeEntra.RequestRecord] = []

    mutating func add(_ incoming: FakeEntra.Incoming, status: Int?, error: FakeEntra.ErrorCode?, at now: Timestamp) {
        var parameters: [String: String] = [:]
        let form =
            incoming["content-type"]?.hasPrefix("application/x-www-form-urlencoded") == true ? String(decoding: incoming.body, as: UTF8.self) : ""
        for part in [Parameters(incoming.query), Parameters(form)] {
            for name in part.names.prefix(50) {
                parameters[name.cut(64)] = Self.shown.contains(name) ? (part[name] ?? "").cut(Self.longestValue) : "…"
            }
        }
        let scheme = incoming["authorization"]?.prefix(7).lowercased()
        let authentication =
            switch scheme {
            case "bearer "?: "bearer"
            case let scheme? where scheme.hasPrefix("basic "): "basic"
            default: parameters["client_secret"] != nil ? "post" : "none"
            }
        if records.count >= Self.capacity { records.removeFirst() }
        records.append(
            FakeEntra.RequestRecord(
                at: now, method: incoming.method.cut(16), path: incoming.path.cut(Self.longestValue), parameters: parameters,
                authentication: authentication, status: status, error: error?.rawValue))
    }
}
