import Gateway
import Testing

@testable import Identity

struct ClientDocumentPolicyTests {
    private func failure(_ policy: ClientDocumentPolicy, _ id: String) -> ClientDocumentFailure? {
        do throws(ClientDocumentFailure) {
            _ = try policy.endpoint(of: id)
            return nil
        } catch { return error }
    }

    @Test(arguments: [
        "https://client.example/oauth.json", "https://client.example/a", "https://client.example/a/", "https://client.example/a?v=1",
        "https://client.example/.well-known/c",
        "https://client.example:8443/a", "https://client.example:1024/a", "https://a.b.c.client.example/a", "https://xn--bcher-kva.example/a",
        "https://client.example/a..b/...", "https://client.example/a?x=/../", "https://client.example/%41",
    ])
    func `an https URL with a domain and a path may be a client's id`(id: String) throws {
        #expect(try ClientDocumentPolicy().endpoint(of: id).description == id)
    }

    static let notOneForm = [
        "", "client", "client.example/a", "https://client.example", "https://client.example?x", "HTTPS://client.example/a",
        "https://Client.example/a",
        "https://client.example:443/a", "https://client.example/a#b", "https://client.example/a b", "https://ada@client.example/a",
        "https://ada:pw@client.example/a", "https://client.example\\@evil.example/a", "https://client.example/a\r\nx: y",
        "https://client.example:0443/a",
        "https://clïent.example/a", "https://" + String(repeating: "a", count: 2048) + ".example/a",
    ]
    static let noPath = ["https://client.example/", "https://client.example/?x=y"]
    static let dots = [
        "https://client.example/.", "https://client.example/..", "https://client.example/a/../b", "https://client.example/a/./b",
        "https://client.example/%2e%2E/a",
        "https://client.example/a/.%2e", "https://client.example/%2e", "https://client.example/a/..?x",
    ]
    static let noDomain = [
        "https://localhost/a", "https://intranet/a", "https://client.example./a", "https://localhost./a", "https://127.0.0.1/a",
        "https://93.184.216.34/a",
        "https://[::1]/a", "https://[2606:2800:220:1:248:1893:25c8:1946]/a", "https://127.1/a", "https://0x7f.1/a", "https://2130706433/a",
        "https://[::ffff:127.0.0.1]/a",
    ]
    static let otherProtocols = [
        "http://client.example/a", "http://localhost/a", "http://localhost:9000/a", "http://127.0.0.1/a", "ftp://client.example/a",
        "javascript://client.example/a",
        "https://client.example:22/a", "https://client.example:25/a", "https://client.example:80/a", "https://client.example:465/a",
        "https://client.example:1023/a",
        "https://client.example:1/a", "https://client.example:442/a", "https://client.example:444/a", "https://client.example:0/a",
    ]

    @Test(arguments: notOneForm + noPath + dots + noDomain + otherProtocols)
    func `nothing else may be`(id: String) {
        let failure = failure(ClientDocumentPolicy(), id)
        #expect(failure.map { if case .unusable = $0 { true } else { false } } == true, "\(String(describing: failure))")
    }

    @Test(arguments: [
        ("http://localhost:9000/a", true), ("http://localhost/a", true), ("http://127.0.0.1:9000/a", true), ("http://127.8.9.10/a", true),
        ("http://[::1]:9000/a", true),
        ("https://localhost:9000/a", true), ("https://client.example/a", true), ("http://client.example/a", false), ("http://10.0.0.1/a", false),
        ("http://localhost:9000/", false), ("http://localhost:9000/../a", false), ("http://localhost.:9000/a", false), ("http://127.1:9000/a", false),
        ("http://[::ffff:127.0.0.1]/a", false), ("http://169.254.169.254/a", false), ("http://localhost.evil.example/a", false),
        ("http://0.0.0.0/a", false),
        ("http://LOCALHOST:9000/a", false),
    ])
    func `for evaluation, clients may live on this machine, and nowhere else without TLS`(id: String, isAllowed: Bool) {
        #expect((failure(ClientDocumentPolicy(allowsLoopback: true), id) == nil) == isAllowed)
        if id.hasPrefix("http:") { #expect(failure(ClientDocumentPolicy(), id) != nil) }
    }

    @Test(arguments: [
        ("https://agents.example/a", true), ("https://agents.example:8443/a", true), ("https://x.agents.example/a", false),
        ("https://one.tools.example/a", true),
        ("https://two.one.tools.example/a", true), ("https://tools.example/a", false), ("https://eviltools.example/a", false),
        ("https://evilagents.example/a", false),
        ("https://agents.example.evil.example/a", false), ("https://evil.example/agents.example", false),
        ("https://evil.example/a?agents.example", false),
        ("https://other.example/a", false),
    ])
    func `with a list, clients come from its domains only`(id: String, isAllowed: Bool) throws {
        let domains = try [ClientDomain("agents.example"), ClientDomain("*.tools.example")].map { try #require($0) }
        let failure = failure(ClientDocumentPolicy(domains: domains), id)
        #expect((failure == nil) == isAllowed)
        if let failure { #expect(failure.reason.contains("is not among those that clients may come from")) }
    }

    @Test func `an empty list admits nobody`() {
        #expect(failure(ClientDocumentPolicy(domains: []), "https://client.example/a") == .notAllowed(domain: "client.example"))
    }

    @Test(arguments: [
        ("agents.example", "agents.example"), ("*.Agents.Example", "*.agents.example"), ("a.b.c.d", "a.b.c.d"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ])
    func `a domain is read and written`(text: String, written: String) {
        #expect(ClientDomain(text)?.description == written)
    }

    @Test(arguments: [
        "", "*", "*.", "*.*", "*.example", "example", "localhost", "a.*.example", "**.agents.example", "*agents.example", "agents.example.",
        ".agents.example", "agents..example",
        "agents.example:443", "agents.example:8443", "agents.example/", "https://agents.example", "ada@agents.example", "127.0.0.1", "127.1", "[::1]",
        "::1", "agents example",
        "agénts.example", "agents.example,tools.example",
    ])
    func `what is no domain of two labels is none`(text: String) {
        #expect(ClientDomain(text) == nil)
    }
}
