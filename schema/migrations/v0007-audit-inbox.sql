-- Where rows are committed while many wait: a table without indexes takes them at a fraction of the cost. They are moved to
-- `audit_logs` in order when the rush is over, so that every row here is later than every row there.
CREATE TABLE audit_inbox (
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
    request_id INTEGER NOT NULL,
    weight INTEGER NOT NULL CHECK (weight >= 1),
    mac BLOB NOT NULL CHECK (length(mac) = 8)
) STRICT;

CREATE TRIGGER audit_inbox_refuse_update BEFORE UPDATE ON audit_inbox
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

CREATE TRIGGER audit_inbox_refuse_delete BEFORE DELETE ON audit_inbox
WHEN OLD.audit_id > (SELECT coalesce(max(audit_id), 0) FROM audit_logs)
BEGIN
    SELECT RAISE(ABORT, 'a row leaves the inbox for the audit log alone');
END;

-- The whole audit log, for whoever reads the file beside the gateway.
CREATE VIEW audit_rows AS SELECT * FROM audit_logs UNION ALL SELECT * FROM audit_inbox;
