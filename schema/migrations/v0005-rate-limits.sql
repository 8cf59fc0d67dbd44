CREATE TABLE rate_limit_events (
    event_id INTEGER PRIMARY KEY,
    user_id INTEGER,
    tenant_id INTEGER,
    timestamp INTEGER NOT NULL,
    limit_name TEXT NOT NULL,
    refusals INTEGER NOT NULL CHECK (refusals > 0)
) STRICT;

-- What a user was refused, latest first.
CREATE INDEX idx_rate_limit_events_user_time ON rate_limit_events (user_id, timestamp DESC);

-- Now and then a copy of the buckets, for when the hot state is lost. A plain rowid table, so that an index on
-- (bucket_key, expires_at) will be used; it comes with the query that reads them.
CREATE TABLE rate_limit_buckets (
    bucket_key TEXT NOT NULL,
    level INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Those that are full by now.
CREATE INDEX idx_rate_limit_buckets_expires ON rate_limit_buckets (expires_at);
