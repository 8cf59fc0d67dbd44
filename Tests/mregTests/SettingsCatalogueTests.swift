import Testing

@testable import mreg

struct SettingsCatalogueTests {
    /// Section 3 of the contract, name by name, with the defaults it gives. “–” is none.
    static let contract: [(name: String, value: String)] = [
        ("MREG_FASTMCP_ENABLE_ADAPTIVE_CONNECTION_POOLING", "true"),
        ("MREG_FASTMCP_CONNECTION_POOL_SCALING_ENABLED", "true"),
        ("MREG_FASTMCP_MIN_POOL_SIZE", "10"),
        ("MREG_FASTMCP_MAX_POOL_SIZE", "100"),
        ("MREG_FASTMCP_POOL_SCALING_FACTOR", "1.5"),
        ("MREG_FASTMCP_POOL_UTILIZATION_THRESHOLD", "0.8"),
        ("DB_MAX_CONNECTIONS", "50"),
        ("DB_MIN_CONNECTIONS", "5"),
        ("DB_CONNECTION_TIMEOUT", "30"),
        ("DB_NAME", "gateway"),
        ("DB_REDIS_MAX_CONNECTIONS", "50"),
        ("REDIS_CONNECTION_POOL_SIZE", "20"),
        ("MREG_POOL_AUTH_SIZE", "25"),
        ("MREG_POOL_AUTH_TIMEOUT", "10"),
        ("MREG_POOL_READ_SIZE", "20"),
        ("MREG_POOL_READ_TIMEOUT", "15"),
        ("MREG_POOL_WRITE_SIZE", "15"),
        ("MREG_POOL_WRITE_TIMEOUT", "30"),
        ("MREG_POOL_ANALYTICS_SIZE", "10"),
        ("MREG_POOL_ANALYTICS_TIMEOUT", "60"),
        ("MREG_FASTMCP_ENABLE_BACKGROUND_TOKEN_REFRESH", "true"),
        ("MREG_FASTMCP_TOKEN_REFRESH_MARGIN_MINUTES", "5"),
        ("MREG_FASTMCP_PROACTIVE_REFRESH_MINUTES", "10"),
        ("MREG_FASTMCP_TOKEN_REFRESH_MAX_RETRIES", "4"),
        ("MREG_FASTMCP_TOKEN_REFRESH_RETRY_INTERVALS", "30,60,120,300"),
        ("MREG_FASTMCP_ENABLE_TENANT_FAIRNESS_ALGORITHM", "true"),
        ("MREG_FASTMCP_TENANT_FAIRNESS_WINDOW_SECONDS", "300"),
        ("MREG_FASTMCP_TENANT_BURST_ALLOWANCE_FACTOR", "1.5"),
        ("MREG_FASTMCP_ENABLE_SLIDING_WINDOW_RATE_LIMITING", "true"),
        ("MREG_FASTMCP_RATE_LIMIT_ADMIN_RPM", "1000"),
        ("MREG_FASTMCP_RATE_LIMIT_SERVER_OWNER_RPM", "500"),
        ("MREG_FASTMCP_RATE_LIMIT_USER_RPM", "100"),
        ("MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM", "20"),
        ("MREG_FASTMCP_RATE_LIMIT_TENANT_MULTIPLIER", "10"),
        ("MREG_FASTMCP_RATE_LIMIT_GLOBAL_RPM", "10000"),
        ("MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR", "2.0"),
        ("MREG_FASTMCP_ENABLE_DDOS_PROTECTION", "true"),
        ("MREG_FASTMCP_DDOS_DETECTION_THRESHOLD", "1000"),
        ("MREG_FASTMCP_DDOS_BAN_DURATION_SECONDS", "3600"),
        ("MREG_BLOCK_ALLOWLIST", ""),
        ("MREG_ALLOWED_PRIVATE_UPSTREAMS", ""),
        ("MREG_TOOL_CHANGE_POLICY", "hold"),
        ("MREG_ISSUER_WITHOUT_PKCE_METADATA", "entra"),
        ("MREG_SEALING_KEY_FILE", ""),
        ("MREG_BUCKETS_MAP_BYTES", "64MiB"),
        ("MREG_STDIO_SERVERS_FILE", "/etc/mcp-registry-gateway/servers.json"),
        ("MREG_FASTMCP_METRICS_EXPORT_INTERVAL", "60"),
        ("MREG_FASTMCP_ENABLE_USER_ANALYTICS", "true"),
        ("MREG_FASTMCP_ENABLE_BEHAVIOR_TRACKING", "true"),
        ("MREG_FASTMCP_TENANT_RESOURCE_MONITORING", "true"),
        ("MREG_FASTMCP_MAX_CONCURRENT_USERS", "500"),
        ("MREG_FASTMCP_SESSION_CLEANUP_INTERVAL", "300"),
        ("MREG_FASTMCP_USER_ACTIVITY_TIMEOUT", "1800"),
        ("MREG_AZURE_TENANT_ID", ""),
        ("MREG_AZURE_CLIENT_ID", ""),
        ("MREG_AZURE_CLIENT_SECRET", ""),
        ("MREG_AZURE_AUTHORITY", ""),
        ("MREG_AZURE_ALLOWED_TENANTS", ""),
        ("MREG_OIDC_ISSUER", ""),
        ("MREG_OIDC_CLIENT_ID", ""),
        ("MREG_OIDC_CLIENT_SECRET", ""),
        ("MREG_OIDC_ROLE_CLAIM", ""),
        ("MREG_OIDC_TENANT_CLAIM", ""),
        ("MREG_FASTMCP_OAUTH_CALLBACK_URL", "http://localhost:8001/oauth/callback"),
        ("MREG_FASTMCP_OAUTH_SCOPES", "openid profile email offline_access"),
        ("MREG_PUBLIC_URL", ""),
        ("MREG_HOST", "127.0.0.1"),
        ("MREG_PORT", "8001"),
        ("MREG_TLS_CERTIFICATE_FILE", ""),
        ("MREG_TLS_KEY_FILE", ""),
        ("MREG_TRUSTED_PROXIES", ""),
        ("MREG_ALLOWED_ORIGINS", ""),
        ("MREG_AUDIT_RETENTION_DAYS", "90"),
        ("MREG_AUDIT_MAX_BYTES", "10GiB"),
        ("MREG_AUDIT_DURABILITY", "answered"),
        ("MREG_LOG_LEVEL", "info"),
        ("MREG_LOG_FORMAT", "text"),
        // Section 1.
        ("MREG_STATE_DIR", "/var/lib/mcp-registry-gateway"),
    ]

    /// Those that the contract does not name (docs/decisions/0011-calls-in-flight.md, docs/sign-in.md).
    static let ours = [
        ("MREG_IN_FLIGHT_PER_USER", "128"), ("MREG_IN_FLIGHT_PER_SERVER", "256"), ("MREG_QUEUED_PER_SERVER", "1024"), ("MREG_QUEUE_TIMEOUT", "30"),
        ("MREG_ROLE_MAP", ""), ("MREG_CLIENT_DOCUMENT_DOMAINS", ""), ("MREG_ENABLE_DYNAMIC_REGISTRATION", "true"),
    ]

    @Test(arguments: contract + ours)
    func `each name of the contract is there with its default`(name: String, value: String) throws {
        let setting = try #require(SettingsCatalogue.all.first { $0.name == name })
        #expect(setting.defaultText == value)
    }

    @Test func `there is no name beside the contract's and our own, and none twice`() {
        #expect(SettingsCatalogue.all.map(\.name).sorted() == (Self.contract.map(\.name) + Self.ours.map(\.0)).sorted())
        #expect(Set(SettingsCatalogue.all.map { $0.field as PartialKeyPath<Settings> }).count == SettingsCatalogue.all.count)
    }

    @Test(arguments: SettingsCatalogue.all)
    func `each default can be written by hand`(setting: Setting) {
        var settings = Settings()
        let text = setting.defaultText
        #expect(text.isEmpty ? setting.isOptional : setting.set(text, in: &settings))
        #expect(setting.text(in: settings) == text)
    }

    @Test(arguments: SettingsCatalogue.all)
    func `each setting refuses what nobody means`(setting: Setting) {
        var settings = Settings()
        for text in ["", "\u{0}", "a\nb", " ", "\u{2028}", String(repeating: "9", count: 100_000)] {
            #expect(!setting.set(text, in: &settings), "\(setting.name) took \(text.debugDescription.prefix(20))")
        }
    }

    @Test func `every cross check is over settings of the catalogue`() {
        for check in SettingsCheck.all {
            #expect(check.fields.allSatisfy { SettingsCatalogue.setting(at: $0).field == $0 })
        }
    }

    @Test func `the table for the documents names everything once`() {
        let rows = SettingsCatalogue.markdown().split(separator: "\n").filter { $0.hasPrefix("| `") }
        #expect(rows.count == SettingsCatalogue.all.count)
        #expect(rows.contains("| `MREG_PORT` | `8001` | an integer from 0 to 65535 | The port to listen on; 0 lets the system choose. |"))
        #expect(rows.allSatisfy { $0.count { $0 == "|" } == 5 })
    }
}
