-- Integer keys and integer UTC microseconds keep rows small; a text identity lives once.

CREATE TABLE tenants (
    tenant_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 128),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    user_id INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    role TEXT NOT NULL CHECK (role IN ('user', 'server_owner', 'admin', 'auditor')),
    -- Tokens issued before this moment are no longer good: the revocation epoch.
    revoked_before INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

-- The users of a tenant, for the activity report.
CREATE INDEX idx_users_tenant_id ON users (tenant_id);
