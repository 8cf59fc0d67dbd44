extension FakeEntra {
    /// A request as it reached the issuer.
    package struct Incoming: Sendable {
        package var method: String
        /// Without the query.
        package var path: String
        /// Without `?`.
        package var query: String
        /// Names in lower case.
        package var headers: [(name: String, value: String)]
        package var body: [UInt8]

        package init(_ method: String = "GET", _ path: String, query: String = "", headers: [(name: String, value: String)] = [], body: [UInt8] = [])
        {
            self.method = method
            self.path = path
            self.query = query
            self.headers = headers
            self.body = body
        }

        package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }

        /// The parts of the path between slashes, percent-encoding undone.
        var segments: [String] { path.split(separator: "/").map { Parameters.decode($0) } }
    }

    package struct Reply: Sendable {
        package var status: Int
        package var headers: [(name: String, value: String)]
        package var body: [UInt8]

        package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }

        static func json(_ value: Value, status: Int = 200, headers: [(name: String, value: String)] = uncached) -> Self {
            Self(status: status, headers: [("content-type", "application/json; charset=utf-8")] + headers, body: value.json)
        }

        static func text(_ text: String, status: Int) -> Self {
            Self(status: status, headers: [("content-type", "text/plain; charset=utf-8")] + uncached, body: Array(text.utf8))
        }

        static func redirect(to location: String) -> Self {
            Self(status: 302, headers: [("location", location)] + uncached, body: [])
        }

        static let uncached = [
            (name: "cache-control", value: "no-store, no-cache"), (name: "pragma", value: "no-cache"),
            (name: "x-content-type-options", value: "nosniff"),
        ]
    }

    /// What becomes of a request.
    package enum Outcome: Sendable {
        case reply(Reply, after: Duration)
        /// The connection ends without an answer.
        case hangUp
    }
}
