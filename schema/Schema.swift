/// One step from the schema of a release to the next.
package struct Migration: Sendable {
    package let name: String
    package let sql: String

    fileprivate init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        sql = String(decoding: bytes, as: UTF8.self)
    }
}

/// The schema of the record of truth, as the ordered list of its migrations.
package enum Schema {
    package static let migrations = [
        Migration("v0001-tenants", PackageResources.v0001_tenants_sql),
        Migration("v0002-user-sessions", PackageResources.v0002_user_sessions_sql),
        Migration("v0003-record", PackageResources.v0003_record_sql),
        Migration("v0004-servers", PackageResources.v0004_servers_sql),
        Migration("v0005-rate-limits", PackageResources.v0005_rate_limits_sql),
        Migration("v0006-rollups", PackageResources.v0006_rollups_sql),
        Migration("v0007-audit-inbox", PackageResources.v0007_audit_inbox_sql),
        Migration("v0008-pacing", PackageResources.v0008_pacing_sql),
        Migration("v0009-identity", PackageResources.v0009_identity_sql),
        Migration("v0010-tool-rules", PackageResources.v0010_tool_rules_sql),
        Migration("v0011-upstream-credentials", PackageResources.v0011_upstream_credentials_sql),
        Migration("v0012-servers-by-sse", PackageResources.v0012_servers_by_sse_sql),
        Migration("v0013-client-secret-overlap", PackageResources.v0013_client_secret_overlap_sql),
        Migration("v0014-key-limits", PackageResources.v0014_key_limits_sql),
        Migration("v0015-server-tools", PackageResources.v0015_server_tools_sql),
        Migration("v0016-client-sessions", PackageResources.v0016_client_sessions_sql),
        Migration("v0017-public-servers", PackageResources.v0017_public_servers_sql),
        Migration("v0018-replicas", PackageResources.v0018_replicas_sql),
        Migration("v0019-questions", PackageResources.v0019_questions_sql),
        Migration("v0020-endpoint-weight", PackageResources.v0020_endpoint_weight_sql),
        Migration("v0021-sessions-of-keys", PackageResources.v0021_sessions_of_keys_sql),
    ]
}
