-- An operator may also say that a server speaks the transport of 2024-11-05 ("sse"). What a column may hold can only be
-- changed with its table, so the table is made anew; rows, identities and who refers to them stay.
CREATE TABLE servers_by_sse (
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
    era TEXT NOT NULL CHECK (era IN ('auto', 'modern', 'legacy', 'sse')),
    -- A JSON array of strings.
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- What the gateway shows it, and what may be told of that: a JSON object of texts. Secrets lie sealed in the vault.
    credential_mode TEXT NOT NULL DEFAULT 'none'
        CHECK (credential_mode IN ('none', 'static', 'client_credentials', 'per_user', 'on_behalf_of')),
    credential TEXT NOT NULL DEFAULT '{}',
    UNIQUE (tenant_id, alias),
    CHECK ((transport = 'http') = (endpoint IS NOT NULL)),
    CHECK ((transport = 'stdio') = (command IS NOT NULL))
) STRICT;

INSERT INTO servers_by_sse (
    server_id, tenant_id, owner_id, alias, title, transport, endpoint, command, status, era, tags, created_at, updated_at, credential_mode, credential
)
SELECT
    server_id, tenant_id, owner_id, alias, title, transport, endpoint, command, status, era, tags, created_at, updated_at, credential_mode, credential
FROM server_registrations;

-- The greatest identity ever given may be of a server that is gone.
DELETE FROM sqlite_sequence WHERE name = 'servers_by_sse';
INSERT INTO sqlite_sequence (name, seq) SELECT 'servers_by_sse', seq FROM sqlite_sequence WHERE name = 'server_registrations';

DROP TABLE server_registrations;
ALTER TABLE servers_by_sse RENAME TO server_registrations;

-- A tenant's servers by status, latest first.
CREATE INDEX idx_server_registrations_tenant_status ON server_registrations (tenant_id, status, created_at DESC);
