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
    /// Whether the client is still there.
    package let departure: Departure

    package init(
        requestID: RequestID, resource: Resource = .mcp, authorization: [String], routing: RoutingHeaders, address: IPAddress?, body: [UInt8],
        departure: Departure = Departure()
    ) {
        self.requestID = requestID
        self.resource = resource
        self.authorization = authorization
        self.routing = routing
        self.address = address
        self.body = body
        self.departure = departure
    }
}
