-- Sessions of MCP clients of the revisions with a handshake, so that a restart ends none of them.
CREATE TABLE client_sessions (
    session_id TEXT PRIMARY KEY CHECK (length(session_id) BETWEEN 16 AND 128),
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    -- The path of the endpoint it is on.
    endpoint TEXT NOT NULL,
    revision TEXT NOT NULL,
    -- What the client declared in the handshake, as JSON.
    capabilities TEXT NOT NULL,
    client TEXT NOT NULL,
    log_level TEXT,
    -- The resources it subscribed to, as a JSON array of URIs.
    subscriptions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
