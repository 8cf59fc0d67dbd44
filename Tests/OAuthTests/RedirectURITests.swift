import Testing

@testable import OAuth

/// A URI that is not the registered one, and how it came to be.
struct Mutation: CustomTestStringConvertible, Sendable {
    let name: String
    let registered: String
    let presented: String

    var testDescription: String { name }

    static let web = "https://app.example.com/oauth/callback"
    static let loopback = "http://127.0.0.1:33418/callback"
    static let localhost = "http://localhost:3000/Callback;k"
    static let version6 = "http://[::1]:4000/cb?from=mcp"
    static let custom = "cursor://anysphere.cursor-mcp/oauth/callback"

    static func of(_ registered: String, _ pairs: KeyValuePairs<String, String>) -> [Self] {
        pairs.map { Self(name: $0.key, registered: registered, presented: $0.value) }
    }

    static let all: [Self] =
        of(
            web,
            [
                "nothing": "", "scheme in capitals": "HTTPS://app.example.com/oauth/callback", "http": "http://app.example.com/oauth/callback",
                "no scheme": "//app.example.com/oauth/callback", "one slash": "https:/app.example.com/oauth/callback",
                "three slashes": "https:///app.example.com/oauth/callback", "backslashes": "https:\\\\app.example.com\\oauth\\callback",
                "host in capitals": "https://APP.example.com/oauth/callback", "another host": "https://evil.example.com/oauth/callback",
                "host with a suffix": "https://app.example.com.evil.example/oauth/callback",
                "host with a prefix": "https://evil-app.example.com/oauth/callback", "subdomain": "https://x.app.example.com/oauth/callback",
                "parent domain": "https://example.com/oauth/callback", "trailing dot on the host": "https://app.example.com./oauth/callback",
                "full-width host": "https://app.ｅxample.com/oauth/callback", "cyrillic a in the host": "https://\u{430}pp.example.com/oauth/callback",
                "ideographic full stop": "https://app\u{3002}example.com/oauth/callback", "punycode": "https://xn--pp-6ia.example.com/oauth/callback",
                "soft hyphen": "https://app.exam\u{AD}ple.com/oauth/callback", "zero-width joiner": "https://app.exam\u{200D}ple.com/oauth/callback",
                "escaped host": "https://%61pp.example.com/oauth/callback", "user name": "https://ada@app.example.com/oauth/callback",
                "registered host as a user": "https://app.example.com@evil.example/oauth/callback",
                "registered host as user and password": "https://app.example.com:x@evil.example/oauth/callback",
                "backslash before the at": "https://evil.example\\@app.example.com/oauth/callback",
                "default port": "https://app.example.com:443/oauth/callback", "another port": "https://app.example.com:8443/oauth/callback",
                "empty port": "https://app.example.com:/oauth/callback", "port of letters": "https://app.example.com:x/oauth/callback",
                "trailing slash": "https://app.example.com/oauth/callback/", "no path": "https://app.example.com", "root": "https://app.example.com/",
                "shorter path": "https://app.example.com/oauth", "longer path": "https://app.example.com/oauth/callback/evil",
                "suffix on the path": "https://app.example.com/oauth/callback2", "path in capitals": "https://app.example.com/OAuth/Callback",
                "double slash": "https://app.example.com//oauth/callback", "double slash inside": "https://app.example.com/oauth//callback",
                "dot segment": "https://app.example.com/oauth/./callback", "dot dot": "https://app.example.com/oauth/callback/../evil",
                "dot dot that leads back": "https://app.example.com/x/../oauth/callback",
                "escaped dot dot": "https://app.example.com/oauth/callback/%2e%2e/evil",
                "half-escaped dot dot": "https://app.example.com/oauth/callback/.%2E/evil",
                "doubly escaped dot dot": "https://app.example.com/oauth/callback/%252e%252e/evil",
                "dot dot with a parameter": "https://app.example.com/oauth/callback/..;/evil",
                "escaped slash": "https://app.example.com/oauth%2Fcallback", "escaped letter": "https://app.example.com/oauth/c%61llback",
                "backslash": "https://app.example.com/oauth\\callback", "escaped backslash": "https://app.example.com/oauth%5Ccallback",
                "path parameter": "https://app.example.com/oauth/callback;x=y", "query": "https://app.example.com/oauth/callback?x=y",
                "empty query": "https://app.example.com/oauth/callback?", "fragment": "https://app.example.com/oauth/callback#x",
                "empty fragment": "https://app.example.com/oauth/callback#", "escaped hash": "https://app.example.com/oauth/callback%23",
                "leading space": " https://app.example.com/oauth/callback", "trailing space": "https://app.example.com/oauth/callback ",
                "plus": "https://app.example.com/oauth/callback+", "tab inside": "https://app.exa\tmple.com/oauth/callback",
                "newline inside": "https://app.example.com/oauth/\ncallback",
                "carriage return and newline": "https://app.example.com/oauth/callback\r\n",
                "nul at the end": "https://app.example.com/oauth/callback\0", "escaped nul": "https://app.example.com/oauth/callback%00",
                "escaped newline": "https://app.example.com/oauth/callback%0d%0aLocation:x",
                "byte order mark": "\u{FEFF}https://app.example.com/oauth/callback",
                "accent": "https://app.example.com/oauth/callback\u{301}", "wildcard": "https://*.example.com/oauth/callback",
                "two of them": "https://app.example.com/oauth/callback https://app.example.com/oauth/callback", "javascript": "javascript:alert(1)",
                "javascript behind it": "javascript://app.example.com/oauth/callback", "data": "data:text/html,x", "null": "null",
            ])
        + of(
            loopback,
            [
                "localhost for its address": "http://localhost:33418/callback", "another address of loopback": "http://127.0.0.2:33418/callback",
                "127.1": "http://127.1:33418/callback", "0x7f.1": "http://0x7f.1:33418/callback", "decimal": "http://2130706433:33418/callback",
                "octal": "http://0177.0.0.1:33418/callback", "leading zeros": "http://127.000.000.001:33418/callback",
                "any address": "http://0.0.0.0:33418/callback", "trailing dot on the address": "http://127.0.0.1.:33418/callback",
                "version 6 for version 4": "http://[::1]:33418/callback", "mapped": "http://[::ffff:127.0.0.1]:33418/callback",
                "https on loopback": "https://127.0.0.1:33418/callback", "scheme in capitals on loopback": "Http://127.0.0.1:33418/callback",
                "name that begins with the address": "http://127.0.0.1.evil.example:33418/callback",
                "digits after the address": "http://127.0.0.11:33418/callback", "address as a user": "http://127.0.0.1:33418@evil.example/callback",
                "address as a user without port": "http://127.0.0.1@evil.example/callback", "port 0": "http://127.0.0.1:0/callback",
                "port with a leading zero": "http://127.0.0.1:033418/callback", "port too large": "http://127.0.0.1:65536/callback",
                "port far too large": "http://127.0.0.1:184467440737095516160/callback", "negative port": "http://127.0.0.1:-1/callback",
                "signed port": "http://127.0.0.1:+80/callback", "two ports": "http://127.0.0.1:80:80/callback",
                "empty port on loopback": "http://127.0.0.1:/callback", "wide digits in the port": "http://127.0.0.1:８０/callback",
                "space in the port": "http://127.0.0.1: 80/callback", "another path on loopback": "http://127.0.0.1:5000/callback2",
                "no path on loopback": "http://127.0.0.1:5000", "query on loopback": "http://127.0.0.1:5000/callback?x",
                "fragment on loopback": "http://127.0.0.1:5000/callback#", "newline after the port": "http://127.0.0.1:5000\n/callback",
                "dot dot on loopback": "http://127.0.0.1:5000/x/../callback",
            ])
        + of(
            localhost,
            [
                "address for localhost": "http://127.0.0.1:3000/Callback;k", "localhost with a dot": "http://localhost.:3000/Callback;k",
                "localhost in capitals": "http://LOCALHOST:3000/Callback;k", "below localhost": "http://x.localhost:3000/Callback;k",
                "localhost as a prefix": "http://localhost.evil.example:3000/Callback;k", "localhostess": "http://localhostess:3000/Callback;k",
                "long s": "http://localho\u{17F}t:3000/Callback;k", "canonically equivalent semicolon": "http://localhost:3000/Callback\u{37E}k",
                "kelvin sign": "http://localhost:3000/Callback;\u{212A}",
            ])
        + of(
            version6,
            [
                "all zeros written": "http://[0:0:0:0:0:0:0:1]:4000/cb?from=mcp", "some zeros written": "http://[::0:1]:4000/cb?from=mcp",
                "one with zeros": "http://[::0001]:4000/cb?from=mcp", "zone": "http://[::1%25lo]:4000/cb?from=mcp",
                "compatible": "http://[::127.0.0.1]:4000/cb?from=mcp", "no brackets": "http://::1:4000/cb?from=mcp",
                "without its query": "http://[::1]:4000/cb", "with more of a query": "http://[::1]:4000/cb?from=mcp&x",
                "brackets not closed": "http://[::1:4000/cb?from=mcp",
            ])
        + of(
            custom,
            [
                "custom scheme in capitals": "Cursor://anysphere.cursor-mcp/oauth/callback",
                "another scheme": "vscode://anysphere.cursor-mcp/oauth/callback",
                "scheme with a suffix": "cursors://anysphere.cursor-mcp/oauth/callback",
                "port on a custom scheme": "cursor://anysphere.cursor-mcp:1/oauth/callback",
                "another authority": "cursor://evil.cursor-mcp/oauth/callback",
                "one slash on a custom scheme": "cursor:/anysphere.cursor-mcp/oauth/callback",
                "custom scheme with a query": "cursor://anysphere.cursor-mcp/oauth/callback?x",
                "custom path": "cursor://anysphere.cursor-mcp/oauth/callback/",
            ])
}

struct RedirectURITests {
    @Test(arguments: Mutation.all)
    func `what is not the registered URI is not matched`(_ mutation: Mutation) throws {
        #expect(try !RedirectURI(mutation.registered).isMatched(by: mutation.presented))
    }

    @Test func `the table of mutations is long and names each once`() {
        #expect(Mutation.all.count >= 120)
        #expect(Set(Mutation.all.map(\.name)).count == Mutation.all.count)
    }

    @Test(arguments: [Mutation.web, Mutation.loopback, Mutation.localhost, Mutation.version6, Mutation.custom, "https://vscode.dev/redirect"])
    func `the registered URI is matched, byte for byte`(_ text: String) throws {
        let uri = try RedirectURI(text)
        #expect(uri.isMatched(by: text))
        #expect(uri.text == text)
        for index in text.utf8.indices {
            var bytes = Array(text.utf8)
            bytes[text.utf8.distance(from: text.utf8.startIndex, to: index)] ^= 0x20
            let mutated = String(decoding: bytes, as: UTF8.self)
            // A digit of a port becomes no digit by this.
            #expect(!uri.isMatched(by: mutated), "\(mutated)")
        }
    }

    @Test(arguments: [
        ("http://127.0.0.1:33418/callback", "http://127.0.0.1:1/callback"), ("http://127.0.0.1:33418/callback", "http://127.0.0.1:65535/callback"),
        ("http://127.0.0.1:33418/callback", "http://127.0.0.1/callback"), ("http://127.0.0.1/", "http://127.0.0.1:59656/"),
        ("http://127.0.0.1", "http://127.0.0.1:59656"), ("http://localhost/callback", "http://localhost:8080/callback"),
        ("http://[::1]/cb?x=%20y", "http://[::1]:4000/cb?x=%20y"), ("http://127.0.0.1?x", "http://127.0.0.1:80?x"),
    ])
    func `the port of http on loopback is free`(_ registered: String, _ presented: String) throws {
        #expect(try RedirectURI(registered).isMatched(by: presented))
        #expect(try RedirectURI(presented).isMatched(by: registered))
    }

    @Test func `the port of https on loopback is not`() throws {
        #expect(try !RedirectURI("https://localhost:1/cb").isMatched(by: "https://localhost:2/cb"))
    }

    @Test(arguments: [
        ("https://app.example.com/oauth/callback", "app.example.com", false, false), ("https://App-1_x.example:8443/", "", false, false),
        ("https://app.example:8443/cb?a=b&c=%2Fd%3F", "app.example", false, false), ("https://app.example", "app.example", false, false),
        ("https://10.0.0.7/cb", "10.0.0.7", false, false), ("https://[2001:db8::1]/cb", "[2001:db8::1]", false, false),
        ("http://127.0.0.1:33418/", "127.0.0.1", true, false), ("http://localhost/callback", "localhost", true, false),
        ("http://[::1]:9/", "[::1]", true, false), ("https://localhost:8443/cb", "localhost", true, false),
        ("https://127.0.0.2/cb", "127.0.0.2", true, false), ("https://dev.localhost/cb", "dev.localhost", true, false),
        ("https://[::ffff:7f00:1]/cb", "[::ffff:7f00:1]", true, false), ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:", false, true),
        ("vscode://vscode.github-authentication/did-authenticate", "vscode:", false, true),
        ("com.example.app:/oauth2redirect", "com.example.app:", false, true),
        ("raycast://oauth?package_name=Extension", "raycast:", false, true), ("myapp:///callback", "myapp:", false, true),
        ("exp://app.example:19000/--/cb", "exp:", false, true), ("a+b-c.d1:/x", "a+b-c.d1:", false, true),
    ])
    func `a URI says where it leads`(_ text: String, _ host: String, _ isLoopback: Bool, _ isCustomScheme: Bool) throws {
        guard !host.isEmpty else {
            #expect(throws: OAuthError.self) { try RedirectURI(text) }
            return
        }
        let uri = try RedirectURI(text)
        #expect((uri.host, uri.isLoopback, uri.isCustomScheme) == (host, isLoopback, isCustomScheme))
    }

    @Test(arguments: [
        "javascript:alert(1)", "javascript://x/%0aalert(1)", "JavaScript:/x", "data:text/html,x", "data:/x", "file:///etc/passwd", "blob:https://x/y",
        "about:blank", "about:/blank", "vbscript:/x", "ftp://app.example/cb", "ws://app.example/cb", "wss://app.example/cb", "mailto:/ada@x",
        "tel:/1", "intent://x/#Intent;end", "intent://x/", "view-source:/x", "view-source:https://x", "chrome://settings/",
        "chrome-extension://abc/cb",
        "moz-extension://abc/cb", "ms-settings:/x", "ms-msdt:/id", "search-ms:/query", "web+mcp://x/", "urn:ietf:wg:oauth:2.0:oob", "urn:/x",
        "microsoft-edge:/x", "x-apple.systempreferences:/x", "itms-services://?action=download", "shell:/startup", "android-app://x/y",
        "content://x/y",
    ])
    func `a scheme that a browser or system acts on by itself is refused`(_ text: String) {
        #expect(throws: OAuthError.self) { try RedirectURI(text) }
    }

    @Test(arguments: [
        "", ":", "://", "/callback", "callback", "app.example.com/cb", "https", "https:", "https:/", "https://", "https:///cb",
        "https:app.example/cb",
        "https://app.example/cb#", "https://app.example/cb#x", "https://ada@app.example/cb", "https://ada:pw@app.example/cb",
        "https://@app.example/cb",
        "https://*.example/cb", "https://app.example/*", "https://app.example/cb?x=*", "https://app.example/c b", "https://app.example/c\tb",
        "https://app.example/cb\n", "https://app.example/cb\0", "https://app.example\\cb", "https://\u{e4}pp.example/cb",
        "https://app.example/\u{e4}",
        "https://app.example/%", "https://app.example/%2", "https://app.example/%zz", "https://app.example/%u0041", "https://app.example/%00",
        "https://app.example/cb?x=%0d%0a", "https://app.example/%7f", "https://app.example/a/../b", "https://app.example/..", "https://app.example/.",
        "https://app.example/%2e%2E/b", "https://app.example/.%2e", "https://app.example/a/%2e/b", "https://app.example/..;x/b",
        "https://app.example/a%2fb", "https://app.example/a%5cb", "https://app.example/a|b", "https://app.example/a^b", "https://app.example/<x>",
        "https://app.example/\"x\"", "https://app.example/{x}", "https://app.example/`x`", "https://app.example/cb?a[]=1", "https://app.example:0/cb",
        "https://app.example:/cb", "https://app.example:0443/cb", "https://app.example:99999/cb", "https://app.example:x/cb",
        "https://app.example./cb",
        "https://.example/cb", "https://app..example/cb", "https://%61pp.example/cb", "https://127.1/cb", "https://0x7f.1/cb",
        "https://2130706433/cb",
        "https://0.0.0.0/cb", "https://[::]/cb", "https://[::1/cb", "https://[0:0:0:0:0:0:0:1]/cb", "https://[::FFFF:7F00:1]/cb", "https://[v1.x]/cb",
        "HTTPS://app.example/cb", "https://APP.example/cb", "http://app.example/cb", "http://10.0.0.7/cb", "http://127.0.0.2/cb", "http://127.1/cb",
        "http://localhost./cb", "http://dev.localhost/cb", "http://[::ffff:127.0.0.1]/cb", "http://0.0.0.0:80/cb", "http://LOCALHOST/cb",
        "Cursor://x/cb", "1cursor://x/cb", "cur_sor://x/cb", "cursor:x", "cursor:", "cursor://a@b/cb", "cursor://a b/cb", "cursor://a%41/cb",
        "cursor://a:b/cb", "cursor://:1/cb", "cursor://x/../cb", "-x://a/b", "+x://a/b", "https://app.example/cb?x=%",
    ])
    func `what two readers could read in two ways is no redirect URI`(_ text: String) {
        let error = #expect(throws: OAuthError.self) { try RedirectURI(text) }
        #expect(error?.code == .invalidRedirectURI)
        #expect(error?.sentence.hasSuffix(".") == true)
    }

    @Test func `512 bytes are enough, 513 are not`() throws {
        let text = "https://app.example/" + String(repeating: "a", count: 492)
        #expect(try RedirectURI(text).text.utf8.count == 512)
        #expect(throws: OAuthError.self) { try RedirectURI(text + "a") }
        #expect(throws: OAuthError.self) { try RedirectURI(String(repeating: "s", count: 65) + ":/x") }
    }

    @Test(arguments: [
        "https://app.example/cb", "http://127.0.0.1/cb", "http://localhost:1/cb", "https://localhost/cb", "cursor://x/cb", "com.example:/cb",
    ])
    func `a native application may register all of these`(_ text: String) throws {
        try RedirectURI(text).check(for: .native)
    }

    @Test func `a web application has https elsewhere; on this machine only in evaluation`() throws {
        try RedirectURI("https://app.example/cb").check(for: .web)
        for text in ["http://127.0.0.1/cb", "http://localhost:1/cb", "https://localhost/cb", "https://127.0.0.2/cb", "https://dev.localhost/cb"] {
            #expect(throws: OAuthError.self, "\(text)") { try RedirectURI(text).check(for: .web) }
            try RedirectURI(text).check(for: .web, isEvaluation: true)
        }
        for text in ["cursor://x/cb", "com.example:/cb"] {
            #expect(throws: OAuthError.self) { try RedirectURI(text).check(for: .web) }
            #expect(throws: OAuthError.self) { try RedirectURI(text).check(for: .web, isEvaluation: true) }
        }
    }

    @Test func `whatever bytes come, nothing traps, and what is read is what was written`() throws {
        var random = SplitMix(seed: 7)
        let registered = try RedirectURI("http://127.0.0.1:33418/callback")
        let seeds = ["https://app.example/cb?x=%20", "http://127.0.0.1:33418/callback", "cursor://a/b", "http://[::1]:1/x"]
        for round in 0..<20_000 {
            var bytes = round.isMultiple(of: 4) ? random.bytes(upTo: 40) : Array(seeds[round / 4 % 4].utf8)
            if !bytes.isEmpty { bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random) }
            let text = String(decoding: bytes, as: UTF8.self)
            if registered.isMatched(by: text) { #expect(text.hasPrefix("http://127.0.0.1:") && text.hasSuffix("/callback")) }
            if let uri = try? RedirectURI(text) {
                #expect(uri.text.utf8.elementsEqual(text.utf8))
                #expect(uri.isMatched(by: text))
            }
        }
    }
}
