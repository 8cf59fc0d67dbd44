import Gateway
import Testing

struct OriginTests {
    @Test(arguments: [
        ("https://gateway.example", "https://gateway.example"), ("HTTPS://Gateway.Example", "https://gateway.example"),
        ("https://gateway.example:443", "https://gateway.example"), ("http://gateway.example:80", "http://gateway.example"),
        ("https://gateway.example:80", "https://gateway.example:80"), ("http://localhost:8001", "http://localhost:8001"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001"), ("http://[::1]:8001", "http://[::1]:8001"), ("http://[::1]", "http://[::1]"),
        ("https://gateway.example:65535", "https://gateway.example:65535"),
    ])
    func `an origin is written in one way`(_ text: String, _ written: String) {
        #expect(Origin(text)?.description == written)
    }

    @Test(arguments: [
        "", "gateway.example", "://gateway.example", "ftp://gateway.example", "ws://gateway.example", "https://", "https:gateway.example",
        "https:///", "https://gateway.example/", "https://gateway.example/mcp", "https://gateway.example?x", "https://gateway.example#x",
        "https://ada@gateway.example", "https://gate way.example", " https://gateway.example", "https://gateway.example ", "https://:8001",
        "https://gateway.example:", "https://gateway.example:x", "https://gateway.example:65536", "https://gateway.example:-1",
        "https://gateway.example:80:80", "https://[::1", "https://[::1]x", "https://http://gateway.example", "https://gateway.example:8 0",
    ])
    func `what is not scheme, host and port is no origin`(_ text: String) {
        #expect(Origin(text) == nil)
    }

    @Test(arguments: [
        "https://gate\"way.example", "https://gate\\way.example", "https://gateway.example\r\nx:", "https://[gateway]", "https://gateway.example:+80",
        "https://gateway.example:0", "https://g\u{e4}teway.example", "https://gateway,example", "https://::1",
    ])
    func `a host that could break out of a header or be read in two ways is no origin`(_ text: String) {
        #expect(Origin(text) == nil)
    }

    @Test(arguments: ["http://localhost:8001", "http://127.0.0.1:8001", "http://[::1]:8001"])
    func `on loopback all three names are the same place, its own first`(_ text: String) throws {
        let origin = try #require(Origin(text))
        #expect(origin.spellings.first == text)
        #expect(Set(origin.spellings) == ["http://localhost:8001", "http://127.0.0.1:8001", "http://[::1]:8001"])
        #expect(origin.spellings.count == 3)
    }

    @Test func `elsewhere there is one spelling`() throws {
        #expect(try #require(Origin("https://gateway.example")).spellings == ["https://gateway.example"])
    }

    @Test(arguments: [
        ("http://localhost:8001", "localhost:8001"), ("http://localhost:8001", "LOCALHOST:8001"), ("http://localhost:8001", "127.0.0.1:8001"),
        ("http://localhost:8001", "[::1]:8001"), ("https://gateway.example", "gateway.example"), ("https://gateway.example", "gateway.example:443"),
        ("http://gateway.example", "gateway.example:80"), ("https://gateway.example:8443", "Gateway.Example:8443"),
    ])
    func `a Host header that means the origin names it`(_ origin: String, _ host: String) throws {
        #expect(try #require(Origin(origin)).isNamed(byHost: host))
    }

    @Test(arguments: [
        ("http://localhost:8001", "localhost"), ("http://localhost:8001", "localhost:8002"), ("http://localhost:8001", "rebound.example:8001"),
        ("http://localhost:8001", "localhost.rebound.example:8001"), ("http://localhost:8001", "127.0.0.2:8001"),
        ("http://localhost:8001", "0.0.0.0:8001"),
        ("http://localhost:8001", "localhost.:8001"), ("http://localhost:8001", "localhost:+8001"), ("http://localhost:8001", "localhost:8001/x"),
        ("http://localhost:8001", "ada@localhost:8001"), ("http://localhost:8001", ""), ("http://localhost:8001", ":8001"),
        ("http://localhost:8001", "::1:8001"), ("http://localhost:8001", "localhost:8001, localhost:8001"),
        ("http://localhost:8001", "http://localhost:8001"), ("https://gateway.example", "gateway.example:80"),
        ("https://gateway.example", "localhost"), ("https://gateway.example", "gateway.example.evil.example"),
        ("https://gateway.example", "evil-gateway.example"), ("https://gateway.example", "gateway.example:"),
    ])
    func `a Host header that means another place does not`(_ origin: String, _ host: String) throws {
        #expect(try !#require(Origin(origin)).isNamed(byHost: host))
    }
}
