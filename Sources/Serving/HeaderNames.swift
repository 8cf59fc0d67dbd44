package import HTTPTypes

extension HTTPField.Name {
    package static let host = known("Host")
    package static let protocolVersion = known("MCP-Protocol-Version")
    package static let mcpMethod = known("Mcp-Method")
    package static let mcpName = known("Mcp-Name")
    package static let sessionID = known("Mcp-Session-Id")
    static let lastEventID = known("Last-Event-ID")
    static let traceparent = known("traceparent")
    static let tracestate = known("tracestate")
    package static let rateLimit = known("RateLimit")
    package static let rateLimitPolicy = known("RateLimit-Policy")
    package static let rateLimitLimit = known("X-RateLimit-Limit")
    package static let rateLimitRemaining = known("X-RateLimit-Remaining")
    package static let rateLimitReset = known("X-RateLimit-Reset")
    package static let forwarded = known("Forwarded")
    package static let xForwardedFor = known("X-Forwarded-For")
    package static let accelBuffering = known("X-Accel-Buffering")
    package static let contentSecurityPolicy = known("Content-Security-Policy")
    package static let frameOptions = known("X-Frame-Options")
    package static let referrerPolicy = known("Referrer-Policy")
    package static let contentTypeOptions = known("X-Content-Type-Options")
    package static let secFetchSite = known("Sec-Fetch-Site")
    package static let pragma = known("Pragma")
    package static let requestID = known("X-Request-Id")

    private static func known(_ name: StaticString) -> HTTPField.Name {
        guard let name = HTTPField.Name("\(name)") else { preconditionFailure("“\(name)” is no header name") }
        return name
    }
}
