-- What the gateway shows a server, and what may be told of it: a JSON object of texts. Secrets lie sealed in the vault.
ALTER TABLE server_registrations ADD COLUMN credential_mode TEXT NOT NULL DEFAULT 'none'
    CHECK (credential_mode IN ('none', 'static', 'client_credentials', 'per_user', 'on_behalf_of'));
ALTER TABLE server_registrations ADD COLUMN credential TEXT NOT NULL DEFAULT '{}';

-- Which user has connected an account of theirs at which server. The tokens lie sealed in the vault.
CREATE TABLE upstream_credentials (
    user_id INTEGER NOT NULL REFERENCES users (user_id),
    server_id INTEGER NOT NULL REFERENCES server_registrations (server_id) ON DELETE CASCADE,
    issuer TEXT NOT NULL CHECK (length(issuer) BETWEEN 1 AND 2048),
    -- Names separated by blanks, as they were granted.
    scope TEXT NOT NULL,
    connected_at INTEGER NOT NULL,
    -- Of the access token; null if the authorization server does not say.
    expires_at INTEGER,
    -- Why it is of no use any more; null while it is.
    last_error TEXT CHECK (length(last_error) BETWEEN 1 AND 64)
) STRICT;

CREATE UNIQUE INDEX idx_upstream_credentials_user_server ON upstream_credentials (user_id, server_id);
-- Who connected first, in whose name a server's tools are listed.
CREATE INDEX idx_upstream_credentials_server ON upstream_credentials (server_id, connected_at);
