import Forwarding
import FoundationEssentials
import Gateway
import MCP
import Serving

/// The operator's file of stdio servers: `{"servers": [{"alias", "path", "arguments", …}]}`.
///
/// What it lists is registered at the start, or changed to what it says; what it no longer lists stays registered,
/// until `mreg server remove`.
enum StdioServersFile {
    /// - Parameter isNamed: whether the operator named the file; only then must it be there.
    /// - Throws: `OperatorError` naming the file and what is wrong in it.
    static func register(_ path: String, isNamed: Bool, in registry: Registry, owner: User, now: @Sendable () -> Moment) async throws {
        guard isNamed || FileManager.default.fileExists(atPath: path) else { return }
        do {
            let json = try JSON(parsing: Array(try Data(contentsOf: URL(filePath: path))))
            guard let servers = json["servers"], servers.kind == .array else { throw OperatorError("it is an object with a list \"servers\".") }
            for entry in servers.elements {
                let draft = try draft(entry)
                let record = AuditRecord(
                    requestID: .random(), at: now().wall, user: owner.id, tenant: owner.tenant, action: "server.create",
                    target: draft.alias.description, address: "file")
                try await registry.ensure(draft, owner: owner, audit: record)
            }
        } catch let error as JSONError {
            throw OperatorError("\(path): \(error.sentence)")
        } catch let refusal as Refusal {
            throw OperatorError("\(path): \(refusal.sentence)")
        } catch {
            throw OperatorError("\(path): \(error)")
        }
    }

    private static func draft(_ entry: JSON) throws(Refusal) -> ServerDraft {
        let members = try Members(entry.text.bytes, known: ["alias", "title", "path", "arguments", "environment", "shared", "era", "tags"])
        let alias = try members.alias()
        let transport = Transport.stdio(try members.stdioCommand())
        return ServerDraft(
            alias: alias, title: try members.title() ?? alias.description, transport: transport,
            era: try members.era(over: transport) ?? .auto, tags: try members.tags() ?? [])
    }
}

extension Registry {
    /// Registers a server, or brings the one of that alias in line with the draft.
    func ensure(_ draft: ServerDraft, owner: User, audit: AuditRecord) async throws {
        guard var server = try await named(draft.alias, owner.tenant) else {
            _ = try await create(draft, owner.id, owner.tenant, audit)
            return
        }
        var draft = draft
        // What was sealed on the host since is not the file's to take away.
        if case .stdio(let command) = draft.transport { draft.transport = .stdio(command.sealing(server.transport.sealedNames)) }
        guard server.transport != draft.transport || server.era != draft.era || server.title != draft.title else { return }
        server.transport = draft.transport
        server.era = draft.era
        server.title = draft.title
        var audit = audit
        audit.action = "server.change"
        _ = try await update(ServerChange(server), server.updatedAt, audit)
    }
}
