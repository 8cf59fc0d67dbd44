-- No foreign keys: the record outlives what it speaks of. A column for arguments or credentials does not exist.
CREATE TABLE audit_logs (
    -- Given by the gateway, one after the other: a gap is a missing row.
    audit_id INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    user_id INTEGER,
    tenant_id INTEGER,
    server_id INTEGER,
    action TEXT NOT NULL CHECK (length(action) <= 128),
    target TEXT NOT NULL CHECK (length(target) <= 128),
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'refused', 'unknown', 'cancelled', 'intended')),
    reason TEXT NOT NULL CHECK (length(reason) <= 128),
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 999),
    response_time_ms REAL NOT NULL CHECK (response_time_ms >= 0),
    address TEXT NOT NULL CHECK (length(address) <= 64),
    -- 64 bits, shown to people as 16 hexadecimal digits.
    request_id INTEGER NOT NULL,
    -- How many events the row stands for.
    weight INTEGER NOT NULL CHECK (weight >= 1),
    -- HMAC-SHA256 over the columns above, cut to 8 bytes.
    mac BLOB NOT NULL CHECK (length(mac) = 8)
) STRICT;

-- A user's history, latest first.
CREATE INDEX idx_audit_logs_user_tenant_time ON audit_logs (user_id, tenant_id, created_at DESC);
-- A tenant's load over a period, answered from the index alone.
CREATE INDEX idx_audit_logs_tenant_time_performance ON audit_logs (tenant_id, created_at, user_id, response_time_ms);
-- The few rows that do not count as one: sums of many refusals, and announced calls.
CREATE INDEX idx_audit_logs_exceptions ON audit_logs (created_at) WHERE weight > 1 OR outcome = 'intended';

-- Each closes a run of rows: a hash over them and over the seal before.
CREATE TABLE audit_seals (
    seal_id INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    CHECK (last_id >= first_id)
) STRICT;

-- Now and then a seal is signed with the gateway's key; the same line is written outside the database.
CREATE TABLE audit_heads (
    seal_id INTEGER PRIMARY KEY,
    signed_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    signature BLOB NOT NULL
) STRICT;

-- Up to where rows may be dropped. Setting one is itself on record, in the same transaction.
CREATE TABLE audit_watermarks (
    watermark_id INTEGER PRIMARY KEY,
    last_id INTEGER NOT NULL,
    seal_id INTEGER NOT NULL,
    -- Of that seal: where the rest of the chain hangs.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    set_at INTEGER NOT NULL,
    mac BLOB NOT NULL CHECK (length(mac) = 8)
) STRICT;

CREATE TRIGGER audit_logs_refuse_update BEFORE UPDATE ON audit_logs
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

-- Also what REPLACE deletes: every connection of the gateway has recursive_triggers on. (A trigger on INSERT would make
-- SQLite keep a way back for every single row: decision 8.)
CREATE TRIGGER audit_logs_refuse_delete BEFORE DELETE ON audit_logs
WHEN OLD.audit_id > (SELECT coalesce(max(last_id), 0) FROM audit_watermarks)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is cut by retention alone');
END;

CREATE TRIGGER audit_seals_refuse_update BEFORE UPDATE ON audit_seals
BEGIN
    SELECT RAISE(ABORT, 'a seal is never changed');
END;

CREATE TRIGGER audit_seals_refuse_delete BEFORE DELETE ON audit_seals
WHEN OLD.last_id > (SELECT coalesce(max(last_id), 0) FROM audit_watermarks)
BEGIN
    SELECT RAISE(ABORT, 'seals are dropped with their rows alone');
END;

CREATE TRIGGER audit_watermarks_refuse_update BEFORE UPDATE ON audit_watermarks
BEGIN
    SELECT RAISE(ABORT, 'a watermark is never changed');
END;

CREATE TRIGGER audit_watermarks_refuse_delete BEFORE DELETE ON audit_watermarks
BEGIN
    SELECT RAISE(ABORT, 'a watermark is never taken back');
END;
