-- Who a user is at the issuer: its (issuer, subject), for Entra ID the tenant's issuer and the object id. Users that the
-- operator or evaluation made have neither.
ALTER TABLE users ADD COLUMN issuer TEXT CHECK (length(issuer) BETWEEN 1 AND 512);
ALTER TABLE users ADD COLUMN subject TEXT CHECK (length(subject) BETWEEN 1 AND 512);
ALTER TABLE users ADD COLUMN display_name TEXT CHECK (length(display_name) <= 256);
-- Who gave the role: what the issuer says replaces only what the issuer gave.
ALTER TABLE users ADD COLUMN role_source TEXT NOT NULL DEFAULT 'operator' CHECK (role_source IN ('operator', 'issuer'));
ALTER TABLE users ADD COLUMN disabled_at INTEGER;
ALTER TABLE users ADD COLUMN signed_in_at INTEGER;

CREATE UNIQUE INDEX idx_users_identity ON users (issuer, subject) WHERE issuer IS NOT NULL;

-- Clients that were seen. What a dynamically registered client is, its id says by itself: a lost row strands nobody.
CREATE TABLE oauth_clients (
    client_id TEXT PRIMARY KEY CHECK (length(client_id) BETWEEN 1 AND 2048),
    kind TEXT NOT NULL CHECK (kind IN ('registered', 'document', 'operator')),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    metadata TEXT NOT NULL,
    -- SHA-256; confidential clients that the operator made only.
    secret_hash BLOB,
    -- As whom it acts by itself (client credentials).
    user_id INTEGER REFERENCES users (user_id),
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- One row for what a user allowed a client, with the one refresh token that is good for it at a time. Neither code nor
-- token is kept: the code's hash, and how often the token was rotated.
CREATE TABLE oauth_grants (
    grant_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    session_id INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    resources TEXT NOT NULL,
    -- Null if the request named none.
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

CREATE TABLE api_keys (
    key_id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    key_hash BLOB NOT NULL UNIQUE,
    -- The first characters, so that its owner can tell it from others.
    hint TEXT NOT NULL,
    scope TEXT NOT NULL,
    -- Aliases of servers and exposed names of tools, separated by spaces; empty for all that its owner may use.
    reach TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER,
    -- The key that takes its place, and until when both are good.
    successor INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX idx_api_keys_user ON api_keys (user_id, created_at DESC);
CREATE INDEX idx_api_keys_expires ON api_keys (expires_at);

-- Token-signing keys by what is public of them; the private halves are files.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    public_pem TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    -- Null while it signs; then until when its tokens may be about.
    published_until INTEGER
) STRICT;
