CREATE TABLE user_sessions (
    session_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    started_at INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    client TEXT NOT NULL DEFAULT '',
    era TEXT NOT NULL CHECK (era IN ('legacy', 'modern')),
    requests INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The active sessions of a tenant, latest first.
CREATE INDEX idx_user_sessions_tenant_active ON user_sessions (tenant_id, is_active, last_activity DESC);
