import HTTPTypes

extension HTTPField.Name {
    static let protocolVersion = known("MCP-Protocol-Version")
    static let mcpMethod = known("Mcp-Method")
    static let mcpName = known("Mcp-Name")
    static let sessionID = known("Mcp-Session-Id")
    static let rateLimitLimit = known("X-RateLimit-Limit")
    static let rateLimitRemaining = known("X-RateLimit-Remaining")
    static let forwarded = known("Forwarded")
    static let xForwardedFor = known("X-Forwarded-For")
    static let accelBuffering = known("X-Accel-Buffering")
    static let requestID = known("X-Request-Id")

    private static func known(_ name: StaticString) -> HTTPField.Name {
        guard let name = HTTPField.Name("\(name)") else { preconditionFailure("“\(name)” is no header name") }
        return name
    }
}
