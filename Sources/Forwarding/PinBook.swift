package import Access
package import Gateway
package import Logging
import MCP
import Synchronization

/// The pins of every server's tools as they are on disk, and what follows from them for what a server lists.
///
/// The catalogue has every listing noted here before it is used: what is not on disk is not used, so that a crash never makes an
/// approved tool of one that is held. Its size is the record's: at most `ToolListing.most` pins of each server.
package final class PinBook: Sendable {
    /// What a server listed, tool by tool; what no client could use is left out, and of two tools of one name the second.
    struct Listing: Sendable {
        fileprivate let tools: [(json: JSON, name: String, fingerprint: ToolFingerprint)]
    }

    /// What becomes of a listing.
    struct Judged: Sendable {
        /// Those that are listed to callers and called.
        var used: [JSON] = []
        /// Those that wait until somebody approves them, by the name that callers know or would know them by.
        var held: [String: Tool] = [:]
        /// Own names of those used that may be called twice, as somebody said.
        var idempotent: Set<ExactName> = []
    }

    /// What places of a server listed last that is not approved. Calls go to any place, so what waits at one waits at all, though
    /// another still lists what was approved.
    private struct Differing {
        /// When the server was last changed: afterwards its places are others.
        let since: Timestamp
        var byPlace: [Int: [ExactName: (json: JSON, definition: ToolDefinition)]] = [:]
    }

    private struct Kept {
        var pins = ToolPins()
        var order = 0
    }

    package let policy: ToolChangePolicy
    private let kept: Mutex<[ServerID: Kept]>
    private let differing = Mutex<[ServerID: Differing]>([:])
    private let write: @Sendable (ToolListing, ServerRecord) async throws -> (pins: ToolPins, order: Int)
    private let logger: Logger

    /// - Parameters:
    ///   - pins: of every server, as they are on disk.
    ///   - write: brings the news of a listing to disk; returns when they are there, with what is there then.
    package init(
        _ pins: [ServerID: ToolPins], policy: ToolChangePolicy, logger: Logger,
        write: @escaping @Sendable (ToolListing, ServerRecord) async throws -> (pins: ToolPins, order: Int)
    ) {
        kept = Mutex(pins.mapValues { Kept(pins: $0) })
        self.policy = policy
        self.logger = logger
        self.write = write
    }

    package func pins(of server: ServerID) -> ToolPins { kept.withLock { $0[server]?.pins ?? ToolPins() } }

    /// What was committed.
    ///
    /// - Parameter order: higher for what was committed later, and above 0; what comes late is left out.
    package func change(_ pins: ToolPins, of server: ServerID, order: Int) {
        kept.withLock { kept in
            if kept[server]?.order ?? 0 < order { kept[server] = Kept(pins: pins, order: order) }
        }
    }

    /// For a server that is no more. Its number is never another's.
    package func forget(_ server: ServerID) {
        kept.withLock { $0[server] = nil }
        differing.withLock { $0[server] = nil }
    }

    // MARK: The catalogue's side

    /// Takes up what a server listed. When it returns without a failure, that is on disk.
    ///
    /// - Parameter place: which of the server's places listed it; nil if it has one.
    /// - Returns: the listing, and why it could not be noted: what differs from the record is not used then.
    func note(_ tools: [JSON], of server: ServerRecord, at place: Int? = nil) async -> (listing: Listing, failure: String?) {
        var listing = ToolListing()
        var listed: [(json: JSON, name: String, fingerprint: ToolFingerprint)] = []
        let place = server.replicas.isEmpty ? nil : place
        let elsewhere = place.map { differing(of: server, besides: $0) } ?? [:]
        let before = pins(of: server.id)
        let defined = tools.compactMap { json in ToolDefinition(json).map { (json: json, definition: $0) } }
        for tool in defined {
            let different = elsewhere[ExactName(tool.definition.name)].flatMap { before.isApproved(tool.definition) ? $0 : nil }
            let (json, definition) = different ?? tool
            guard let tool = listing.add(definition.name, definition.canonical) else { continue }
            listed.append((json, tool.name, tool.fingerprint))
        }
        defer { if let place { note(defined, of: server, at: place) } }
        let news = pins(of: server.id).news(in: listing)
        guard !news.isEmpty else { return (Listing(tools: listed), nil) }
        do {
            let (pins, order) = try await write(listing, server)
            change(pins, of: server.id, order: order)
            if !news.isFirst {
                let (alias, waiting) = (server.alias, pins.waiting.count)
                logger.notice(
                    "a server's tools changed",
                    metadata: ["server.alias": "\(alias)", "news": "\(news.summary)", "waiting": "\(waiting)", "policy": "\(policy.rawValue)"])
            }
            return (Listing(tools: listed), nil)
        } catch {
            let why = (error as? Refusal)?.sentence ?? "\(error)"
            return (Listing(tools: listed), "its tools cannot be pinned, so those that are new or changed are not used: \(why)")
        }
    }

    /// What other places list that is not approved, as the pins are now.
    private func differing(of server: ServerRecord, besides place: Int) -> [ExactName: (json: JSON, definition: ToolDefinition)] {
        let pins = pins(of: server.id)
        return differing.withLock { differing in
            guard let known = differing[server.id], known.since == server.updatedAt else { return [:] }
            return known.byPlace.filter { $0.key != place }.sorted { $0.key > $1.key }.reduce(into: [:]) { found, other in
                found.merge(other.value.filter { !pins.isApproved($0.value.definition) }) { $1 }
            }
        }
    }

    private func note(_ tools: [(json: JSON, definition: ToolDefinition)], of server: ServerRecord, at place: Int) {
        let pins = pins(of: server.id)
        let unapproved = tools.filter { !pins.isApproved($0.definition) }.prefix(ToolListing.most)
        differing.withLock { differing in
            var known = differing[server.id].flatMap { $0.since == server.updatedAt ? $0 : nil } ?? Differing(since: server.updatedAt)
            known.byPlace[place] = Dictionary(unapproved.map { (ExactName($0.definition.name), $0) }) { first, _ in first }
            differing[server.id] = known
        }
    }

    /// What of a listing is used, as the pins are now. Never waits.
    func judge(_ listing: Listing, of server: ServerRecord) -> Judged {
        let pins = pins(of: server.id)
        var judged = Judged()
        judged.used.reserveCapacity(listing.tools.count)
        for tool in listing.tools {
            guard pins.isUsed(tool.name, tool.fingerprint, under: policy) else {
                let exposed = ToolName.exposed(tool.name, of: server.alias)
                if judged.held[exposed] == nil { judged.held[exposed] = Tool(tool.name, of: server.alias, exposedAs: exposed) }
                continue
            }
            judged.used.append(tool.json)
            if pins.isIdempotent(tool.name, tool.fingerprint) { judged.idempotent.insert(ExactName(tool.name)) }
        }
        return judged
    }
}

extension ToolPins {
    fileprivate func isApproved(_ tool: ToolDefinition) -> Bool {
        self[tool.name].map { $0.approved == ToolFingerprint(of: tool.canonical) } ?? false
    }
}
