package import Gateway
package import Identity
package import MCP

/// A request as the listener hands it on: sized, and from an acceptable origin.
package struct Inbound: Sendable {
    package let requestID: RequestID
    /// The endpoint it came to.
    package let resource: Resource
    package let authorization: [String]
    package let routing: RoutingHeaders
    /// The client's, where it is known: not that of a proxy in between.
    package let address: IPAddress?
    package let body: [UInt8]
    /// Whether the client takes a stream for an answer.
    package let takesEvents: Bool
    package let caller: Caller

    package init(
        requestID: RequestID, resource: Resource = .mcp, authorization: [String], routing: RoutingHeaders, address: IPAddress?, body: [UInt8],
        takesEvents: Bool = true, caller: Caller = .staying
    ) {
        self.requestID = requestID
        self.resource = resource
        self.authorization = authorization
        self.routing = routing
        self.address = address
        self.body = body
        self.takesEvents = takesEvents
        self.caller = caller
    }
}
