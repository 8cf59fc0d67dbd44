package import Gateway
package import MCP

/// A request as the listener hands it on: sized, and from an acceptable origin.
package struct Inbound: Sendable {
    package let requestID: RequestID
    package let authorization: [String]
    package let routing: RoutingHeaders
    package let address: String
    package let body: [UInt8]

    package init(requestID: RequestID, authorization: [String], routing: RoutingHeaders, address: String, body: [UInt8]) {
        self.requestID = requestID
        self.authorization = authorization
        self.routing = routing
        self.address = address
        self.body = body
    }
}

/// Now, on both clocks: one for the record, one for permission.
package struct Moment: Sendable {
    package let wall: Timestamp
    package let boot: BootInstant

    package init(wall: Timestamp, boot: BootInstant) {
        self.wall = wall
        self.boot = boot
    }
}
