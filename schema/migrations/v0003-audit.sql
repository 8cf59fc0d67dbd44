-- No foreign keys: the record outlives what it speaks of. A column for arguments or credentials does not exist.
CREATE TABLE audit_logs (
    audit_id INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    user_id INTEGER,
    tenant_id INTEGER,
    action TEXT NOT NULL CHECK (length(action) <= 128),
    target TEXT NOT NULL CHECK (length(target) <= 128),
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'refused', 'unknown', 'cancelled')),
    reason TEXT NOT NULL CHECK (length(reason) <= 128),
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 999),
    response_time_ms REAL NOT NULL CHECK (response_time_ms >= 0),
    address TEXT NOT NULL CHECK (length(address) <= 64),
    -- 64 bits, shown to people as 16 hexadecimal digits.
    request_id INTEGER NOT NULL
) STRICT;

-- A user's history, latest first.
CREATE INDEX idx_audit_logs_user_tenant_time ON audit_logs (user_id, tenant_id, created_at DESC);
-- A tenant's load over a period, answered from the index alone.
CREATE INDEX idx_audit_logs_tenant_time_performance ON audit_logs (tenant_id, created_at, user_id, response_time_ms);

CREATE TRIGGER audit_logs_refuse_update BEFORE UPDATE ON audit_logs
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

-- REPLACE deletes without asking the trigger below, unless a connection says otherwise.
CREATE TRIGGER audit_logs_refuse_replace BEFORE INSERT ON audit_logs
WHEN EXISTS (SELECT 1 FROM audit_logs WHERE audit_id = NEW.audit_id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

CREATE TRIGGER audit_logs_refuse_delete BEFORE DELETE ON audit_logs
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never cut');
END;
