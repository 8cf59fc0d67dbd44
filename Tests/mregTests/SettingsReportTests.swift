import Testing

@testable import mreg

struct SettingsReportTests {
    static let effective = [
        "MREG_HOST", "MREG_PORT", "MREG_PUBLIC_URL", "MREG_TRUSTED_PROXIES", "MREG_ALLOWED_ORIGINS", "MREG_STATE_DIR", "DB_NAME",
        "MREG_FASTMCP_ENABLE_ADAPTIVE_CONNECTION_POOLING", "MREG_FASTMCP_CONNECTION_POOL_SCALING_ENABLED", "MREG_FASTMCP_MIN_POOL_SIZE",
        "MREG_FASTMCP_MAX_POOL_SIZE", "MREG_FASTMCP_POOL_SCALING_FACTOR", "MREG_FASTMCP_POOL_UTILIZATION_THRESHOLD", "DB_MAX_CONNECTIONS",
        "DB_MIN_CONNECTIONS", "DB_CONNECTION_TIMEOUT", "MREG_POOL_AUTH_SIZE", "MREG_POOL_AUTH_TIMEOUT", "MREG_POOL_READ_SIZE",
        "MREG_POOL_READ_TIMEOUT", "MREG_POOL_WRITE_SIZE", "MREG_POOL_WRITE_TIMEOUT", "MREG_POOL_ANALYTICS_SIZE", "MREG_POOL_ANALYTICS_TIMEOUT",
        "MREG_BUCKETS_MAP_BYTES", "MREG_SEALING_KEY_FILE", "MREG_FASTMCP_RATE_LIMIT_ADMIN_RPM", "MREG_FASTMCP_RATE_LIMIT_SERVER_OWNER_RPM",
        "MREG_FASTMCP_RATE_LIMIT_USER_RPM", "MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM", "MREG_FASTMCP_RATE_LIMIT_TENANT_MULTIPLIER",
        "MREG_FASTMCP_RATE_LIMIT_GLOBAL_RPM", "MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR", "MREG_IN_FLIGHT_PER_USER", "MREG_IN_FLIGHT_PER_SERVER",
        "MREG_QUEUED_PER_SERVER", "MREG_QUEUE_TIMEOUT", "MREG_FASTMCP_ENABLE_TENANT_FAIRNESS_ALGORITHM",
        "MREG_FASTMCP_TENANT_FAIRNESS_WINDOW_SECONDS", "MREG_FASTMCP_TENANT_BURST_ALLOWANCE_FACTOR",
        "MREG_FASTMCP_ENABLE_SLIDING_WINDOW_RATE_LIMITING", "MREG_FASTMCP_ENABLE_DDOS_PROTECTION", "MREG_FASTMCP_DDOS_DETECTION_THRESHOLD",
        "MREG_FASTMCP_DDOS_BAN_DURATION_SECONDS", "MREG_BLOCK_ALLOWLIST", "MREG_FASTMCP_ENABLE_BACKGROUND_TOKEN_REFRESH",
        "MREG_FASTMCP_TOKEN_REFRESH_MARGIN_MINUTES", "MREG_FASTMCP_PROACTIVE_REFRESH_MINUTES", "MREG_FASTMCP_TOKEN_REFRESH_MAX_RETRIES",
        "MREG_FASTMCP_TOKEN_REFRESH_RETRY_INTERVALS", "MREG_FASTMCP_MAX_CONCURRENT_USERS", "MREG_FASTMCP_SESSION_CLEANUP_INTERVAL",
        "MREG_FASTMCP_USER_ACTIVITY_TIMEOUT", "MREG_FASTMCP_ENABLE_BEHAVIOR_TRACKING", "MREG_ALLOWED_PRIVATE_UPSTREAMS", "MREG_TOOL_CHANGE_POLICY",
        "MREG_ISSUER_WITHOUT_PKCE_METADATA", "MREG_STDIO_SERVERS_FILE", "MREG_AZURE_TENANT_ID", "MREG_AZURE_CLIENT_ID", "MREG_AZURE_CLIENT_SECRET",
        "MREG_AZURE_AUTHORITY", "MREG_AZURE_ALLOWED_TENANTS", "MREG_OIDC_ISSUER", "MREG_OIDC_CLIENT_ID", "MREG_OIDC_CLIENT_SECRET",
        "MREG_OIDC_ROLE_CLAIM", "MREG_OIDC_TENANT_CLAIM", "MREG_FASTMCP_OAUTH_CALLBACK_URL", "MREG_FASTMCP_OAUTH_SCOPES", "MREG_ROLE_MAP",
        "MREG_CLIENT_DOCUMENT_DOMAINS", "MREG_ENABLE_DYNAMIC_REGISTRATION",
        "MREG_AUDIT_RETENTION_DAYS", "MREG_AUDIT_MAX_BYTES", "MREG_AUDIT_DURABILITY", "MREG_LOG_LEVEL", "MREG_LOG_FORMAT",
    ]

    @Test func `what the program acts on today is known name by name`() throws {
        #expect(SettingsCatalogue.all.filter(\.hasEffect).map(\.name) == Self.effective)
        let settings = try Settings(environment: ["MREG_PORT": "1", "MREG_FASTMCP_METRICS_EXPORT_INTERVAL": "5", "DB_REDIS_MAX_CONNECTIONS": "6"])
        #expect(settings.setWithoutEffect == ["DB_REDIS_MAX_CONNECTIONS", "MREG_FASTMCP_METRICS_EXPORT_INTERVAL"])
        #expect(Settings.namesWithoutEffect.count == SettingsCatalogue.all.count - Self.effective.count)
    }

    @Test func `the report says where each value came from and what has no effect`() throws {
        let file = SettingsFile(parsing: "MREG_PUBLIC_URL=https://Gateway.example\nDB_REDIS_MAX_CONNECTIONS=6", path: "/etc/gateway.env")
        let report = try Settings(environment: ["MREG_PORT": "09000", "MREG_OIDC_CLIENT_SECRET": "canary"], file: file).report()
        #expect(
            report.hasPrefix(
                """
                settings are good: 4 set, 81 at their defaults

                  MREG_PORT                 9000                     environment
                  MREG_PUBLIC_URL           https://gateway.example  /etc/gateway.env:1
                  DB_REDIS_MAX_CONNECTIONS  6                        /etc/gateway.env:2
                  MREG_OIDC_CLIENT_SECRET   redacted                 environment

                set, but without effect in this version:
                  DB_REDIS_MAX_CONNECTIONS

                all names without effect in this version:
                  MREG_TLS_CERTIFICATE_FILE
                """))
    }

    @Test func `with nothing set the report is short`() {
        #expect(
            Settings().report().hasPrefix("settings are good: 0 set, 85 at their defaults\n\nall names without effect in this version:\n  MREG_TLS_"))
    }
}
