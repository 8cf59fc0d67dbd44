import MCP

/// A message on its way to a server, with the headers that HTTP wants beside it.
struct Outbound: Sendable {
    let body: JSONText
    let headers: [(String, String)]
}

/// The way to one server for one owner: an HTTP endpoint, or a child process.
protocol MessageTransport: AnyObject, Sendable {
    /// Makes the exchange for a request; its timer runs from here.
    func exchange(patience: Exchange.Patience) -> Exchange

    /// Sends a request; what comes back for it arrives on the exchange.
    ///
    /// - Throws: `UpstreamFailure.unreachable`: nothing was sent.
    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure)

    /// Sends a notification or an answer, to which nothing comes back.
    func notify(_ message: Outbound) async throws(UpstreamFailure)

    /// Tells a server of the handshake era that nobody waits for an exchange any more, where closing a stream does not.
    func tellCancelled(_ exchange: Exchange, headers: [(String, String)])

    /// Says goodbye to a session.
    func endSession(_ session: String) async

    /// Whether nothing can be sent any more.
    var isClosed: Bool { get }
    func close()
}
