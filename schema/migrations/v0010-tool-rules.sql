-- Who may, or may not, use which tools. What no rule allows, nobody may.
CREATE TABLE tool_rules (
    -- Never given twice: refusals and the record name rules by it.
    rule_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (tenant_id),
    -- Whom it is about: a user, a role, or with neither everyone who uses tools.
    user_id INTEGER REFERENCES users (user_id),
    role TEXT CHECK (role IN ('user', 'server_owner', 'admin')),
    -- Which server, by alias, or with none every server; and the tool's own name there, or with none every tool.
    server TEXT CHECK (length(server) BETWEEN 1 AND 12),
    tool TEXT CHECK (length(tool) BETWEEN 1 AND 256),
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    created_at INTEGER NOT NULL,
    CHECK (user_id IS NULL OR role IS NULL),
    CHECK (tool IS NULL OR server IS NOT NULL)
) STRICT;

-- The rules of a tenant, oldest first.
CREATE INDEX idx_tool_rules_tenant ON tool_rules (tenant_id);

-- A tenant begins open to its own: one rule, which can be removed like any other.
INSERT INTO tool_rules (tenant_id, effect, created_at) SELECT tenant_id, 'allow', created_at FROM tenants;

CREATE TRIGGER tenants_begin_open AFTER INSERT ON tenants
BEGIN
    INSERT INTO tool_rules (tenant_id, effect, created_at) VALUES (NEW.tenant_id, 'allow', NEW.created_at);
END;
