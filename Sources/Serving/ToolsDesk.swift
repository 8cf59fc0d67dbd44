package import Access
package import Gateway
import MCP

/// The pins of servers' tools as owners and the operator handle them: live, the record of truth, the pin book and the catalogue
/// together; in a test, literals.
package struct ToolsDesk: Sendable {
    package var policy: ToolChangePolicy
    /// As they are on disk.
    package var pins: @Sendable (ServerID) -> ToolPins
    package var page: @Sendable (ServerID, Set<ToolPin.State>, _ after: String, _ limit: Int) async throws -> [PinnedTool]
    package var tool: @Sendable (_ name: String, ServerID) async throws -> PinnedTool?
    /// Throws `ToolPins.Disapproval` if something is not what was seen.
    package var approve: @Sendable (ToolPins.Approval, ServerRecord, AuditRecord) async throws -> [ToolPin]

    package init(
        policy: ToolChangePolicy, pins: @escaping @Sendable (ServerID) -> ToolPins,
        page: @escaping @Sendable (ServerID, Set<ToolPin.State>, _ after: String, _ limit: Int) async throws -> [PinnedTool],
        tool: @escaping @Sendable (_ name: String, ServerID) async throws -> PinnedTool?,
        approve: @escaping @Sendable (ToolPins.Approval, ServerRecord, AuditRecord) async throws -> [ToolPin]
    ) {
        self.policy = policy
        self.pins = pins
        self.page = page
        self.tool = tool
        self.approve = approve
    }

    static let pageLength = 100
    /// Lines of a difference: in a list, and of the one tool that was asked for.
    private static let (fewLines, manyLines) = (40, 4000)

    // MARK: Reading

    /// What of a server's tools somebody wants to see.
    struct Wish {
        var states = Set(ToolPin.State.allCases)
        /// Only this one, with all that is known of it.
        var tool: String?
        var after = ""
        var limit = ToolsDesk.pageLength

        /// - Parameter query: of the request; what is not known is passed over, as in other lists of servers.
        init(_ query: (String) -> String?) throws(Refusal) {
            if let text = query("state") { states = try Self.states(text) }
            tool = query("tool")
            if let text = query("cursor") { after = text }
            if let text = query("limit") {
                guard let number = Int(text), (1...ToolsDesk.pageLength).contains(number) else {
                    throw .invalid("“limit” is 1 to \(ToolsDesk.pageLength).")
                }
                limit = number
            }
        }

        private static func states(_ text: String) throws(Refusal) -> Set<ToolPin.State> {
            switch text {
            case "waiting": return [.changed, .new]
            case "held": return [.changed]
            default:
                guard let state = ToolPin.State(rawValue: text) else {
                    throw .invalid("“state” is waiting, approved, held (or changed), new or gone.")
                }
                return [state]
            }
        }
    }

    func list(_ wish: Wish, of server: ServerRecord) async throws -> JSONText {
        // Read first: if something changes meanwhile, an approval by this mark is refused.
        let pins = pins(server.id)
        var tools: [PinnedTool]
        var next: JSONText = .null
        if let name = wish.tool {
            guard let tool = try await tool(name, server.id) else { throw Self.unknown(name, server) }
            tools = [tool]
        } else {
            tools = try await page(server.id, wish.states, wish.after, wish.limit + 1)
            if tools.count > wish.limit {
                tools.removeLast()
                next = tools.last.map { .string($0.pin.name) } ?? .null
            }
        }
        return [
            "policy": .string(policy.rawValue), "waiting": .number(pins.waiting.count), "as_of": .string("\(pins.waitingMark)"),
            "tools": .array(tools.map { written($0, of: server, isWhole: wish.tool != nil) }), "next_cursor": next,
        ]
    }

    private func written(_ tool: PinnedTool, of server: ServerRecord, isWhole: Bool) -> JSONText {
        let pin = tool.pin
        var members: [(String, JSONText?)] = [
            ("name", .string(pin.name)), ("exposed", .string(ToolName.exposed(pin.name, of: server.alias))),
            ("state", .string(pin.state == .changed && policy == .hold ? "held" : pin.state.rawValue)),
            ("used", .bool(!pin.isGone && (pin.approved == pin.seen || policy == .report))), ("sha256", .string("\(pin.seen)")),
            ("approved_sha256", pin.approved.map { .string("\($0)") } ?? .null), ("idempotent", .bool(pin.isIdempotent)),
        ]
        members += [
            ("first_seen", .string(tool.firstSeen.rfc3339)), ("changed_at", .string(tool.changedAt.rfc3339)),
            ("approved_at", tool.approvedAt.map { .string($0.rfc3339) } ?? .null), ("approved_by", tool.approvedBy.map { .string($0) } ?? .null),
        ]
        let difference = difference(tool, most: isWhole ? Self.manyLines : Self.fewLines)
        let lines = difference.map { JSONText.array($0.lines.map { .string($0) }) }
        members += [("diff", lines ?? .null), ("diff_is_cut", .bool(difference?.isCut ?? false))]
        if isWhole {
            let definition = tool.seenDefinition.flatMap { try? JSON(parsing: Array($0.utf8)).text }
            members.append(("definition", definition ?? .null))
        }
        return .object(members)
    }

    /// Nil where there is none, or a definition is too long to be kept.
    private func difference(_ tool: PinnedTool, most: Int) -> LineDiff? {
        guard tool.pin.waits, let seen = tool.seenDefinition else { return nil }
        let old = tool.pin.approved == nil ? [] : tool.approvedDefinition.map(ToolDefinition.lines)
        return old.map { LineDiff(from: $0, to: ToolDefinition.lines(of: seen), most: most) }
    }

    // MARK: Approving

    static let names: Set<String> = ["tools", "all", "as_of"]

    /// What somebody approves. It is always named by what they saw: each tool by its SHA-256, or everything by its mark.
    static func approval(_ members: Members) throws(Refusal) -> ToolPins.Approval {
        let (named, mark) = (try members.object("tools", most: ToolListing.most), try members.string("as_of"))
        switch (named, try members.bool("all") ?? false) {
        case (let named?, false):
            guard !named.isEmpty, mark == nil else { throw .invalid("\"tools\" names at least one tool, and goes without \"as_of\".") }
            var tools: [ToolPins.Approval.Named] = []
            for member in named { tools.append(try tool(member.name, member.value)) }
            return .tools(tools)
        case (nil, true):
            guard let mark = mark.flatMap({ ToolFingerprint($0) }) else {
                throw .invalid("\"all\" takes \"as_of\": the text of that name in the list of tools that was looked at.")
            }
            return .all(mark: mark)
        default:
            throw .invalid("Say what is approved: either \"tools\", an object of names and their sha256, or \"all\": true with \"as_of\".")
        }
    }

    private static func tool(_ name: String, _ value: JSON) throws(Refusal) -> ToolPins.Approval.Named {
        let isKnown = value.members.allSatisfy { ["sha256", "idempotent"].contains($0.name) }
        let mark = value["idempotent"]
        guard let text = value.string ?? value["sha256"]?.string, let fingerprint = ToolFingerprint(text), isKnown, mark == nil || mark?.bool != nil
        else {
            throw .invalid(
                "“\(name.cut(64).withoutControls)” in \"tools\" has the 64 hexadecimal digits of its sha256, or {\"sha256\": …, \"idempotent\": true}."
            )
        }
        return ToolPins.Approval.Named(name, fingerprint, isIdempotent: mark?.bool)
    }

    /// - Throws: `DetailedRefusal` with what there is now, if that is not what was seen.
    func approve(_ approval: ToolPins.Approval, of server: ServerRecord, audit: AuditRecord) async throws -> JSONText {
        do {
            let approved = try await approve(approval, server, audit)
            let pins = pins(server.id)
            return [
                "approved": .object(approved.map { ($0.name, .string("\($0.seen)")) }), "waiting": .number(pins.waiting.count),
                "as_of": .string("\(pins.waitingMark)"),
            ]
        } catch let disapproval as ToolPins.Disapproval {
            throw try await refusal(disapproval, of: server)
        }
    }

    private func refusal(_ disapproval: ToolPins.Disapproval, of server: ServerRecord) async throws -> any Error {
        let (name, sentence): (String?, String)
        switch disapproval {
        case .unknown(let name): return Self.unknown(name, server)
        case .gone(let gone): (name, sentence) = (gone, "“\(Self.shown(gone))” is not listed any more, so it cannot be approved.")
        case .differs(let other, let now):
            (name, sentence) = (other, "“\(Self.shown(other))” is something else by now (\(now)). Look at it again, and approve that or nothing.")
        case .othersWait: (name, sentence) = (nil, "What waits for approval is something else by now. Look at it again, and approve that or nothing.")
        }
        let pins = pins(server.id)
        let tools: [PinnedTool] =
            if let name { try await [tool(name, server.id)].compactMap { $0 } } else {
                try await page(server.id, [.changed, .new], "", Self.pageLength)
            }
        return DetailedRefusal(
            refusal: .conflict(sentence),
            details: [
                ("as_of", .string("\(pins.waitingMark)")), ("waiting", .number(pins.waiting.count)),
                ("tools", .array(tools.map { written($0, of: server, isWhole: false) })),
            ])
    }

    private static func unknown(_ name: String, _ server: ServerRecord) -> Refusal { .notFound("tool “\(shown(name))” of “\(server.alias)”") }
    private static func shown(_ name: String) -> String { name.cut(128).withoutControls }
}

/// A refusal whose answer tells more than the sentence.
struct DetailedRefusal: Error {
    let refusal: Refusal
    /// Members of the problem document, besides those that every one has.
    let details: [(String, JSONText?)]

    /// What was refused, and how much of it is told; nil for a fault of our own.
    static func found(in error: any Error) -> (refusal: Refusal, details: [(String, JSONText?)])? {
        if let detailed = error as? DetailedRefusal { return (detailed.refusal, detailed.details) }
        return (error as? Refusal).map { ($0, []) }
    }
}
