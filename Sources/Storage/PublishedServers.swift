package import Discovery
import GRDB
package import Gateway

/// What is public, and was, as rows.
extension Database {
    /// Brings what is published in line with what is registered, in one transaction.
    ///
    /// - Returns: all that is published now, and a number that is higher for what was committed later.
    package func publish(at origin: Origin, _ now: Timestamp) async throws -> (servers: [PublishedServer], order: Int) {
        try await write { db, _ in
            let faces = try Row.fetchAll(db, sql: PublicationQuery.faces).compactMap { row in
                ServerAlias(row["alias"]).map {
                    PublicFace(tenant: TenantID(row["tenant_id"]), alias: $0, title: row["title"], description: row["description"])
                }
            }
            for change in Publication.changes(to: try Self.published(db), faces: faces, origin: origin, at: now) {
                switch change {
                case .store(let server): try Self.store(server, db)
                case .forget(let server):
                    try db.execute(
                        sql: "DELETE FROM published_servers WHERE tenant_id = ? AND alias = ?",
                        arguments: [server.tenant.rawValue, server.alias.description])
                }
            }
            return (try Self.published(db), db.totalChangesCount)
        }
    }

    private static func published(_ db: GRDB.Database) throws -> [PublishedServer] {
        var versions: [Int64: [PublishedVersion]] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT * FROM published_versions ORDER BY published_id, number") {
            versions[row["published_id"], default: []].append(
                PublishedVersion(
                    number: row["number"], origin: row["origin"], title: row["title"], description: row["description"],
                    publishedAt: Timestamp(microseconds: row["published_at"])))
        }
        return try Row.fetchAll(db, sql: "SELECT * FROM published_servers").compactMap { row in
            guard let alias = ServerAlias(row["alias"]) else { return nil }
            return PublishedServer(
                tenant: TenantID(row["tenant_id"]), alias: alias, isListed: row["is_listed"],
                statusChangedAt: Timestamp(microseconds: row["status_changed_at"]), versions: versions[row["published_id"]] ?? [])
        }
    }

    private static func store(_ server: PublishedServer, _ db: GRDB.Database) throws {
        let id = try Int64.fetchOne(
            db,
            sql: """
                INSERT INTO published_servers (tenant_id, alias, is_listed, status_changed_at) VALUES (?, ?, ?, ?)
                ON CONFLICT (tenant_id, alias) DO UPDATE SET is_listed = excluded.is_listed, status_changed_at = excluded.status_changed_at
                RETURNING published_id
                """,
            arguments: [server.tenant.rawValue, server.alias.description, server.isListed, server.statusChangedAt.microseconds])
        try db.execute(
            sql: "DELETE FROM published_versions WHERE published_id = ? AND number < ?", arguments: [id, server.versions.first?.number ?? 0])
        for version in server.versions {
            try db.execute(
                sql: """
                    INSERT INTO published_versions (published_id, number, origin, title, description, published_at) VALUES (?, ?, ?, ?, ?, ?)
                    ON CONFLICT DO NOTHING
                    """,
                arguments: [id, version.number, version.origin, version.title, version.description, version.publishedAt.microseconds])
        }
    }
}

enum PublicationQuery {
    static let faces = """
        SELECT tenant_id, alias, title, description FROM server_registrations INDEXED BY idx_server_registrations_public
        WHERE is_public = 1 AND status = 'active'
        """
}
