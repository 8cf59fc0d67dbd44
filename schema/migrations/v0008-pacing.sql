ALTER TABLE tenants ADD COLUMN weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);
ALTER TABLE tenants ADD COLUMN per_minute INTEGER CHECK (per_minute >= 0);
ALTER TABLE tenants ADD COLUMN user_per_minute INTEGER CHECK (user_per_minute >= 0);
ALTER TABLE tenants ADD COLUMN daily_quota INTEGER CHECK (daily_quota >= 0);
ALTER TABLE tenants ADD COLUMN monthly_quota INTEGER CHECK (monthly_quota >= 0);

CREATE TABLE limits (
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    scope TEXT NOT NULL CHECK (scope IN ('user', 'server', 'tool')),
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 256),
    per_minute INTEGER NOT NULL CHECK (per_minute >= 0),
    PRIMARY KEY (tenant_id, scope, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocked_addresses (
    address TEXT PRIMARY KEY CHECK (length(address) BETWEEN 1 AND 64),
    reason TEXT NOT NULL CHECK (reason IN ('violations', 'administrator')),
    blocked_at INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_rate_limit_buckets_key_expires ON rate_limit_buckets (bucket_key, expires_at);
