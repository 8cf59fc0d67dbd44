import Testing

@testable import Gateway

struct EndpointTests {
    @Test(arguments: [
        ("https://example.com", "https://example.com/"),
        ("https://example.com/mcp", "https://example.com/mcp"),
        ("HTTPS://EXAMPLE.com/Mcp", "https://example.com/Mcp"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443", "https://example.com/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000/mcp"),
        ("http://example.com?key=a&b=/c", "http://example.com/?key=a&b=/c"),
        ("http://example.com/a?x=http://b:1@c", "http://example.com/a?x=http://b:1@c"),
        ("http://[::1]/", "http://[::1]/"),
        ("http://[::1]:8001/mcp", "http://[::1]:8001/mcp"),
        ("http://[FD00::A]:80", "http://[fd00::a]/"),
        ("http://[::ffff:169.254.169.254]/", "http://[::ffff:169.254.169.254]/"),
        ("http://my_service-1.internal./x", "http://my_service-1.internal./x"),
        ("http://example.com:65535/", "http://example.com:65535/"),
        ("http://example.com:1/", "http://example.com:1/"),
    ])
    func `a plain URL is read, and written in one form`(text: String, form: String) throws {
        let endpoint = try #require(Endpoint(text))
        #expect(endpoint.description == form)
        #expect(Endpoint(form) == endpoint)
    }

    @Test func `a URL is taken apart into what a connection needs`() throws {
        let endpoint = try #require(Endpoint("https://[2001:DB8::1]:8443/mcp?a=1"))
        #expect(endpoint.isSecure)
        #expect(endpoint.host == "2001:db8::1")
        #expect(endpoint.port == 8443)
        #expect(endpoint.path == "/mcp?a=1")
        #expect(endpoint.authority == "[2001:db8::1]:8443")
    }

    static let userInformation = [
        "http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/", "http://:@example.com/",
        "http://example.com@127.0.0.1/", "http://example.com:80@127.0.0.1/", "http://[::1]@example.com/", "http://a@[::1]/",
        "http://a%40b@example.com/",
    ]
    static let twoReadings = [
        #"http:\\example.com/"#, #"http://example.com\@127.0.0.1/"#, #"http://example.com\.evil.org/"#, #"https://example.com/a\b"#,
        "http://example.com#@127.0.0.1/", "http://example.com/#fragment", "http://example.com/#", "http://example.com/ x",
        " http://example.com/", "http://example.com/ ", "http://exam ple.com/", "http://example.com\t/", "http://exa\nmple.com/",
        "http://example.com/\r\nHost: evil", "http://example.com/\0", "http://example.com/\u{7F}", "http://example.com/<x>",
        "http://example.com/{id}", "http://example.com/a|b", "http://example.com/a^b", "http://example.com/`id`", "http://example.com/\"",
    ]
    static let otherSchemes = [
        "", "/", "//example.com/", "example.com", "example.com:80", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
        "javascript:alert(1)", "data:text/plain,x", "unix:///run/x", "ws://example.com/", "httpss://example.com/", "http:/example.com/",
        "http:example.com", "http//example.com/", "http", "http:", "http:/", "view-source:http://example.com/",
    ]
    static let hosts = [
        "http://", "https://", "http:///", "http:///path", "http://?x", "http://:80/", "http://é.example/", "http://еxample.com/",
        "http://example。com/", "http://①②⑦.0.0.1/", "http://ex%61mple.com/", "http://127.0.0.1%00.example.com/", "http://example,com/",
        "http://example;com/", "http://exa$mple.com/", "http://exa*mple.com/", "http://exa(mple.com/", "http://example.com!/", "http://a=b/",
        "http://a&b/", "http://a+b/", "http://a'b/", "http://~/", "http://" + String(repeating: "a", count: 254) + "/",
    ]
    static let ports = [
        "http://example.com:/", "http://example.com:0/", "http://example.com:65536/", "http://example.com:99999/", "http://example.com:000080/",
        "http://example.com:+80/", "http://example.com:-80/", "http://example.com:80a/", "http://example.com:0x50/", "http://example.com:80:81/",
        "http://example.com:8 0/", "http://example.com:٨٠/", "http://example.com:18446744073709551696/",
    ]
    static let brackets = [
        "http://[", "http://[]/", "http://[::1/", "http://::1/", "http://::1]/", "http://[::1]x/", "http://[::1]:/", "http://[::1]80/",
        "http://[::1]]/", "http://[[::1]]/", "http://[127.0.0.1]/", "http://[example.com]/", "http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/",
        "http://[1::2::3]/", "http://[::12345]/", "http://[:::]/", "http://[v1.x]/", "http://a[::1]/", "http://a[b]/",
    ]

    @Test(arguments: userInformation + twoReadings + otherSchemes + hosts + ports + brackets)
    func `what two readers could understand in two ways is refused`(text: String) {
        #expect(Endpoint(text) == nil)
    }

    /// A resolver may take them for addresses; the address it finds is what egress judges.
    @Test(arguments: ["0x7f.1", "017700000001", "2130706433", "127.1", "0177.0.0.1", "127.0.0.1.", "localhost.", "127.0.0.1.nip.io", "1.2.3.256"])
    func `an address in disguise is a name, not an address`(host: String) throws {
        let endpoint = try #require(Endpoint("http://\(host)/"))
        #expect(endpoint.host == host)
        #expect(IPAddress(endpoint.host) == nil)
    }

    @Test(arguments: [(2048, true), (2049, false)])
    func `a URL is at most 2048 bytes`(length: Int, isAccepted: Bool) {
        let start = "https://example.com/"
        let text = start + String(repeating: "a", count: length - start.utf8.count)
        #expect((Endpoint(text) != nil) == isAccepted)
    }
}
