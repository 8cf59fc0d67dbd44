-- One row for each sign-in and what became of it. Written behind: what is newest is in memory.
CREATE TABLE user_sessions (
    -- 63 random bits, the `sid` of the session's tokens.
    session_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    started_at INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    -- Tokens of this session are refused; NULL for one that only fell idle or is active.
    revoked_at INTEGER,
    client TEXT NOT NULL DEFAULT '' CHECK (length(client) <= 128),
    era TEXT NOT NULL CHECK (era IN ('legacy', 'modern')),
    requests INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    -- A JSON array of the last ten, latest first.
    activities TEXT NOT NULL DEFAULT '[]',
    CHECK (revoked_at IS NULL OR is_active = 0)
) STRICT;

-- The active sessions of a tenant, latest first.
CREATE INDEX idx_user_sessions_tenant_active ON user_sessions (tenant_id, is_active, last_activity DESC);
-- Sessions whose tokens may still be about, at the start.
CREATE INDEX idx_user_sessions_revoked ON user_sessions (revoked_at) WHERE revoked_at IS NOT NULL;
