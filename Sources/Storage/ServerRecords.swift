import GRDB
package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The registry as rows. Every statement that serves a tenant names it.
extension Database {
    package func activeServers() async throws -> [ServerRecord] {
        try await read { db in
            try Row.fetchAll(db, sql: ServerQuery.active).compactMap(ServerRecord.init(row:))
        }
    }

    package func server(_ id: ServerID) async throws -> ServerRecord? {
        try await read { db in
            try Row.fetchOne(db, sql: "SELECT * FROM server_registrations WHERE server_id = ?", arguments: [id.rawValue])
                .flatMap(ServerRecord.init(row:))
        }
    }

    package func server(_ alias: ServerAlias, of tenant: TenantID) async throws -> ServerRecord? {
        try await read { db in
            let sql = "SELECT * FROM server_registrations WHERE tenant_id = ? AND alias = ?"
            return try Row.fetchOne(db, sql: sql, arguments: [tenant.rawValue, alias.description]).flatMap(ServerRecord.init(row:))
        }
    }

    /// A page of a tenant's servers, oldest first.
    ///
    /// - Parameter after: the last id of the page before.
    package func servers(of tenant: TenantID, filter: ServerFilter, after: ServerID?, limit: Int) async throws -> [ServerRecord] {
        try await read { db in
            let sql = """
                SELECT * FROM server_registrations
                WHERE tenant_id = ?1 AND server_id > ?2 AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR transport = ?4)
                AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?5))
                ORDER BY server_id LIMIT ?6
                """
            let arguments: StatementArguments = [
                tenant.rawValue, after?.rawValue ?? 0, filter.status?.rawValue, filter.transport, filter.tag, limit,
            ]
            return try Row.fetchAll(db, sql: sql, arguments: arguments).compactMap(ServerRecord.init(row:))
        }
    }

    /// Registers a server and records it, in one transaction.
    ///
    /// - Throws: `Refusal.conflict` if the tenant has a server of that alias.
    package func createServer(_ draft: ServerDraft, owner: UserID, tenant: TenantID, audit: AuditRecord) async throws -> ServerRecord {
        try await write { db, ledger in
            let taken = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM server_registrations WHERE tenant_id = ? AND alias = ?)",
                arguments: [tenant.rawValue, draft.alias.description])
            if taken ?? false { throw Refusal.conflict("There is a server with the alias “\(draft.alias)” already.") }
            let sql = """
                INSERT INTO server_registrations
                (tenant_id, owner_id, alias, title, description, transport, endpoint, command, status, is_public, era, tags, credential_mode, \
                credential, endpoint_weight, replicas, strategy, questions, created_at, updated_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
            try db.execute(
                sql: sql,
                arguments: [
                    tenant.rawValue, owner.rawValue, draft.alias.description, draft.title, draft.description, draft.transport.name,
                    draft.transport.endpoint, try draft.transport.commandText(), draft.status.rawValue, draft.isPublic, draft.era.rawValue,
                    try text(of: draft.tags), draft.credential.mode, try draft.credential.columnText(), draft.weight,
                    try text(of: draft.replicas.map(ReplicaColumn.init)), draft.strategy.rawValue, try text(of: draft.questions.names),
                    audit.at.microseconds, audit.at.microseconds,
                ])
            // Read before the audit row is written, which is an insertion too.
            let id = ServerID(db.lastInsertedRowID)
            try ledger.append(audit, db)
            return ServerRecord(
                id: id, tenant: tenant, owner: owner, alias: draft.alias, title: draft.title, description: draft.description,
                transport: draft.transport, weight: draft.weight, replicas: draft.replicas, strategy: draft.strategy, status: draft.status,
                isPublic: draft.isPublic,
                era: draft.era, tags: draft.tags,
                credential: draft.credential, questions: draft.questions,
                createdAt: audit.at, updatedAt: audit.at)
        }
    }

    /// Writes a changed record over the old one, if it is still as `basis` says, and records it in the same transaction.
    ///
    /// - Throws: `Refusal.notFound`, or `Refusal.conflict` if somebody else changed it meanwhile.
    package func updateServer(_ server: ServerRecord, basis: Timestamp, audit: AuditRecord) async throws -> ServerRecord {
        try await write { db, ledger in
            let sql = """
                UPDATE server_registrations SET title = ?, description = ?, transport = ?, endpoint = ?, command = ?, status = ?, is_public = ?, \
                era = ?, tags = ?, credential_mode = ?, credential = ?, endpoint_weight = ?, replicas = ?, strategy = ?, questions = ?, \
                updated_at = ?
                WHERE server_id = ? AND tenant_id = ? AND updated_at = ?
                """
            // Two changes within one microsecond still get two moments.
            let moment = max(audit.at.microseconds, basis.microseconds + 1)
            try db.execute(
                sql: sql,
                arguments: [
                    server.title, server.description, server.transport.name, server.transport.endpoint, try server.transport.commandText(),
                    server.status.rawValue, server.isPublic, server.era.rawValue, try text(of: server.tags), server.credential.mode,
                    try server.credential.columnText(), server.weight, try text(of: server.replicas.map(ReplicaColumn.init)),
                    server.strategy.rawValue, try text(of: server.questions.names), moment, server.id.rawValue, server.tenant.rawValue,
                    basis.microseconds,
                ])
            guard db.changesCount == 1 else {
                let sql = "SELECT EXISTS (SELECT 1 FROM server_registrations WHERE server_id = ?)"
                let isThere = try Bool.fetchOne(db, sql: sql, arguments: [server.id.rawValue]) ?? false
                throw isThere ? Refusal.conflict("The server was changed meanwhile; read it again first.") : .notFound("server \(server.id.rawValue)")
            }
            try ledger.append(audit, db)
            var changed = server
            changed.updatedAt = Timestamp(microseconds: moment)
            return changed
        }
    }

    /// Deletes a server and records it, in one transaction.
    ///
    /// - Returns: a moment later than every change that was made to it.
    @discardableResult
    package func deleteServer(_ id: ServerID, audit: AuditRecord) async throws -> Timestamp {
        try await write { db, ledger in
            let sql = "DELETE FROM server_registrations WHERE server_id = ? RETURNING updated_at"
            guard let last = try Int64.fetchOne(db, sql: sql, arguments: [id.rawValue]) else { throw Refusal.notFound("server \(id.rawValue)") }
            try ledger.append(audit, db)
            return Timestamp(microseconds: max(last + 1, audit.at.microseconds))
        }
    }
}

private func text(of value: some Encodable) throws -> String { String(decoding: try JSONEncoder().encode(value), as: UTF8.self) }

/// `StdioCommand` as its column holds it.
private struct CommandColumn: Codable {
    let path: String
    let arguments: [String]
    let environment: [String: String]
    /// Absent where there are none.
    let sealedNames: [String]?
    let isShared: Bool
}

/// `ServerReplica` as its column holds it.
private struct ReplicaColumn: Codable {
    let endpoint: String
    let weight: Int

    init(_ replica: ServerReplica) { (endpoint, weight) = (replica.endpoint, replica.weight) }
}

extension Transport {
    fileprivate var endpoint: String? {
        guard case .http(let endpoint) = self else { return nil }
        return endpoint
    }

    fileprivate func commandText() throws -> String? {
        guard case .stdio(let command) = self else { return nil }
        return try text(
            of: CommandColumn(
                path: command.path, arguments: command.arguments, environment: command.environment,
                sealedNames: command.sealedNames.isEmpty ? nil : command.sealedNames, isShared: command.isShared))
    }
}

extension UpstreamCredential {
    fileprivate func columnText() throws -> String { try text(of: Dictionary(uniqueKeysWithValues: members.map { ($0.name, $0.value) })) }
}

extension ServerRecord {
    /// Nil for a row that a newer or foreign program wrote in a way this one does not know.
    fileprivate init?(row: Row) {
        let transport: Transport
        if let endpoint: String = row["endpoint"] {
            transport = .http(endpoint: endpoint)
        } else if let text: String = row["command"], let column = try? JSONDecoder().decode(CommandColumn.self, from: Data(text.utf8)) {
            transport = .stdio(
                StdioCommand(
                    path: column.path, arguments: column.arguments, environment: column.environment,
                    sealedNames: column.sealedNames ?? [], isShared: column.isShared))
        } else {
            return nil
        }
        guard let alias = ServerAlias(row["alias"]), let status = Status(rawValue: row["status"]), let era = EraChoice(rawValue: row["era"]),
            let tags = try? JSONDecoder().decode([String].self, from: Data((row["tags"] as String).utf8)),
            let members = try? JSONDecoder().decode([String: String].self, from: Data((row["credential"] as String).utf8)),
            let credential = UpstreamCredential(mode: row["credential_mode"], members: members),
            let replicas = try? JSONDecoder().decode([ReplicaColumn].self, from: Data((row["replicas"] as String).utf8)),
            let strategy = BalancingStrategy(rawValue: row["strategy"]),
            let questions = try? JSONDecoder().decode([String].self, from: Data((row["questions"] as String).utf8)).map(QuestionKind.init),
            !questions.contains(nil)
        else { return nil }
        self.init(
            id: ServerID(row["server_id"]), tenant: TenantID(row["tenant_id"]), owner: UserID(row["owner_id"]), alias: alias,
            title: row["title"], description: row["description"], transport: transport, weight: row["endpoint_weight"],
            replicas: replicas.map { ServerReplica(endpoint: $0.endpoint, weight: $0.weight) }, strategy: strategy, status: status,
            isPublic: row["is_public"], era: era,
            tags: tags, credential: credential, questions: Set(questions.compactMap { $0 }),
            createdAt: Timestamp(microseconds: row["created_at"]), updatedAt: Timestamp(microseconds: row["updated_at"]))
    }
}

enum ServerQuery {
    /// Tenant by tenant, so that the index leads to the active ones of each.
    static let active = "SELECT s.* FROM tenants t CROSS JOIN server_registrations s ON s.tenant_id = t.tenant_id AND s.status = 'active'"
}
