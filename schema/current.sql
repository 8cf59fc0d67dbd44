CREATE TABLE api_keys (
    key_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    key_hash BLOB NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    scope TEXT NOT NULL,
    reach TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER,
    successor INTEGER,
    revoked_at INTEGER
, per_minute INTEGER CHECK (per_minute BETWEEN 1 AND 10000000)) STRICT;

CREATE INDEX idx_api_keys_user ON api_keys (user_id, created_at DESC);

CREATE INDEX idx_api_keys_expires ON api_keys (expires_at);

CREATE TABLE audit_heads (
    seal_id INTEGER PRIMARY KEY,
    signed_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    signature BLOB NOT NULL
) STRICT;

CREATE TABLE audit_inbox (
    audit_id INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    user_id INTEGER,
    tenant_id INTEGER,
    server_id INTEGER,
    action TEXT NOT NULL CHECK (length(action) <= 128),
    target TEXT NOT NULL CHECK (length(target) <= 128),
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'refused', 'unknown', 'cancelled', 'intended')),
    reason TEXT NOT NULL CHECK (length(reason) <= 128),
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 999),
    response_time_ms REAL NOT NULL CHECK (response_time_ms >= 0),
    address TEXT NOT NULL CHECK (length(address) <= 64),
    request_id INTEGER NOT NULL,
    weight INTEGER NOT NULL CHECK (weight >= 1),
    mac BLOB NOT NULL CHECK (length(mac) = 8)
) STRICT;

CREATE TRIGGER audit_inbox_refuse_update BEFORE UPDATE ON audit_inbox
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

CREATE TRIGGER audit_inbox_refuse_delete BEFORE DELETE ON audit_inbox
WHEN OLD.audit_id > (SELECT coalesce(max(audit_id), 0) FROM audit_logs)
BEGIN
    SELECT RAISE(ABORT, 'a row leaves the inbox for the audit log alone');
END;

CREATE TABLE audit_logs (
    audit_id INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    user_id INTEGER,
    tenant_id INTEGER,
    server_id INTEGER,
    action TEXT NOT NULL CHECK (length(action) <= 128),
    target TEXT NOT NULL CHECK (length(target) <= 128),
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'refused', 'unknown', 'cancelled', 'intended')),
    reason TEXT NOT NULL CHECK (length(reason) <= 128),
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 999),
    response_time_ms REAL NOT NULL CHECK (response_time_ms >= 0),
    address TEXT NOT NULL CHECK (length(address) <= 64),
    request_id INTEGER NOT NULL,
    weight INTEGER NOT NULL CHECK (weight >= 1),
    mac BLOB NOT NULL CHECK (length(mac) = 8)
) STRICT;

CREATE TRIGGER audit_logs_refuse_update BEFORE UPDATE ON audit_logs
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

CREATE TRIGGER audit_logs_refuse_delete BEFORE DELETE ON audit_logs
WHEN OLD.audit_id > (SELECT coalesce(max(last_id), 0) FROM audit_watermarks)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is cut by retention alone');
END;

CREATE INDEX idx_audit_logs_user_tenant_time ON audit_logs (user_id, tenant_id, created_at DESC);

CREATE INDEX idx_audit_logs_tenant_time_performance ON audit_logs (tenant_id, created_at, user_id, response_time_ms);

CREATE INDEX idx_audit_logs_exceptions ON audit_logs (created_at) WHERE weight > 1 OR outcome = 'intended';

CREATE VIEW audit_rows AS SELECT * FROM audit_logs UNION ALL SELECT * FROM audit_inbox;

CREATE TABLE audit_seals (
    seal_id INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    CHECK (last_id >= first_id)
) STRICT;

CREATE TRIGGER audit_seals_refuse_update BEFORE UPDATE ON audit_seals
BEGIN
    SELECT RAISE(ABORT, 'a seal is never changed');
END;

CREATE TRIGGER audit_seals_refuse_delete BEFORE DELETE ON audit_seals
WHEN OLD.last_id > (SELECT coalesce(max(last_id), 0) FROM audit_watermarks)
BEGIN
    SELECT RAISE(ABORT, 'seals are dropped with their rows alone');
END;

CREATE TABLE audit_watermarks (
    watermark_id INTEGER PRIMARY KEY,
    last_id INTEGER NOT NULL,
    seal_id INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    set_at INTEGER NOT NULL,
    mac BLOB NOT NULL CHECK (length(mac) = 8)
) STRICT;

CREATE TRIGGER audit_watermarks_refuse_update BEFORE UPDATE ON audit_watermarks
BEGIN
    SELECT RAISE(ABORT, 'a watermark is never changed');
END;

CREATE TRIGGER audit_watermarks_refuse_delete BEFORE DELETE ON audit_watermarks
BEGIN
    SELECT RAISE(ABORT, 'a watermark is never taken back');
END;

CREATE TABLE blocked_addresses (
    address TEXT PRIMARY KEY CHECK (length(address) BETWEEN 1 AND 64),
    reason TEXT NOT NULL CHECK (reason IN ('violations', 'administrator')),
    blocked_at INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE client_sessions (
    session_id TEXT PRIMARY KEY CHECK (length(session_id) BETWEEN 16 AND 128),
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    endpoint TEXT NOT NULL,
    revision TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    client TEXT NOT NULL,
    log_level TEXT,
    subscriptions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
, key_id INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE limits (
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    scope TEXT NOT NULL CHECK (scope IN ('user', 'server', 'tool')),
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 256),
    per_minute INTEGER NOT NULL CHECK (per_minute >= 0),
    PRIMARY KEY (tenant_id, scope, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE oauth_clients (
    client_id TEXT PRIMARY KEY CHECK (length(client_id) BETWEEN 1 AND 2048),
    kind TEXT NOT NULL CHECK (kind IN ('registered', 'document', 'operator')),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    metadata TEXT NOT NULL,
    secret_hash BLOB,
    user_id INTEGER REFERENCES users (user_id),
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    revoked_at INTEGER
, former_secret_hash BLOB, former_secret_until INTEGER) STRICT;

CREATE TABLE oauth_grants (
    grant_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    session_id INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    resources TEXT NOT NULL,
    redirect_uri TEXT,
    code_challenge TEXT NOT NULL,
    code_hash BLOB NOT NULL UNIQUE,
    code_issued_at INTEGER NOT NULL,
    code_used_at INTEGER,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    generation INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    rotated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE INDEX idx_oauth_grants_user ON oauth_grants (user_id, created_at DESC);

CREATE INDEX idx_oauth_grants_expires ON oauth_grants (expires_at);

CREATE TABLE published_servers (
    published_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    alias TEXT NOT NULL CHECK (length(alias) BETWEEN 1 AND 12),
    is_listed INTEGER NOT NULL CHECK (is_listed IN (0, 1)),
    status_changed_at INTEGER NOT NULL,
    UNIQUE (tenant_id, alias)
) STRICT;

CREATE TABLE published_versions (
    published_id INTEGER NOT NULL REFERENCES published_servers (published_id) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number >= 0),
    origin TEXT NOT NULL,
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 100),
    description TEXT NOT NULL CHECK (length(description) BETWEEN 1 AND 100),
    published_at INTEGER NOT NULL,
    PRIMARY KEY (published_id, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER published_versions_are_final BEFORE UPDATE ON published_versions
BEGIN
    SELECT RAISE(ABORT, 'what was published does not change');
END;

CREATE TABLE rate_limit_buckets (
    bucket_key TEXT NOT NULL,
    level INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_rate_limit_buckets_expires ON rate_limit_buckets (expires_at);

CREATE INDEX idx_rate_limit_buckets_key_expires ON rate_limit_buckets (bucket_key, expires_at);

CREATE TABLE rate_limit_events (
    event_id INTEGER PRIMARY KEY,
    user_id INTEGER,
    tenant_id INTEGER,
    timestamp INTEGER NOT NULL,
    limit_name TEXT NOT NULL,
    refusals INTEGER NOT NULL CHECK (refusals > 0)
) STRICT;

CREATE INDEX idx_rate_limit_events_user_time ON rate_limit_events (user_id, timestamp DESC);

CREATE TABLE request_rollups (
    tenant_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    server_id INTEGER NOT NULL,
    method TEXT NOT NULL,
    outcome TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    errors INTEGER NOT NULL CHECK (errors >= 0),
    response_time_us INTEGER NOT NULL,
    latency BLOB NOT NULL,
    users BLOB NOT NULL,
    PRIMARY KEY (tenant_id, hour, server_id, method, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_progress (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    audit_id INTEGER NOT NULL
) STRICT;

CREATE TABLE "server_registrations" (
    server_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    owner_id INTEGER NOT NULL REFERENCES users (user_id),
    alias TEXT NOT NULL CHECK (length(alias) BETWEEN 1 AND 12),
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 128),
    transport TEXT NOT NULL CHECK (transport IN ('http', 'stdio')),
    endpoint TEXT,
    command TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    era TEXT NOT NULL CHECK (era IN ('auto', 'modern', 'legacy', 'sse')),
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    credential_mode TEXT NOT NULL DEFAULT 'none'
        CHECK (credential_mode IN ('none', 'static', 'client_credentials', 'per_user', 'on_behalf_of')),
    credential TEXT NOT NULL DEFAULT '{}', description TEXT CHECK (length(description) BETWEEN 1 AND 100), is_public INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1)), replicas TEXT NOT NULL DEFAULT '[]', strategy TEXT NOT NULL DEFAULT 'round_robin'
    CHECK (strategy IN ('round_robin', 'weighted', 'least_connections', 'random', 'consistent_hash')), questions TEXT NOT NULL DEFAULT '["elicitation","sampling","roots"]', endpoint_weight INTEGER NOT NULL DEFAULT 1 CHECK (endpoint_weight BETWEEN 1 AND 100),
    UNIQUE (tenant_id, alias),
    CHECK ((transport = 'http') = (endpoint IS NOT NULL)),
    CHECK ((transport = 'stdio') = (command IS NOT NULL))
) STRICT;

CREATE INDEX idx_server_registrations_tenant_status ON server_registrations (tenant_id, status, created_at DESC);

CREATE INDEX idx_server_registrations_public ON server_registrations (tenant_id, alias) WHERE is_public = 1;

CREATE TABLE server_tools (
    server_id INTEGER NOT NULL REFERENCES server_registrations (server_id) ON DELETE CASCADE,
    name TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 512),
    sha256 BLOB CHECK (length(sha256) = 32),
    seen_sha256 BLOB NOT NULL CHECK (length(seen_sha256) = 32),
    state TEXT NOT NULL CHECK (state IN ('approved', 'changed', 'new', 'gone')),
    idempotent INTEGER NOT NULL CHECK (idempotent IN (0, 1)),
    first_seen INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    approved_at INTEGER,
    approved_by INTEGER REFERENCES users (user_id),
    definition TEXT CHECK (length(CAST(definition AS BLOB)) <= 65536),
    seen_definition TEXT CHECK (length(CAST(seen_definition AS BLOB)) <= 65536),
    CHECK ((sha256 IS NULL) = (approved_at IS NULL)),
    CHECK (approved_by IS NULL OR approved_at IS NOT NULL),
    CHECK (idempotent = 0 OR sha256 IS NOT NULL),
    CHECK (CASE state
        WHEN 'approved' THEN sha256 IS NOT NULL AND sha256 = seen_sha256
        WHEN 'changed' THEN sha256 IS NOT NULL AND sha256 <> seen_sha256
        WHEN 'new' THEN sha256 IS NULL
        ELSE 1 END)
) STRICT;

CREATE UNIQUE INDEX idx_server_tools_server_name ON server_tools (server_id, name);

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    public_pem TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    published_until INTEGER
) STRICT;

CREATE TABLE tenant_rollups (
    tenant_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    errors INTEGER NOT NULL CHECK (errors >= 0),
    unauthenticated INTEGER NOT NULL CHECK (unauthenticated >= 0),
    response_time_us INTEGER NOT NULL,
    latency BLOB NOT NULL,
    users BLOB NOT NULL,
    PRIMARY KEY (tenant_id, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    tenant_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 128),
    created_at INTEGER NOT NULL
, weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000), per_minute INTEGER CHECK (per_minute >= 0), user_per_minute INTEGER CHECK (user_per_minute >= 0), daily_quota INTEGER CHECK (daily_quota >= 0), monthly_quota INTEGER CHECK (monthly_quota >= 0)) STRICT;

CREATE TRIGGER tenants_begin_open AFTER INSERT ON tenants
BEGIN
    INSERT INTO tool_rules (tenant_id, effect, created_at) VALUES (NEW.tenant_id, 'allow', NEW.created_at);
END;

CREATE TABLE tool_rules (
    rule_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    user_id INTEGER REFERENCES users (user_id),
    role TEXT CHECK (role IN ('user', 'server_owner', 'admin')),
    server TEXT CHECK (length(server) BETWEEN 1 AND 12),
    tool TEXT CHECK (length(tool) BETWEEN 1 AND 256),
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    created_at INTEGER NOT NULL,
    CHECK (user_id IS NULL OR role IS NULL),
    CHECK (tool IS NULL OR server IS NOT NULL)
) STRICT;

CREATE INDEX idx_tool_rules_tenant ON tool_rules (tenant_id);

CREATE TABLE upstream_credentials (
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    server_id INTEGER NOT NULL REFERENCES server_registrations (server_id) ON DELETE CASCADE,
    issuer TEXT NOT NULL CHECK (length(issuer) BETWEEN 1 AND 2048),
    scope TEXT NOT NULL,
    connected_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_error TEXT CHECK (length(last_error) BETWEEN 1 AND 64)
) STRICT;

CREATE UNIQUE INDEX idx_upstream_credentials_user_server ON upstream_credentials (user_id, server_id);

CREATE INDEX idx_upstream_credentials_server ON upstream_credentials (server_id, connected_at);

CREATE TABLE usage_samples (
    sampled_at INTEGER PRIMARY KEY,
    active_users INTEGER NOT NULL,
    cpu_share REAL NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    wal_bytes INTEGER NOT NULL,
    pools TEXT NOT NULL
) STRICT;

CREATE TABLE user_sessions (
    session_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    started_at INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    revoked_at INTEGER,
    client TEXT NOT NULL DEFAULT '' CHECK (length(client) <= 128),
    era TEXT NOT NULL CHECK (era IN ('legacy', 'modern')),
    requests INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    activities TEXT NOT NULL DEFAULT '[]',
    CHECK (revoked_at IS NULL OR is_active = 0)
) STRICT;

CREATE INDEX idx_user_sessions_tenant_active ON user_sessions (tenant_id, is_active, last_activity DESC);

CREATE INDEX idx_user_sessions_revoked ON user_sessions (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE users (
    user_id INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    role TEXT NOT NULL CHECK (role IN ('user', 'server_owner', 'admin', 'auditor')),
    revoked_before INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL, issuer TEXT CHECK (length(issuer) BETWEEN 1 AND 512), subject TEXT CHECK (length(subject) BETWEEN 1 AND 512), display_name TEXT CHECK (length(display_name) <= 256), role_source TEXT NOT NULL DEFAULT 'operator' CHECK (role_source IN ('operator', 'issuer')), disabled_at INTEGER, signed_in_at INTEGER,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE INDEX idx_users_tenant_id ON users (tenant_id);

CREATE UNIQUE INDEX idx_users_identity ON users (issuer, subject) WHERE issuer IS NOT NULL;
