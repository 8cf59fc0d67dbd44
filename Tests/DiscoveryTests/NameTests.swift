import Gateway
import Testing

@testable import Discovery

struct NameTests {
    @Test(arguments: [
        ("https://mcp.example.com", "com.example.mcp"), ("https://example.com:8443", "com.example"), ("http://localhost:8001", "local.localhost"),
        ("http://gateway", "local.gateway"), ("http://127.0.0.1:8001", "local.ip-127-0-0-1"), ("http://[::1]:8001", "local.ip---1"),
        ("https://my_host.example", "example.my-host"), ("https://xn--bcher-kva.example", "example.xn--bcher-kva"),
    ])
    func `the namespace is the host backwards, and has two labels at least`(url: String, namespace: String) throws {
        let found = Namespace(of: try #require(Origin(url)))
        #expect(found.description == namespace)
        #expect(RegistryName.isOne(found.name(of: alias("demo"), in: home, home: home)))
        #expect(RegistryName.isOne(found.gateway) && RegistryName.isOne(found.metaKey))
    }

    @Test func `the longest host leaves room for the name`() throws {
        let host = String(repeating: String(repeating: "a", count: 62) + ".", count: 4).dropLast()
        let namespace = Namespace(of: try #require(Origin("https://\(host)")))
        #expect(RegistryName.isOne(namespace.name(of: alias("twelve-bytes"), in: TenantID(.max), home: home)))
    }

    @Test func `tenants who chose the same alias have two names, whatever the alias`() {
        let namespace = Namespace(of: origin)
        #expect(namespace.name(of: alias("wiki"), in: home, home: home) == "com.example.mcp/wiki")
        #expect(namespace.name(of: alias("wiki"), in: away, home: home) == "com.example.mcp/wiki.t2")
        // What would have to be an alias to clash is none.
        #expect(ServerAlias("wiki.t2") == nil)
    }

    @Test func `the gateway's own name is no server's`() {
        #expect(ServerAlias(String(Namespace(of: origin).gateway.split(separator: "/")[1])) == nil)
    }

    @Test(arguments: [
        ("a/b", true), ("io.github.user/my_server.v2", true), ("A-1.b/C", true), ("a/", false), ("/b", false), ("ab", false), ("a/b/c", false),
        ("a_b/c", false), ("a/b c", false), ("ä/b", false), ("a/b%2F", false), ("", false),
        (String(repeating: "a", count: 198) + "/b", true), (String(repeating: "a", count: 199) + "/b", false),
    ])
    func `a name is as the schema says`(text: String, isOne: Bool) {
        #expect(RegistryName.isOne(text) == isOne)
    }
}

struct PathTests {
    @Test(
        arguments: [
            ("servers", .servers), ("servers/com.example%2Fwiki/versions", .versions(of: "com.example/wiki")),
            ("servers/com.example%2fwiki/versions/latest", .version("latest", of: "com.example/wiki")),
            ("servers/com.example/wiki/versions/1.0.3", .version("1.0.3", of: "com.example/wiki")),
            ("servers/com.example/wiki/versions", .versions(of: "com.example/wiki")),
            ("servers/com.example/versions/versions", .versions(of: "com.example/versions")),
            ("servers/com.example%2Fversions/versions", .versions(of: "com.example/versions")),
            ("servers/com.example/versions/versions/versions", .version("versions", of: "com.example/versions")),
            ("servers/com%2Eexample%2F%77iki/versions", .versions(of: "com.example/wiki")),
        ] as [(String, RegistryPath)])
    func `a name is found with its slash escaped or not`(path: String, found: RegistryPath) {
        #expect(RegistryPath(path) == found)
    }

    @Test(arguments: [
        "", "server", "servers/", "servers/com.example", "servers/com.example%2Fwiki", "servers/com.example/wiki",
        "servers/com.example%2Fwiki/versions/", "servers/com.example%2Fwiki/versions/1/2", "servers/com.example%2Fwiki/other",
        "servers/com.example%252Fwiki/versions", "servers/com.example%2/versions", "servers/com.example%2Fwi%00ki/versions",
        "servers/com.example%2Fwi%C3%A4/versions", "servers//wiki/versions", "servers/a/b/c/versions",
        "servers/com.example%2Fa%2Fb/versions",
    ])
    func `anything else is nothing`(path: String) {
        #expect(RegistryPath(path) == nil)
    }
}
