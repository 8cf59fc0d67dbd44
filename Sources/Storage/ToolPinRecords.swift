package import Access
import GRDB
package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The pins of servers' tools as rows.
extension Database {
    /// Those of every server that has any.
    package func allToolPins() async throws -> [ServerID: ToolPins] {
        try await read { db in
            var pins: [ServerID: [ToolPin]] = [:]
            for row in try Row.fetchAll(db, sql: ToolPinQuery.all) { pins[ServerID(row["server_id"]), default: []].append(try ToolPin(row: row)) }
            return pins.mapValues { ToolPins($0) }
        }
    }

    /// Writes down what a listing says that is not on record, and records it, in one transaction. The first listing of a server that
    /// holds anything is approved by it.
    ///
    /// - Parameter audit: the record of the news; it is not asked for if there are none.
    /// - Returns: the pins as they are on disk now, and a number that is higher for what was committed later.
    /// - Throws: `Refusal.notFound` if there is no such server any more.
    package func noteTools(_ listing: ToolListing, of server: ServerID, at now: Timestamp, audit: @escaping @Sendable (ToolPins.News) -> AuditRecord)
        async throws -> (pins: ToolPins, order: Int)
    {
        try await write { db, ledger in
            let isThere = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM server_registrations WHERE server_id = ?)", arguments: [server.rawValue])
            guard isThere ?? false else { throw Refusal.notFound("server \(server.rawValue)") }
            let news = try Self.toolPins(of: server, db).news(in: listing)
            guard !news.isEmpty else { return (try Self.toolPins(of: server, db), db.totalChangesCount) }
            for tool in news.new { try Self.add(tool, to: server, isApproved: news.isFirst, at: now, db) }
            for tool in news.changed {
                try db.execute(
                    sql: ToolPinQuery.changed,
                    arguments: [tool.fingerprint.blob, tool.definition, now.microseconds, server.rawValue, tool.name])
            }
            for name in news.gone {
                try db.execute(sql: ToolPinQuery.gone, arguments: [now.microseconds, server.rawValue, name])
            }
            try db.execute(sql: ToolPinQuery.forget, arguments: [server.rawValue, ToolListing.most])
            try ledger.append(audit(news), db)
            return (try Self.toolPins(of: server, db), db.totalChangesCount)
        }
    }

    /// Approves tools as they were seen, and records each, in one transaction.
    ///
    /// - Parameter audit: of everything; each tool's own has the server's alias, the fingerprint and the name as its target.
    /// - Throws: `ToolPins.Disapproval` if something is not what was seen; then nothing is approved.
    package func approveTools(_ approval: ToolPins.Approval, of server: ServerRecord, audit: AuditRecord) async throws -> (
        approved: [ToolPin], pins: ToolPins, order: Int
    ) {
        try await write { db, ledger in
            let former = try Self.toolPins(of: server.id, db)
            let approved = try former.approved(approval)
            for pin in approved {
                try db.execute(
                    sql: ToolPinQuery.approve,
                    arguments: [
                        pin.isIdempotent, audit.at.microseconds, audit.user?.rawValue, server.id.rawValue, pin.name, pin.seen.blob,
                    ])
                guard db.changesCount == 1 else { throw Refusal.conflict("The tools were changed meanwhile; read them again first.") }
                var audit = audit
                audit.target = "\(server.alias): \(pin.seen) \(pin.name)".cut(128)
                audit.server = server.id
                if pin.isIdempotent { audit.reason = "idempotent" }
                try ledger.append(audit, db)
            }
            return (approved, try Self.toolPins(of: server.id, db), db.totalChangesCount)
        }
    }

    /// A page of a server's tools, by name.
    ///
    /// - Parameters:
    ///   - states: those that are wanted.
    ///   - after: the last name of the page before; empty for the first.
    package func pinnedTools(of server: ServerID, states: Set<ToolPin.State>, after: String, limit: Int) async throws -> [PinnedTool] {
        let wanted = states.map(\.rawValue).joined(separator: ",")
        return try await read { db in
            try Row.fetchAll(db, sql: ToolPinQuery.page, arguments: [server.rawValue, after, wanted, limit]).map(PinnedTool.init(row:))
        }
    }

    /// The tool of that name, with its definitions.
    package func pinnedTool(_ name: String, of server: ServerID) async throws -> PinnedTool? {
        try await read { db in
            try Row.fetchOne(db, sql: ToolPinQuery.one, arguments: [server.rawValue, name]).map(PinnedTool.init(row:))
        }
    }

    private static func toolPins(of server: ServerID, _ db: GRDB.Database) throws -> ToolPins {
        ToolPins(try Row.fetchAll(db, sql: ToolPinQuery.ofServer, arguments: [server.rawValue]).map(ToolPin.init(row:)))
    }

    private static func add(_ tool: ListedTool, to server: ServerID, isApproved: Bool, at now: Timestamp, _ db: GRDB.Database) throws {
        try db.execute(
            sql: ToolPinQuery.add,
            arguments: [
                server.rawValue, tool.name, isApproved ? tool.fingerprint.blob : nil, tool.fingerprint.blob,
                (isApproved ? ToolPin.State.approved : .new).rawValue, now.microseconds, isApproved ? now.microseconds : nil,
                isApproved ? tool.definition : nil, isApproved ? nil : tool.definition,
            ])
    }
}

enum ToolPinQuery {
    private static let columns = "server_id, name, sha256, seen_sha256, state, idempotent"
    static let all = "SELECT \(columns) FROM server_tools"
    static let ofServer = "SELECT \(columns) FROM server_tools WHERE server_id = ?"

    private static let whole = "SELECT t.*, u.name AS approver FROM server_tools t LEFT JOIN users u ON u.user_id = t.approved_by"
    static let page = "\(whole) WHERE t.server_id = ?1 AND t.name > ?2 AND instr(',' || ?3 || ',', ',' || t.state || ',') ORDER BY t.name LIMIT ?4"
    static let one = "\(whole) WHERE t.server_id = ? AND t.name = ?"

    static let add = """
        INSERT INTO server_tools (server_id, name, sha256, seen_sha256, state, idempotent, first_seen, changed_at, approved_at, definition, seen_definition)
        VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6, ?7, ?8, ?9)
        """
    static let changed = """
        UPDATE server_tools SET seen_sha256 = ?1, seen_definition = CASE WHEN sha256 = ?1 THEN NULL ELSE ?2 END, changed_at = ?3,
        state = CASE WHEN sha256 IS NULL THEN 'new' WHEN sha256 = ?1 THEN 'approved' ELSE 'changed' END
        WHERE server_id = ?4 AND name = ?5
        """
    static let gone = "UPDATE server_tools SET state = 'gone', changed_at = ? WHERE server_id = ? AND name = ?"
    /// What went first makes room. If it comes back, it is new.
    static let forget = """
        DELETE FROM server_tools WHERE rowid IN (
            SELECT rowid FROM server_tools WHERE server_id = ?1 AND state = 'gone' ORDER BY changed_at, rowid
            LIMIT max(0, (SELECT count(*) FROM server_tools WHERE server_id = ?1) - ?2))
        """
    static let approve = """
        UPDATE server_tools SET definition = CASE WHEN sha256 = seen_sha256 THEN definition ELSE seen_definition END, sha256 = seen_sha256,
        seen_definition = NULL, state = 'approved', idempotent = ?1, approved_at = ?2, approved_by = ?3
        WHERE server_id = ?4 AND name = ?5 AND seen_sha256 = ?6 AND state <> 'gone'
        """
}

extension ToolFingerprint {
    fileprivate var blob: Data { Data(bytes) }
}

extension ToolPin {
    /// - Throws: `Database.Damaged` for a row that says nothing this program knows. A pin is never left out: without it a server would
    ///   count as one that was never seen.
    fileprivate init(row: Row) throws {
        let (approved, seen) = (row["sha256"] as Data?, row["seen_sha256"] as Data)
        guard let state = State(rawValue: row["state"]), let fingerprint = ToolFingerprint(bytes: Array(seen)) else {
            throw Database.Damaged(
                description: "A tool of server \(row["server_id"] as Int64) cannot be read; the file was written by a newer program, or edited.")
        }
        self.init(
            row["name"], approved: approved.flatMap { ToolFingerprint(bytes: Array($0)) }, seen: fingerprint, isGone: state == .gone,
            isIdempotent: row["idempotent"])
    }
}

extension PinnedTool {
    fileprivate init(row: Row) throws {
        let pin = try ToolPin(row: row)
        let definition: String? = row["definition"]
        self.init(
            pin, approvedDefinition: definition, seenDefinition: pin.approved == pin.seen ? definition : row["seen_definition"],
            firstSeen: Timestamp(microseconds: row["first_seen"]), changedAt: Timestamp(microseconds: row["changed_at"]),
            approvedAt: (row["approved_at"] as Int64?).map { Timestamp(microseconds: $0) }, approvedBy: row["approver"])
    }
}
