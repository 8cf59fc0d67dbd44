CREATE TABLE server_registrations (
    -- Never given twice: the record and running conversations name servers by it.
    server_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    owner_id INTEGER NOT NULL REFERENCES users (user_id),
    alias TEXT NOT NULL CHECK (length(alias) BETWEEN 1 AND 12),
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 128),
    transport TEXT NOT NULL CHECK (transport IN ('http', 'stdio')),
    -- An absolute URL, for http.
    endpoint TEXT,
    -- {"path", "arguments", "environment", "isShared"}, for stdio.
    command TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    era TEXT NOT NULL CHECK (era IN ('auto', 'modern', 'legacy')),
    -- A JSON array of strings.
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, alias),
    CHECK ((transport = 'http') = (endpoint IS NOT NULL)),
    CHECK ((transport = 'stdio') = (command IS NOT NULL))
) STRICT;

-- A tenant's servers by status, latest first.
CREATE INDEX idx_server_registrations_tenant_status ON server_registrations (tenant_id, status, created_at DESC);
