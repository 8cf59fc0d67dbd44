-- What each tool of a server was when it was approved, and what its server listed last.
CREATE TABLE server_tools (
    server_id INTEGER NOT NULL REFERENCES server_registrations (server_id) ON DELETE CASCADE,
    -- Its own name on its server, byte for byte.
    name TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 512),
    -- SHA-256 of the definition that was approved; null if none was.
    sha256 BLOB CHECK (length(sha256) = 32),
    -- Of the definition that was listed last.
    seen_sha256 BLOB NOT NULL CHECK (length(seen_sha256) = 32),
    state TEXT NOT NULL CHECK (state IN ('approved', 'changed', 'new', 'gone')),
    -- Said of what was approved.
    idempotent INTEGER NOT NULL CHECK (idempotent IN (0, 1)),
    first_seen INTEGER NOT NULL,
    -- When it was last listed differently than before, or went.
    changed_at INTEGER NOT NULL,
    approved_at INTEGER,
    -- Null for what was there when the server was first listed.
    approved_by INTEGER REFERENCES users (user_id),
    -- Canonical; null for one of more than 64 KiB. Last, so that they are not read where they are not asked for.
    definition TEXT CHECK (length(CAST(definition AS BLOB)) <= 65536),
    -- Null also where it is the one that was approved.
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

-- The tools of a server, by name.
CREATE UNIQUE INDEX idx_server_tools_server_name ON server_tools (server_id, name);
