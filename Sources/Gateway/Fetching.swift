/// A request of the gateway's own: to an issuer, for a client's metadata, to an upstream's authorization server.
package struct FetchRequest: Sendable {
    package enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
    }

    package var method: Method
    package var endpoint: Endpoint
    /// Names in lower case. `host`, `content-length` and `connection` are written by whoever sends it.
    package var headers: [(name: String, value: String)]
    package var body: [UInt8]
    /// An answer larger than this fails.
    package var largestAnswer: Int
    /// From the first look-up of a name to the last byte.
    package var deadline: Duration

    package init(
        _ method: Method = .get, _ endpoint: Endpoint, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        largestAnswer: Int = 256 << 10, deadline: Duration = .seconds(10)
    ) {
        self.method = method
        self.endpoint = endpoint
        self.headers = headers
        self.body = body
        self.largestAnswer = largestAnswer
        self.deadline = deadline
    }
}

package struct FetchedAnswer: Sendable {
    package let status: Int
    /// Names in lower case, in the order they came.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// Why there is no answer. The reason is for the operator's eyes, never for a stranger's.
package enum FetchFailure: Error, Hashable, Sendable {
    /// Nothing was sent.
    case unreachable(String)
    /// The request was sent; whether it was acted on is not known.
    case lost(String)
    case tooLarge
    case timedOut(Duration)
}

/// Sends one request to an address that was judged, follows no redirect, and keeps within the request's bounds: live, an
/// HTTP client behind the egress policy; in a test, a literal.
package struct Fetcher: Sendable {
    package var send: @Sendable (FetchRequest) async throws(FetchFailure) -> FetchedAnswer

    package init(send: @escaping @Sendable (FetchRequest) async throws(FetchFailure) -> FetchedAnswer) { self.send = send }
}
