-- Whether everybody may know of a server, and what they are told it is for; null if its owner did not say.
ALTER TABLE server_registrations ADD COLUMN description TEXT CHECK (length(description) BETWEEN 1 AND 100);
ALTER TABLE server_registrations ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1));

-- Which servers everybody may know of, of all tenants.
CREATE INDEX idx_server_registrations_public ON server_registrations (tenant_id, alias) WHERE is_public = 1;

-- A server that is public or was, by the name that the registry API knows it by. It outlives its registration: mirrors are
-- told that it is gone, and one of the same name goes on counting.
CREATE TABLE published_servers (
    published_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    alias TEXT NOT NULL CHECK (length(alias) BETWEEN 1 AND 12),
    is_listed INTEGER NOT NULL CHECK (is_listed IN (0, 1)),
    status_changed_at INTEGER NOT NULL,
    UNIQUE (tenant_id, alias)
) STRICT;

-- What was published of it. Rows are added and forgotten, never changed.
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
