import Gateway
import Identity
import Testing

struct MetadataTests {
    let origin = Origin("https://gateway.example")!

    @Test(arguments: [
        (Resource.mcp, "https://gateway.example/mcp", "/.well-known/oauth-protected-resource/mcp"),
        (.api, "https://gateway.example/api", "/.well-known/oauth-protected-resource/api"),
    ])
    func `a resource is described under its exact address, at the path RFC 9728 inserts`(_ resource: Resource, _ uri: String, _ path: String) {
        let metadata = ProtectedResourceMetadata(resource, at: origin)
        #expect(metadata.resource == uri)
        #expect(metadata.authorizationServers == ["https://gateway.example"])
        #expect(!metadata.name.isEmpty)
        #expect(ProtectedResourceMetadata.path(resource) == path)
    }

    @Test func `whoever presented nothing is told where to look and of no error`() {
        let challenge = Challenge(.unauthenticated(.missing), for: .mcp, at: origin)
        #expect(
            challenge.description
                == #"Bearer resource_metadata="https://gateway.example/.well-known/oauth-protected-resource/mcp", scope="mcp:tools""#)
    }

    @Test(arguments: [Refusal.UnauthenticatedReason.malformed, .expired, .wrongAudience, .revoked, .unknown])
    func `whoever presented a wrong token is told that it was the token`(_ reason: Refusal.UnauthenticatedReason) {
        let text = Challenge(.unauthenticated(reason), for: .api, at: origin).description
        let start =
            #"Bearer resource_metadata="https://gateway.example/.well-known/oauth-protected-resource/api", scope="registry:read", error="invalid_token", "#
        #expect(text.hasPrefix(start + "error_description=\""))
        #expect(text.hasSuffix("\""))
    }

    /// RFC 6750, section 3: error descriptions hold neither quotes nor backslashes nor anything beyond ASCII.
    @Test(arguments: [Refusal.UnauthenticatedReason.malformed, .expired, .wrongAudience, .revoked, .unknown])
    func `a challenge is a header value with its quotes in pairs`(_ reason: Refusal.UnauthenticatedReason) {
        let text = Challenge(.unauthenticated(reason), for: .mcp, at: origin).description
        #expect(text.utf8.allSatisfy { (0x20...0x7E).contains($0) && $0 != UInt8(ascii: "\\") })
        #expect(text.count { $0 == "\"" } == 8)
    }

    @Test func `whose token was not given for it is told every scope it takes`() {
        let text = Challenge(.insufficientScope([.readRegistry, .writeRegistry]), for: .api, at: origin).description
        #expect(text.contains(#"error="insufficient_scope", scope="registry:read registry:write""#))
        #expect(!text.contains("invalid_token"))
    }

    @Test func `who may not, whatever the token, is not sent for another one`() {
        let text = Challenge(.forbidden(needs: "the role admin"), for: .api, at: origin).description
        #expect(!text.contains("error=") && !text.contains("scope="))
    }
}
