import Gateway

/// A rule over several settings that are each good alone.
struct SettingsCheck: Sendable {
    let fields: [Setting.Field]
    let rule: String
    let holds: @Sendable (Settings) -> Bool

    init(_ fields: Setting.Field..., rule: String, holds: @escaping @Sendable (Settings) -> Bool) {
        self.fields = fields
        self.rule = rule
        self.holds = holds
    }

    static let all = [
        SettingsCheck(\.pools.minimumConnections, \.pools.maximumConnections, rule: "the minimum must not be above the maximum") {
            $0.pools.minimumConnections <= $0.pools.maximumConnections
        },
        SettingsCheck(\.pools.minimumSize, \.pools.maximumSize, rule: "the minimum must not be above the maximum") {
            $0.pools.minimumSize <= $0.pools.maximumSize
        },
        SettingsCheck(\.refresh.proactive, \.refresh.margin, rule: "the proactive time must be at least the margin") {
            $0.refresh.proactive >= $0.refresh.margin
        },
        SettingsCheck(\.refresh.retryIntervals, \.refresh.maximumRetries, rule: "there must be an interval for each retry") {
            $0.refresh.retryIntervals.count >= $0.refresh.maximumRetries
        },
        SettingsCheck(\.listener.tlsCertificateFile, \.listener.tlsKeyFile, rule: "a certificate needs its key, and a key its certificate") {
            ($0.listener.tlsCertificateFile == nil) == ($0.listener.tlsKeyFile == nil)
        },
        SettingsCheck(
            \.listener.host, \.listener.tlsCertificateFile, \.listener.trustedProxies,
            rule: "beyond loopback the gateway listens only with a TLS certificate and key, or behind trusted proxies"
        ) {
            $0.listener.isLoopback || $0.listener.tlsCertificateFile != nil || !$0.listener.trustedProxies.isEmpty
        },
        SettingsCheck(
            \.listener.publicOrigin, \.listener.trustedProxies,
            rule: "beyond loopback the public URL must be https, unless trusted proxies are set"
        ) {
            guard let origin = $0.listener.publicOrigin else { return true }
            return origin.isSecure || origin.isLoopback || !$0.listener.trustedProxies.isEmpty
        },
    ]
}

extension Settings {
    /// The rules that do not hold, leaving out those over settings whose values are in doubt anyway.
    func contradictions(leavingOut doubtful: Set<String>) -> [SettingsProblem] {
        SettingsCheck.all.compactMap { check in
            let settings = check.fields.map { SettingsCatalogue.setting(at: $0) }
            guard !settings.contains(where: { doubtful.contains($0.name) }), !check.holds(self) else { return nil }
            let shown = settings.map { setting in
                ShownSetting(setting.name, setting.text(in: self), isRedacted: setting.isRedacted, from: sources[setting.name] ?? .fallback)
            }
            return .contradiction(shown, rule: check.rule)
        }
    }
}
