import Gateway
import Testing

@testable import mreg

/// The lines an operator would see.
func complaints(_ environment: [String: String], file: String? = nil) -> [String] {
    do {
        _ = try Settings(environment: environment, file: file.map { SettingsFile(parsing: $0, path: "gateway.env") })
        return []
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}

struct SettingsReadingTests {
    @Test func `nothing set is all defaults`() throws {
        let settings = try Settings(environment: ["PATH": "/bin", "HOME": "/root"])
        #expect(settings.listener.port == 8001)
        #expect(settings.hotState.bucketsMapBytes == 67_108_864)
        #expect(settings.audit.retention == .seconds(7_776_000))
        #expect(settings.refresh.margin == .seconds(300))
        #expect(settings.pools.handles == 10...50)
        #expect(settings.sources.isEmpty)
    }

    @Test func `the environment wins over the file, and the file over the default`() throws {
        let file = SettingsFile(parsing: "MREG_PORT=9000\n\nDB_NAME=other", path: "gateway.env")
        let settings = try Settings(environment: ["MREG_PORT": "0"], file: file)
        #expect(settings.listener.port == 0)
        #expect(settings.databaseName == "other")
        #expect(settings.sources == ["MREG_PORT": .environment, "DB_NAME": .file(path: "gateway.env", line: 3)])
    }

    @Test func `an empty value is as if not set where there may be none`() throws {
        let file = SettingsFile(parsing: "MREG_ALLOWED_ORIGINS=https://a.example\nMREG_OIDC_ISSUER=", path: "gateway.env")
        let settings = try Settings(environment: ["MREG_ALLOWED_ORIGINS": "", "MREG_PUBLIC_URL": ""], file: file)
        #expect(settings.listener.allowedOrigins.map(\.description) == ["https://a.example"])
        #expect(settings.listener.publicOrigin == nil)
        #expect(settings.oidc.issuer == nil)
    }

    @Test func `an empty value is a mistake elsewhere`() {
        #expect(complaints(["MREG_PORT": ""]) == ["MREG_PORT= (environment): expected an integer from 0 to 65535"])
    }

    @Test func `a bad value is shown with its place and what was expected`() {
        #expect(complaints([:], file: "# mine\nMREG_PORT=70000") == ["MREG_PORT=70000 (gateway.env:2): expected an integer from 0 to 65535"])
    }

    @Test(arguments: [
        ("MREG_PROT", "MREG_PORT"), ("MREG_FASTMCP_RATE_LIMIT_RPM", "MREG_FASTMCP_RATE_LIMIT_USER_RPM"), ("DB_MIN_CONECTIONS", "DB_MIN_CONNECTIONS"),
    ])
    func `an unknown name is answered with the nearest`(name: String, nearest: String) {
        let complaint = ": there is no such setting; the nearest name is \(nearest)"
        #expect(complaints([name: "1"]) == ["\(name) (environment)" + complaint])
        #expect(complaints([:], file: "\(name)=1") == ["\(name) (gateway.env:1)" + complaint])
    }

    @Test func `in the environment only names of ours are judged, in the file all`() {
        #expect(complaints(["EDITOR": "vi", "mreg_port": "1"]).isEmpty)
        #expect(complaints([:], file: "EDITOR=vi").count == 1)
    }

    @Test func `all problems are told at once`() {
        let environment = ["MREG_PORT": "-1", "DB_NOM": "x", "DB_MIN_CONNECTIONS": "60", "MREG_HOST": "everywhere"]
        let lines = complaints(environment, file: "what\nMREG_LOG_LEVEL=loud\nREDIS_URL=redis://me:canary@cache")
        #expect(
            lines.map { String($0.prefix { $0 != " " && $0 != "=" }) } == [
                "gateway.env:1:", "DB_NOM", "REDIS_URL", "MREG_HOST", "MREG_PORT", "MREG_LOG_LEVEL", "DB_MIN_CONNECTIONS",
            ])
    }

    @Test(arguments: [("true", true), ("TRUE", true), ("1", true), ("Yes", true), ("false", false), ("0", false), ("NO", false)])
    func `booleans are written in six ways`(text: String, value: Bool) throws {
        #expect(try Settings(environment: ["MREG_FASTMCP_ENABLE_DDOS_PROTECTION": text]).addressGuard.isEnabled == value)
    }

    @Test(arguments: [("1048576", 1 << 20), ("2048KiB", 2 << 20), ("64GiB", 64 << 30)])
    func `sizes are plain bytes or have a unit`(text: String, bytes: Int) throws {
        #expect(try Settings(environment: ["MREG_BUCKETS_MAP_BYTES": text]).hotState.bucketsMapBytes == bytes)
    }

    @Test(arguments: [
        ("MREG_PORT", ["-1", "65536", "+80", "0x50", "8_001", "8001 ", "٨٠٠١", "８００１", "99999999999999999999", "8001\u{0}", "80\n01", "1e3"]),
        ("MREG_FASTMCP_RATE_LIMIT_USER_RPM", ["-1", "10000001", "1.5", "∞"]),
        ("MREG_FASTMCP_POOL_SCALING_FACTOR", ["nan", "inf", "-1.5", "0.99", "10.01", "1e1", "0x1p1", "1,5", "1.", ".5", "1.5.5", "١.٥"]),
        ("MREG_BUCKETS_MAP_BYTES", ["0", "1", "65GiB", "64 MiB", "64MB", "MiB", "-1MiB", "17179869185GiB"]),
        ("MREG_FASTMCP_ENABLE_DDOS_PROTECTION", ["on", "2", "tru\u{65}\u{301}", " true"]),
        ("MREG_FASTMCP_TOKEN_REFRESH_RETRY_INTERVALS", ["30,60,120,0", "30,,60,120,300", "30,60,120,300,", "30;60", "-30,1,1,1", "a"]),
        ("DB_NAME", ["../x", "a/b", ".hidden", "a b", "a\u{0}", "ü", String(repeating: "a", count: 65)]),
        ("MREG_STATE_DIR", ["/a\u{0}b", "/a\nb", " /a", "/a "]),
        ("MREG_HOST", ["0.0.0.0/0", "::1/128", "[::1]", "127.1", "::1%lo", "gateway.example", "1.2.3.4.5", "01.2.3.4"]),
        (
            "MREG_PUBLIC_URL",
            [
                "gateway.example", "ftp://a.example", "https://", "https://a.example/", "https://a.example/x", "https://a.example?x",
                "https://a.example#x",
                "https://a.example:0", "https://a.example:65536", "https://a.example:", "https://me:pw@a.example", "https://a b", "https://a\\b",
                "https://é.example",
                "https://[::1", "https://[127.0.0.1]", "https://[::1]x", "https://127.1", "https://0x7f.0.0.1", "https://a..example",
            ]
        ),
        (
            "MREG_TRUSTED_PROXIES",
            [
                "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/8/8", "fd00::1/8", "10.0.0.0/", "10.0.0.0/-1", "::/129", ":::",
                "1::2::3", "::1.2.3", "12345::", "10.0.0.1,", "any",
            ]
        ),
        (
            "MREG_FASTMCP_OAUTH_CALLBACK_URL",
            [
                "/oauth/callback", "localhost:8001", "https://a.example/#x", "https://127.1/x", "https://0x7f.0.0.1/x", "https://2130706433/x",
                "https://a..example/x", "https://a.example./x", "https://a.example\\@b.example/x", "https://me@a.example/x", "https://a.example:0/x",
            ]
        ),
        ("MREG_OIDC_ISSUER", ["http://issuer.example", "http://127.0.0.1.example", "http://[::ffff:127.0.0.1]", "https://0177.0.0.1", "issuer"]),
        ("MREG_AZURE_AUTHORITY", ["http://login.example", "https://me@login.example"]),
        ("MREG_AZURE_TENANT_ID", ["a/b", "..", "a?b"]),
        ("MREG_FASTMCP_OAUTH_SCOPES", ["openid  profile", " openid", "open\"id", ""]),
        ("MREG_TOOL_CHANGE_POLICY", ["HOLD", "ignore"]),
        ("MREG_CLIENT_DOCUMENT_DOMAINS", ["https://a.example", "a.example,", "*", "*.", "10.0.0.1", "a.example:443", "localhost", "*.*.example"]),
        ("MREG_ENABLE_DYNAMIC_REGISTRATION", ["on", ""]),
        ("MREG_ISSUER_WITHOUT_PKCE_METADATA", ["http://issuer.example", "entra,none", ""]),
    ])
    func `hostile and careless values are refused in one plain line`(name: String, values: [String]) {
        for value in values {
            let lines = complaints([name: value])
            #expect(
                lines.count == 1 && lines[0].hasPrefix("\(name)=") && lines[0].contains(": expected "), "\(name)=\(value.debugDescription): \(lines)")
            #expect(lines.allSatisfy { !$0.contains("\u{0}") && !$0.contains("pw") && $0.utf8.count < 400 })
        }
    }

    @Test func `a name of megabytes is cut short and costs little`() {
        let lines = complaints(["MREG_" + String(repeating: "e\u{301}", count: 1_000_000): "1"])
        #expect(lines.count == 1 && lines[0].utf8.count < 900)
    }

    @Test func `addresses, origins and issuers arrive as typed`() throws {
        let settings = try Settings(environment: [
            "MREG_TRUSTED_PROXIES": "10.0.0.0/8, ::1,fd00::/8, ::ffff:10.0.0.1",
            "MREG_ALLOWED_ORIGINS": "HTTPS://App.Example:443,http://localhost:3000",
            "MREG_OIDC_ISSUER": "http://[::1]:9000/Realm", "MREG_AZURE_AUTHORITY": "HTTPS://Login.Example:443",
            "MREG_ISSUER_WITHOUT_PKCE_METADATA": "entra,https://id.example/",
            "MREG_FASTMCP_TOKEN_REFRESH_RETRY_INTERVALS": "1, 2,3,4,5",
        ])
        #expect(settings.listener.trustedProxies.map(\.description) == ["10.0.0.0/8", "::1/128", "fd00::/8", "::ffff:a00:1/128"])
        #expect(settings.listener.allowedOrigins.map(\.description) == ["https://app.example", "http://localhost:3000"])
        #expect(settings.oidc.issuer == "http://[::1]:9000/Realm")
        #expect(settings.azure.authority == "HTTPS://Login.Example:443")
        #expect(settings.upstreams.issuersWithoutPKCEMetadata.map(\.description) == ["entra", "https://id.example/"])
        #expect(settings.refresh.retryIntervals == [1, 2, 3, 4, 5].map { .seconds($0) })
        #expect(try Settings(environment: ["MREG_ISSUER_WITHOUT_PKCE_METADATA": "none"]).upstreams.issuersWithoutPKCEMetadata.isEmpty)
    }
}
