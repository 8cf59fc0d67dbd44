-- Sums of the audit log, so that reports over days read hours and not rows. tenant_id 0 stands for nobody known,
-- server_id 0 for no server. `latency` and `users` are in forms of their own (Reports: LatencyHistogram, UserSketch).
CREATE TABLE request_rollups (
    tenant_id INTEGER NOT NULL,
    -- Hours since 1970 UTC.
    hour INTEGER NOT NULL,
    server_id INTEGER NOT NULL,
    method TEXT NOT NULL,
    outcome TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    errors INTEGER NOT NULL CHECK (errors >= 0),
    response_time_us INTEGER NOT NULL,
    latency BLOB NOT NULL,
    users BLOB NOT NULL,
    PRIMARY KEY (tenant_id, hour, server_id, method, outcome)
) STRICT, WITHOUT ROWID;

-- The same, summed over servers, methods and outcomes: what most reports need.
CREATE TABLE tenant_rollups (
    tenant_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    errors INTEGER NOT NULL CHECK (errors >= 0),
    -- Refused because nobody known asked.
    unauthenticated INTEGER NOT NULL CHECK (unauthenticated >= 0),
    response_time_us INTEGER NOT NULL,
    latency BLOB NOT NULL,
    users BLOB NOT NULL,
    PRIMARY KEY (tenant_id, hour)
) STRICT, WITHOUT ROWID;

-- Up to which row the sums reach: what comes after it is added at the next start, or has been by the same commit.
CREATE TABLE rollup_progress (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    audit_id INTEGER NOT NULL
) STRICT;

INSERT INTO rollup_progress (singleton, audit_id) VALUES (1, 0);

-- How full the gateway is, once a minute.
CREATE TABLE usage_samples (
    sampled_at INTEGER PRIMARY KEY,
    active_users INTEGER NOT NULL,
    cpu_share REAL NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    wal_bytes INTEGER NOT NULL,
    -- A JSON array of {"name", "size", "ceiling", "in_use_peak", "wait_ms", "timeouts"}.
    pools TEXT NOT NULL
) STRICT;
