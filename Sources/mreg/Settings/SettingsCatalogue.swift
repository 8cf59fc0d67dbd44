/// Every setting there is. Names are typed here and nowhere else; the reader, the checks, `--check` and
/// docs/settings.md all come from this table.
enum SettingsCatalogue {
    struct Subject: Sendable {
        let title: String
        let settings: [Setting]

        init(_ title: String, _ settings: Setting...) {
            self.title = title
            self.settings = settings
        }
    }

    /// In the environment, names that begin so are ours, and a mistake if unknown.
    static let prefixes = ["MREG_", "DB_", "REDIS_"]

    static let subjects = [
        listener, state, pools, hotState, limits, fairness, addressGuard, refresh, sessions, metrics, upstreams, azure, oidc, oauth, audit, log,
    ]
    static let all = subjects.flatMap(\.settings)

    /// The setting that fills this place in `Settings`.
    static func setting(at field: Setting.Field) -> Setting {
        guard let setting = all.first(where: { $0.field == field }) else { preconditionFailure("\(field) is missing in the catalogue") }
        return setting
    }

    private static let count = SettingForm<Int>.integer(1...10_000)
    private static let rate = SettingForm<Int>.integer(0...10_000_000)
    private static let upToAnHour = SettingForm<Duration>.seconds(1...3600)

    private static let listener = Subject(
        "Listener",
        Setting("MREG_HOST", \.listener.host, .host, "The address to listen on; beyond loopback only with TLS or trusted proxies.", hasEffect: true),
        Setting("MREG_PORT", \.listener.port, .integer(0...65_535), "The port to listen on; 0 lets the system choose.", hasEffect: true),
        Setting(
            "MREG_PUBLIC_URL", \.listener.publicOrigin, .optional(.origin),
            "The origin that clients see; http://localhost and the bound port if not set. http only on loopback or behind trusted proxies.",
            hasEffect: true),
        Setting("MREG_TLS_CERTIFICATE_FILE", \.listener.tlsCertificateFile, .optional(.path), "The certificate chain to serve TLS with, in PEM."),
        Setting("MREG_TLS_KEY_FILE", \.listener.tlsKeyFile, .optional(.path), "The key of that certificate, in PEM.", isRedacted: true),
        Setting(
            "MREG_TRUSTED_PROXIES", \.listener.trustedProxies, .list(of: .addresses, mayBeEmpty: true),
            "Proxies whose forwarding headers are believed.", hasEffect: true),
        Setting(
            "MREG_ALLOWED_ORIGINS", \.listener.allowedOrigins, .list(of: .origin, mayBeEmpty: true),
            "Origins of web pages that may call the gateway, beside its own.", hasEffect: true),
    )

    private static let state = Subject(
        "State",
        Setting("MREG_STATE_DIR", \.stateDirectory, .path, "The directory of everything that must survive; one gateway owns it.", hasEffect: true),
        Setting("DB_NAME", \.databaseName, .fileName, "The SQLite database's file name in it, without `.sqlite`.", hasEffect: true),
    )

    private static let pools = Subject(
        "Handle pools",
        Setting(
            "MREG_FASTMCP_ENABLE_ADAPTIVE_CONNECTION_POOLING", \.pools.isAdaptive, .boolean, "Whether handle pools resize themselves.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_CONNECTION_POOL_SCALING_ENABLED", \.pools.isScalingEnabled, .boolean,
            "Whether handle pools resize themselves; both must be true.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_MIN_POOL_SIZE", \.pools.minimumSize, count,
            "Handles kept over all pools; the larger of this and `DB_MIN_CONNECTIONS` holds.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_MAX_POOL_SIZE", \.pools.maximumSize, count,
            "Handles over all pools at most; the smaller of this and `DB_MAX_CONNECTIONS` holds.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_POOL_SCALING_FACTOR", \.pools.scalingFactor, .number(1...10), "How much larger a pool grows in one step.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_POOL_UTILIZATION_THRESHOLD", \.pools.utilizationThreshold, .number(0.05...1), "The used share above which a pool grows.",
            hasEffect: true),
        Setting("DB_MAX_CONNECTIONS", \.pools.maximumConnections, count, "SQLite handles over all pools at most.", hasEffect: true),
        Setting("DB_MIN_CONNECTIONS", \.pools.minimumConnections, count, "SQLite handles kept over all pools.", hasEffect: true),
        Setting(
            "DB_CONNECTION_TIMEOUT", \.pools.connectionTimeout, upToAnHour,
            "The longest wait for a database handle; in analytics, twice.", hasEffect: true),
        Setting("MREG_POOL_AUTH_SIZE", \.pools.authentication.size, count, "Handles for authentication at most.", hasEffect: true),
        Setting("MREG_POOL_AUTH_TIMEOUT", \.pools.authentication.timeout, upToAnHour, "The longest wait for one.", hasEffect: true),
        Setting("MREG_POOL_READ_SIZE", \.pools.read.size, count, "Handles for reading at most.", hasEffect: true),
        Setting("MREG_POOL_READ_TIMEOUT", \.pools.read.timeout, upToAnHour, "The longest wait for one.", hasEffect: true),
        Setting("MREG_POOL_WRITE_SIZE", \.pools.write.size, count, "Slots in the queue of the one writer.", hasEffect: true),
        Setting("MREG_POOL_WRITE_TIMEOUT", \.pools.write.timeout, upToAnHour, "The longest wait for one.", hasEffect: true),
        Setting("MREG_POOL_ANALYTICS_SIZE", \.pools.analytics.size, count, "Handles for reports at most.", hasEffect: true),
        Setting("MREG_POOL_ANALYTICS_TIMEOUT", \.pools.analytics.timeout, upToAnHour, "The longest wait for one.", hasEffect: true),
    )

    private static let hotState = Subject(
        "Hot state",
        Setting("DB_REDIS_MAX_CONNECTIONS", \.hotState.readerSlots, count, "Reader slots of each LMDB environment."),
        Setting("REDIS_CONNECTION_POOL_SIZE", \.hotState.concurrentReaders, count, "LMDB readers admitted at the same time."),
        Setting("MREG_BUCKETS_MAP_BYTES", \.hotState.bucketsMapBytes, .bytes((1 << 20)...(64 << 30)), "The map size of `buckets/`.", hasEffect: true),
        Setting(
            "MREG_SEALING_KEY_FILE", \.hotState.sealingKeyFile, .optional(.path),
            "The key that seals stored tokens; keep it outside the state directory.", isRedacted: true, hasEffect: true),
    )

    private static let limits = Subject(
        "Limits",
        Setting("MREG_FASTMCP_RATE_LIMIT_ADMIN_RPM", \.limits.admin, rate, "Requests a minute for an admin; 0 means unlimited.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_RATE_LIMIT_SERVER_OWNER_RPM", \.limits.serverOwner, rate,
            "Requests a minute for a server owner; 0 means unlimited.", hasEffect: true),
        Setting("MREG_FASTMCP_RATE_LIMIT_USER_RPM", \.limits.user, rate, "Requests a minute for a user; 0 means unlimited.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM", \.limits.anonymous, rate,
            "Requests a minute from an address without a valid token; 0 means unlimited.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_RATE_LIMIT_TENANT_MULTIPLIER", \.limits.tenantMultiplier, count, "How many users' rates a tenant has for all its users.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_RATE_LIMIT_GLOBAL_RPM", \.limits.global, rate, "Requests a minute over all callers; 0 means unlimited.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR", \.limits.burstFactor, .number(1...10),
            "How many minutes' requests a full bucket holds.", hasEffect: true),
        Setting(
            "MREG_IN_FLIGHT_PER_USER", \.limits.inFlightPerUser, .integer(0...100_000), "Calls of one user under way or waiting; 0 means any number.",
            hasEffect: true),
        Setting(
            "MREG_IN_FLIGHT_PER_SERVER", \.limits.inFlightPerServer, .integer(0...100_000),
            "Calls under way to one server; others wait, in turn by tenant and user. 0 means any number.", hasEffect: true),
        Setting(
            "MREG_QUEUED_PER_SERVER", \.limits.queuedPerServer, .integer(1...100_000), "Calls that may wait for one server.", hasEffect: true),
        Setting(
            "MREG_QUEUE_TIMEOUT", \.limits.longestQueueWait, .seconds(1...600), "How long a call waits for its server at most.", hasEffect: true),
    )

    private static let fairness = Subject(
        "Fairness",
        Setting(
            "MREG_FASTMCP_ENABLE_TENANT_FAIRNESS_ALGORITHM", \.fairness.isEnabled, .boolean, "Whether tenants share the global capacity by weight.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_TENANT_FAIRNESS_WINDOW_SECONDS", \.fairness.window, .seconds(1...86_400),
            "How long a tenant counts as active after a request, and over which time its rate holds at most.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_TENANT_BURST_ALLOWANCE_FACTOR", \.fairness.burstAllowance, .number(1...10),
            "Minutes of its share that a tenant may save up, and how far above its rate it may be over the window.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_ENABLE_SLIDING_WINDOW_RATE_LIMITING", \.fairness.slidesWindow, .boolean,
            "Whether the window slides or begins anew each time.", hasEffect: true),
    )

    private static let addressGuard = Subject(
        "Address blocking",
        Setting(
            "MREG_FASTMCP_ENABLE_DDOS_PROTECTION", \.addressGuard.isEnabled, .boolean, "Whether addresses are blocked for violations.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_DDOS_DETECTION_THRESHOLD", \.addressGuard.threshold, .integer(1...10_000_000),
            "Violations without a valid token, within an hour, that block an address.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_DDOS_BAN_DURATION_SECONDS", \.addressGuard.blocksFor, .seconds(1...2_592_000), "How long an address stays blocked.",
            hasEffect: true),
        Setting(
            "MREG_BLOCK_ALLOWLIST", \.addressGuard.neverBlocked, .list(of: .addresses, mayBeEmpty: true), "Addresses that are never blocked.",
            hasEffect: true),
    )

    private static let refresh = Subject(
        "Token refresh",
        Setting(
            "MREG_FASTMCP_ENABLE_BACKGROUND_TOKEN_REFRESH", \.refresh.isEnabled, .boolean, "Whether stored tokens are refreshed before they expire.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_TOKEN_REFRESH_MARGIN_MINUTES", \.refresh.margin, .minutes(1...1440),
            "Closer to expiry than this, a refresh is an emergency.", hasEffect: true),
        Setting(
            "MREG_FASTMCP_PROACTIVE_REFRESH_MINUTES", \.refresh.proactive, .minutes(1...1440), "How long before expiry a token is due.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_TOKEN_REFRESH_MAX_RETRIES", \.refresh.maximumRetries, .integer(0...20), "Retries before the user must sign in again.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_TOKEN_REFRESH_RETRY_INTERVALS", \.refresh.retryIntervals, .list(of: .seconds(1...86_400)),
            "The wait before each retry; at least one for each.", hasEffect: true),
    )

    private static let sessions = Subject(
        "Sessions",
        Setting(
            "MREG_FASTMCP_MAX_CONCURRENT_USERS", \.sessions.maximumUsers, .integer(1...1_000_000), "Users with an active session at the same time.",
            hasEffect: true),
        Setting(
            "MREG_FASTMCP_SESSION_CLEANUP_INTERVAL", \.sessions.cleanupInterval, upToAnHour, "How often idle sessions are swept out.", hasEffect: true
        ),
        Setting(
            "MREG_FASTMCP_USER_ACTIVITY_TIMEOUT", \.sessions.activityTimeout, .seconds(1...86_400),
            "How long after its last request a session is active.", hasEffect: true),
    )

    private static let metrics = Subject(
        "Metrics",
        Setting("MREG_FASTMCP_METRICS_EXPORT_INTERVAL", \.metrics.exportInterval, upToAnHour, "How often metrics are written out."),
        Setting("MREG_FASTMCP_ENABLE_USER_ANALYTICS", \.metrics.countsUsers, .boolean, "Whether there are rollups for each user."),
        Setting(
            "MREG_FASTMCP_ENABLE_BEHAVIOR_TRACKING", \.metrics.tracksBehavior, .boolean, "Whether last activities and patterns are kept.",
            hasEffect: true),
        Setting("MREG_FASTMCP_TENANT_RESOURCE_MONITORING", \.metrics.monitorsTenants, .boolean, "Whether there are gauges for each tenant."),
    )

    private static let upstreams = Subject(
        "Upstream servers",
        Setting(
            "MREG_ALLOWED_PRIVATE_UPSTREAMS", \.upstreams.allowedPrivate, .list(of: .addresses, mayBeEmpty: true),
            "Private addresses at which servers may be registered.", hasEffect: true),
        Setting(
            "MREG_TOOL_CHANGE_POLICY", \.upstreams.toolChangePolicy, .choice,
            "Whether a changed or later tool waits for approval, or is only reported.", hasEffect: true),
        Setting(
            "MREG_ISSUER_WITHOUT_PKCE_METADATA", \.upstreams.issuersWithoutPKCEMetadata, .exemptIssuers,
            "Issuers that are used although their metadata does not promise PKCE.", hasEffect: true),
        Setting(
            "MREG_STDIO_SERVERS_FILE", \.upstreams.stdioServersFile, .path,
            "The commands that may be registered as servers; the API cannot add to it.", hasEffect: true),
    )

    private static let azure = Subject(
        "Entra ID",
        Setting("MREG_AZURE_TENANT_ID", \.azure.tenantID, .optional(.directoryID), "The directory that users sign in to.", hasEffect: true),
        Setting("MREG_AZURE_CLIENT_ID", \.azure.clientID, .optional(.visible), "The application's client id.", hasEffect: true),
        Setting("MREG_AZURE_CLIENT_SECRET", \.azure.clientSecret, .secret, "The application's client secret.", hasEffect: true),
        Setting("MREG_AZURE_AUTHORITY", \.azure.authority, .optional(.issuer), "Where Entra ID is, for sovereign clouds and tests.", hasEffect: true),
        Setting(
            "MREG_AZURE_ALLOWED_TENANTS", \.azure.allowedTenants, .list(of: .directoryID, mayBeEmpty: true),
            "Other directories whose users may sign in.", hasEffect: true),
    )

    private static let oidc = Subject(
        "OpenID Connect",
        Setting("MREG_OIDC_ISSUER", \.oidc.issuer, .optional(.issuer), "Any other issuer that users sign in to.", hasEffect: true),
        Setting("MREG_OIDC_CLIENT_ID", \.oidc.clientID, .optional(.visible), "The gateway's client id there.", hasEffect: true),
        Setting("MREG_OIDC_CLIENT_SECRET", \.oidc.clientSecret, .secret, "The gateway's client secret there.", hasEffect: true),
        Setting("MREG_OIDC_ROLE_CLAIM", \.oidc.roleClaim, .optional(.visible), "The claim that holds the user's role.", hasEffect: true),
        Setting("MREG_OIDC_TENANT_CLAIM", \.oidc.tenantClaim, .optional(.visible), "The claim that names the user's tenant.", hasEffect: true),
    )

    private static let oauth = Subject(
        "Sign-in",
        Setting(
            "MREG_FASTMCP_OAUTH_CALLBACK_URL", \.oauth.callbackURL, .url, "Where the issuer sends users back to; registered there.", hasEffect: true),
        Setting("MREG_FASTMCP_OAUTH_SCOPES", \.oauth.scopes, .scopes, "The scopes asked of the issuer.", hasEffect: true),
        Setting(
            "MREG_ROLE_MAP", \.oauth.roleMap, .list(of: .roleRule, mayBeEmpty: true),
            "Who gets which role: admin=role:NAME, server_owner=group:ID, user=everyone; the first that fits.", hasEffect: true),
        Setting(
            "MREG_CLIENT_DOCUMENT_DOMAINS", \.oauth.clientDocumentDomains, .list(of: .clientDomain, mayBeEmpty: true),
            "Domains of clients whose id is the address of a document about them; any if not set.", hasEffect: true),
        Setting(
            "MREG_ENABLE_DYNAMIC_REGISTRATION", \.oauth.acceptsRegistrations, .boolean,
            "Whether clients may register themselves; those that did stay, either way.", hasEffect: true),
    )

    private static let audit = Subject(
        "Audit trail",
        Setting("MREG_AUDIT_RETENTION_DAYS", \.audit.retention, .days(1...3650), "How long records are kept.", hasEffect: true),
        Setting(
            "MREG_AUDIT_MAX_BYTES", \.audit.maximumBytes, .bytes((1 << 20)...(16 << 40)), "The size of the trail above which the oldest records go.",
            hasEffect: true),
        Setting(
            "MREG_AUDIT_DURABILITY", \.audit.durability, .choice,
            "When a record is on disk: soon after the answer, before it, or its intent already before the call.", hasEffect: true),
    )

    private static let log = Subject(
        "Log",
        Setting("MREG_LOG_LEVEL", \.log.level, .choice, "The least severe events that are logged.", hasEffect: true),
        Setting("MREG_LOG_FORMAT", \.log.format, .choice, "Lines for people, or for programs.", hasEffect: true),
    )
}
