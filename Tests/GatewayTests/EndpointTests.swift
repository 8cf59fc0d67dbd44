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

    static let disguised = [
        "127.1", "127.0.1", "0177.0.0.1", "0x7f.1", "0x7f.0.0.1", "0x7F.0x0.0x0.0x1", "017700000001", "2130706433", "0x7f000001", "0x", "0", "00",
        "127.0.0.1.", "1.2.3.256", "1.2.3", "1.2.3.4.5", "256.256.256.256", "08.08.08.08", "example.0x7f", "example.1", "a.b.0x", "99999999999",
        "169.254.43518", "0xa9fea9fe", "0251.0376.0251.0376", "2852039166", "1.",
    ]
    static let labels = [".", "..", "...", ".example.com", "example..com", "example.com..", String(repeating: "a", count: 64) + ".example"]

    /// Browsers and some resolvers make addresses of them, others names.
    @Test(arguments: disguised + labels, ["http", "https"])
    func `a host that is an address to some and a name to others is refused`(host: String, scheme: String) {
        #expect(Endpoint("\(scheme)://\(host)/") == nil)
        #expect(Endpoint("\(scheme)://\(host):8080") == nil)
    }

    /// What they resolve to is for whoever connects to judge.
    @Test(arguments: [
        "localhost", "localhost.", "example.com.", "127.0.0.1.nip.io", "1password-connect", "mcp.2fa", "0x7g", "0xample", "7f", "a.0b1", "x.0x7f.y",
        "127.0.0.1.example", "2130706433.example", "_dmarc.example", "-", "xn--bcher-kva.example", String(repeating: "a", count: 63) + ".example",
    ])
    func `a name is a name, whatever it resembles`(host: String) throws {
        let endpoint = try #require(Endpoint("http://\(host)/"))
        #expect(endpoint.host == host)
        #expect(IPAddress(endpoint.host) == nil)
        #expect(endpoint.origin.isPlain == !host.hasSuffix("."))
    }

    @Test(arguments: [(2048, true), (2049, false)])
    func `a URL is at most 2048 bytes`(length: Int, isAccepted: Bool) {
        let start = "https://example.com/"
        let text = start + String(repeating: "a", count: length - start.utf8.count)
        #expect((Endpoint(text) != nil) == isAccepted)
    }
}
