import Access
import Forwarding
import Gateway
import Logging
import Serving
import Storage
import Synchronization
import Upstreams

extension Assembly {
    /// The pins of all servers' tools, known before any server is asked.
    static func pinBook(_ database: Storage.Database, _ settings: Settings, _ logger: Logger, _ now: @escaping @Sendable () -> Moment) async throws
        -> PinBook
    {
        PinBook(try await database.allToolPins(), policy: settings.upstreams.toolChangePolicy.policy, logger: logger) { listing, server in
            let moment = now().wall
            return try await database.noteTools(listing, of: server.id, at: moment) { news in
                AuditRecord(
                    requestID: .random(), at: moment, tenant: server.tenant, server: server.id, action: news.isFirst ? "tool.pin" : "tool.change",
                    target: "\(server.alias): \(news.summary)")
            }
        }
    }

    /// What is committed holds with the next request.
    static func toolsDesk(_ database: Storage.Database, _ pins: PinBook, _ catalogue: Catalogue) -> ToolsDesk {
        ToolsDesk(
            policy: pins.policy, pins: { pins.pins(of: $0) },
            page: { try await database.pinnedTools(of: $0, states: $1, after: $2, limit: $3) }, tool: { try await database.pinnedTool($0, of: $1) },
            approve: { approval, server, audit in
                let done = try await database.approveTools(approval, of: server, audit: audit)
                pins.change(done.pins, of: server.id, order: done.order)
                catalogue.rejudge(server.id)
                return done.approved
            })
    }
}

extension Settings.Upstreams.ToolChangePolicy {
    var policy: ToolChangePolicy {
        switch self {
        case .hold: .hold
        case .report: .report
        }
    }
}

/// Where servers' notices go once there is somebody to hear them; before that, nobody is asked to tell any.
final class NoticeDoor: Sendable {
    private let hear = Mutex<(@Sendable (ServerID, UpstreamNotice) -> Void)?>(nil)

    func open(_ hear: @escaping @Sendable (ServerID, UpstreamNotice) -> Void) { self.hear.withLock { $0 = hear } }

    func tell(_ server: ServerID, _ notice: UpstreamNotice) { hear.withLock { $0 }?(server, notice) }
}

extension EndpointCondition {
    init(_ condition: ReplicaCondition) {
        self.init(
            endpoint: condition.endpoint, weight: condition.weight, state: condition.state.rawValue, faultsInRow: condition.faultsInRow,
            lastFault: condition.lastFault?.reason, lastFaultAt: condition.lastFault?.at, openedAt: condition.openedAt, underWay: condition.underWay,
            conversations: condition.conversations)
    }
}
