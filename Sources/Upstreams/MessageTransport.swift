import MCP

/// A message on its way to a server, with the headers that HTTP wants beside it.
struct Outbound: Sendable {
    let body: JSONText
    let headers: [(String, String)]
    /// Whether a stream that breaks off before the answer may be gone on with, if the server numbered its events (C-10).
    var isResumable = false
    /// Replicas it does not go to if there is another, by number.
    var avoiding: Set<Int> = []
    /// The replica it goes to if that may be asked, by number.
    var preferred: Int?
}

/// The way to one server for one owner: an HTTP endpoint, or a child process. What the server says comes in over a `Switchboard`.
protocol MessageTransport: AnyObject, Sendable {
    /// Makes the exchange for a request; its timer runs from here.
    func exchange(patience: Exchange.Patience, for purpose: Exchange.Purpose) -> Exchange

    /// Sends a request; what comes back for it arrives on the exchange.
    ///
    /// - Parameter onSession: told the `Mcp-Session-Id` of a successful answer before the answer is delivered.
    /// - Throws: `UpstreamFailure.unreachable`: nothing was sent.
    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure)

    /// Sends a notification or an answer, to which nothing comes back.
    func notify(_ message: Outbound) async throws(UpstreamFailure)

    /// Tells a server of the handshake era that nobody waits for an exchange any more, where closing a stream does not.
    func tellCancelled(_ exchange: Exchange, headers: [(String, String)])

    /// Hears what a server of the handshake era says outside of requests, until that ends.
    ///
    /// - Parameter onOpen: called when it is being heard.
    /// - Throws: why it ended. `rejected` if the server offers no such stream.
    func hear(headers: [(String, String)], onOpen: @escaping @Sendable () -> Void) async throws(UpstreamFailure)

    /// Says goodbye to a session.
    func endSession(headers: [(String, String)]) async

    /// The replica it stays with; nil if it has none, or goes wherever there is least to do.
    var replica: Int? { get }

    /// Whether nothing can be sent any more, or the conversation is better held elsewhere.
    var isClosed: Bool { get }
    func close()
}

extension MessageTransport {
    var replica: Int? { nil }
    func exchange(patience: Exchange.Patience) -> Exchange { exchange(patience: patience, for: .own) }
}
