package import Access
import Gateway
package import Identity
package import MCP
import Pacing
import Upstreams

/// The path of one call up to the door of its server, as one decision over values in memory and one LMDB transaction:
///
///     Authentication → Reading → Authorization → Admission → Router
///
/// It never waits. What cannot be decided from memory is suspended, found out by the `Forwarder`, and decided again.
package struct Corridor: Sendable {
    private let authenticator: Authenticator
    let policy: Policy
    let rules: RuleBook
    private let admission: Admission
    private let gate: CallGate
    private let catalogue: Catalogue
    private let answers: Answers
    let sessions: ClientSessions
    let seal: StateSeal
    /// Bodies without `jsonrpc` and `id` are read as requests: the performance guide's load script. Evaluation only.
    private let acceptsShorthand: Bool

    package init(
        authenticator: Authenticator, policy: Policy, rules: RuleBook, admission: Admission, gate: CallGate, catalogue: Catalogue, answers: Answers,
        sessions: ClientSessions, seal: StateSeal, acceptsShorthand: Bool
    ) {
        self.authenticator = authenticator
        self.policy = policy
        self.rules = rules
        self.admission = admission
        self.gate = gate
        self.catalogue = catalogue
        self.answers = answers
        self.sessions = sessions
        self.seal = seal
        self.acceptsShorthand = acceptsShorthand
    }

    /// What was found out for a suspended request.
    struct Findings {
        var principal: Principal?
        /// What was left of the buckets when it was admitted: nobody pays twice for one request.
        var budgets: [Budget]?
        var isCatalogueWarm = false
        var isNameLookedUp = false
    }

    func decide(_ inbound: Inbound, after findings: Findings = Findings(), at now: Moment) -> Decision {
        var decision = Decision(outcome: .answer(nil))
        do {
            guard let principal = try findings.principal ?? authenticator.recognize(inbound.authorization, for: inbound.resource, at: now.wall) else {
                decision.outcome = .suspend(.unfamiliarToken)
                return decision
            }
            decision.principal = principal

            let message = try Message(parsing: inbound.body, allowingShorthand: acceptsShorthand) { decision.id = $0 }
            if case .request(let id, _, _) = message { decision.id = id }
            let reading = try Reading(message, headers: inbound.routing)
            decision.session = try session(of: reading, inbound, principal)
            guard case .request(let read) = reading else {
                note(reading, &decision)
                decision.budgets = try findings.budgets ?? admission.admit(principal, at: now)
                return decision
            }
            // What was agreed in the handshake holds, whatever the header says or does not say.
            let incoming = decision.session.map { read.speaking($0.revision) } ?? read
            decision.incoming = incoming
            decision.era = incoming.revision.era
            decision.action = incoming.operation.method

            try policy.require(incoming.operation, of: principal)
            // Who comes back to a request that waits for them has its place already; any other is looked at again at the gate.
            if incoming.operation.goesToServer && incoming.requestState == nil { try gate.checkRoom(for: principal) }
            decision.budgets = try findings.budgets ?? admission.admit(principal, incoming.operation, of: inbound.resource.alias, at: now)
            decision.outcome = try route(incoming, inbound, for: principal, findings, &decision, now)
        } catch let refusal as Refusal {
            decision.outcome = .refuse(refusal)
            switch refusal {
            case .forbidden, .insufficientScope:
                decision.isOutOfReach = true
                payAnyway(&decision, findings, now)
            default: break
            }
        } catch let error as ProtocolError {
            decision.outcome = .fail(error)
            payAnyway(&decision, findings, now)
            if decision.incoming == nil { decision.era = Self.era(of: inbound.routing) }
        } catch {
            // Only the buckets can fail otherwise, and a caller who cannot be counted is not let in.
            decision.outcome = .refuse(.overloaded("The gateway cannot count calls at the moment, so it does not make them."))
        }
        return decision
    }

    /// Who reads a stream of a session, or is done with it: nil if that takes a look at the token first.
    func session(for inbound: Inbound, as known: Principal? = nil, at now: Moment) throws -> (Principal, ClientSession)? {
        guard let principal = try known ?? authenticator.recognize(inbound.authorization, for: inbound.resource, at: now.wall) else { return nil }
        try policy.require(.ping, of: principal)
        guard let id = inbound.routing.sessionID.first, inbound.routing.sessionID.count == 1 else { throw ProtocolError.missingSession }
        guard let session = sessions.find(id, of: principal, at: inbound.resource) else { throw ProtocolError.unknownSession }
        return (principal, session)
    }

    /// The session a message of the handshake era names. One that is unknown, over or somebody else's is none (L-3); the newer
    /// era has none, and a name left over from a former conversation means nothing there (ERA-3).
    private func session(of reading: Reading, _ inbound: Inbound, _ principal: Principal) throws -> ClientSession? {
        switch reading {
        case .request(let incoming) where incoming.revision.era == .modern || incoming.operation == .initialize: return nil
        case .notification(_, _, let revision) where revision.era == .modern: return nil
        default: break
        }
        guard let id = inbound.routing.sessionID.first else { return nil }
        guard inbound.routing.sessionID.count == 1, let session = sessions.find(id, of: principal, at: inbound.resource) else {
            throw ProtocolError.unknownSession
        }
        return session
    }

    /// Messages that ask for no answer.
    private func note(_ reading: Reading, _ decision: inout Decision) {
        switch reading {
        case .notification(let method, let params, let revision):
            (decision.action, decision.era) = (method, revision.era)
            if method == "notifications/cancelled", let id = params?["requestId"].flatMap({ MessageID($0) }) { decision.session?.cancel(id) }
        case .response(let id, let result): decision.session?.answer(id, result)
        case .request: break
        }
    }

    /// What is refused for its form, or for whose it is, is paid for like what is answered.
    private func payAnyway(_ decision: inout Decision, _ findings: Findings, _ now: Moment) {
        guard let principal = decision.principal, decision.budgets == nil else { return }
        if let budgets = findings.budgets { return decision.budgets = budgets }
        do { decision.budgets = try admission.admit(principal, at: now) } catch let refusal as Refusal {
            decision.outcome = .refuse(refusal)
        } catch {
            decision.outcome = .refuse(.overloaded("The gateway cannot count calls at the moment, so it does not make them."))
        }
    }

    private func route(
        _ incoming: Incoming, _ inbound: Inbound, for principal: Principal, _ findings: Findings, _ decision: inout Decision, _ now: Moment
    ) throws -> Decision.Outcome {
        let era = incoming.revision.era
        if let alias = inbound.resource.alias, incoming.operation.isAboutEndpoint {
            guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
            guard catalogue.has(alias, in: principal.tenant), rules.showsAnything(of: alias, to: principal) else {
                decision.isOutOfReach = true
                throw ProtocolError.unknownServer(alias)
            }
        }
        switch incoming.operation {
        case .initialize: return .open(incoming)
        case .ping: return .answer(answers.empty(in: era))
        case .discover:
            let server = offer(inbound.resource, principal)
            return .answer(answers.discover(instructions: instructions(inbound.resource, principal), of: server))
        case .setLogLevel:
            guard let session = decision.session else { throw ProtocolError.needsSession(incoming.operation.method) }
            guard let level = incoming.params?["level"]?.string.flatMap({ LogLevel(rawValue: $0) }) else {
                throw ProtocolError.invalidParams("\"level\" is no level of log messages.")
            }
            return .session(session, .logLevel(level))
        case .list(let kind):
            guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
            let (table, isCold) = catalogue.table(of: principal.tenant, only: inbound.resource.alias)
            if isCold && !findings.isCatalogueWarm { return .suspend(.coldCatalogue) }
            let binding = StateSeal.cursorBinding(kind, inbound.resource, principal)
            let key = try cursor(incoming).map { cursor throws(ProtocolError) in
                guard let key = seal.open(cursor, binding) else { throw .staleCursor }
                return String(decoding: key, as: UTF8.self)
            }
            guard let page = table.view(kind, for: principal, under: rules, in: era).page(after: key) else { throw ProtocolError.staleCursor }
            return .answer(page.text(nextCursor: try page.next.map { try seal.seal(Array($0.utf8), binding) }))
        case .listen:
            guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
            guard inbound.takesEvents else { throw ProtocolError.needsEventStream }
            var interest = try Interest(incoming.params?["notifications"])
            let (table, _) = catalogue.table(of: principal.tenant, only: inbound.resource.alias)
            // What the caller may not read is not honoured (S-28).
            interest.resources = interest.resources.filter { uri in
                table.route(resource: uri).map { rules.permits(principal, besidesTools: $0.upstream.server.alias) } ?? false
            }
            return .listen(interest)
        case .getTask(let task), .updateTask(let task), .cancelTask(let task):
            return try askAfter(task, incoming, inbound, for: principal, findings, &decision)
        case .callTool, .getPrompt, .readResource, .completePrompt, .completeResource, .subscribe, .unsubscribe:
            return try forward(incoming, inbound, for: principal, findings, &decision, now)
        }
    }

    private func forward(
        _ incoming: Incoming, _ inbound: Inbound, for principal: Principal, _ findings: Findings, _ decision: inout Decision, _ now: Moment
    ) throws -> Decision.Outcome {
        guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
        let (table, isCold) = catalogue.table(of: principal.tenant, only: inbound.resource.alias)
        let naming = { (route: Route) in inbound.resource.alias == nil ? Naming.prefixed(route.upstream.server.alias) : .verbatim }
        if let route = table.route(for: incoming.operation), let grant = try grant(route, to: principal, under: rules, &decision.denial) {
            var changes: [(String, JSONText?)] = []
            var replica: Int?
            if era(of: incoming) == .modern, incoming.requestState != nil {
                switch try carried(incoming, inbound, principal, now) {
                case .parked(let name): return .resume(name)
                case .passed(let server, let place, let state):
                    guard server == route.upstream.server.id else { throw ProtocolError.staleState }
                    replica = place
                    changes = [("inputResponses", incoming.inputResponses?.text), ("requestState", state.map { .string($0) })]
                }
            }
            var request = incoming.outgoing(as: route.name, changes: changes)
            request.capabilities = (incoming.capabilities ?? decision.session?.capabilities ?? .none).limited(to: route.upstream.server.questions)
            request.logLevel = era(of: incoming) == .modern ? incoming.logLevel : decision.session?.logLevel
            let arguments = incoming.params?["arguments"]
            if era(of: incoming) == .modern { try route.parameters.check(inbound.routing.travelling, against: arguments) }
            request.headers = route.parameters.headers(for: arguments, besides: inbound.routing.travelling)
            let dispatch = Dispatch(
                grant: grant, request: request, upstream: route.upstream, naming: naming(route), operation: incoming.operation,
                replica: replica)
            switch incoming.operation {
            case .subscribe(let uri), .unsubscribe(let uri):
                guard let session = decision.session else { throw ProtocolError.needsSession(incoming.operation.method) }
                return .session(session, incoming.operation == .subscribe(uri) ? .subscribe(uri, dispatch) : .unsubscribe(uri, dispatch))
            default: return .forward(dispatch)
            }
        }
        if case .callTool(let name) = incoming.operation {
            let exposed = inbound.resource.alias.map { ToolName.exposed(name, of: $0) } ?? name
            if let (tool, owner) = catalogue.held(exposed, of: principal.tenant) {
                let held = policy.denial(ofHeld: tool, to: principal, under: rules)
                decision.denial = held
                if policy.mayKnow(held, owner: owner, principal) { throw held.refusal }
            }
        }
        // From here on what is hidden from the caller is treated as what does not exist, the waiting included.
        if isCold && !findings.isCatalogueWarm { return .suspend(.coldCatalogue) }
        let alias = (inbound.resource.alias ?? Self.alias(in: incoming.operation)).flatMap { rules.showsAnything(of: $0, to: principal) ? $0 : nil }
        if !findings.isNameLookedUp { return .suspend(.unknownName(of: alias)) }
        // Whether a server that never listed anything has this is not known: what is known is why it was not asked.
        if let alias, let reason = catalogue.reasonForNoList(of: alias, in: principal.tenant) {
            throw Refusal.upstreamUnavailable(server: alias.description, reason: reason)
        }
        decision.isOutOfReach = true
        throw ProtocolError.unknown(incoming.operation, in: incoming.revision.era)
    }

    /// The parked request that somebody comes back to, if that is what they do.
    func parked(_ inbound: Inbound, _ decision: Decision, at now: Moment) -> String? {
        guard let incoming = decision.incoming, incoming.requestState != nil, incoming.revision.era == .modern, let principal = decision.principal,
            case .parked(let name)? = try? carried(incoming, inbound, principal, now)
        else { return nil }
        return name
    }

    /// A task is asked after where it was made, by whoever made it, as long as they may use its tool.
    private func askAfter(
        _ task: String, _ incoming: Incoming, _ inbound: Inbound, for principal: Principal, _ findings: Findings, _ decision: inout Decision
    ) throws -> Decision.Outcome {
        guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
        guard let handle = seal.open(task, StateSeal.taskBinding(inbound.resource, principal)).flatMap({ TaskHandle($0) }) else {
            throw ProtocolError.unknownTask
        }
        let (table, isCold) = catalogue.table(of: principal.tenant, only: inbound.resource.alias)
        if isCold && !findings.isCatalogueWarm { return .suspend(.coldCatalogue) }
        guard let route = table.route(handle.tool), route.upstream.server.id == handle.server,
            let grant = try grant(route, to: principal, under: rules, &decision.denial)
        else { throw ProtocolError.unknownTask }
        var request = incoming.outgoing(as: handle.id)
        request.capabilities = incoming.capabilities ?? .none
        let naming = inbound.resource.alias == nil ? Naming.prefixed(route.upstream.server.alias) : .verbatim
        return .forward(Dispatch(grant: grant, request: request, upstream: route.upstream, naming: naming, operation: incoming.operation))
    }

    private func era(of incoming: Incoming) -> Revision.Era { incoming.revision.era }

    /// Policy's permission; nil where the caller is not to hear why not.
    private func grant(_ route: Route, to principal: Principal, under rules: ToolRules, _ denial: inout ToolDenial?) throws -> Grant? {
        guard let tool = route.tool else { return policy.grant(besidesTools: route.upstream.server.alias, to: principal, under: rules) }
        do throws(ToolDenial) { return try policy.grant(tool, to: principal, under: rules) } catch {
            denial = error
            if policy.mayKnow(error, owner: route.upstream.server.owner, principal) { throw error.refusal }
            return nil
        }
    }

    /// What the client carried since it was asked something.
    private func carried(_ incoming: Incoming, _ inbound: Inbound, _ principal: Principal, _ now: Moment) throws(ProtocolError) -> CarriedState {
        guard let text = incoming.requestState, let plain = seal.open(text, StateSeal.stateBinding(incoming, inbound.resource, principal)),
            let state = CarriedState(plain, at: now.wall)
        else { throw .staleState }
        return state
    }

    /// What the gateway tells of itself, or on the endpoint of one server what that tells.
    func instructions(_ resource: Resource, _ principal: Principal) -> String? {
        guard let alias = resource.alias, let rules = rules.known(of: principal.tenant), rules.showsAnything(of: alias, to: principal) else {
            return nil
        }
        return catalogue.upstreams(of: principal.tenant, only: alias).first?.knownOffer?.instructions ?? ""
    }

    /// What the one server of an endpoint offers; nil if that is not known so far, or it says nothing of it. Who is told of less than there is
    /// asks again in a minute; sessions, which last for a day, are told of everything.
    private func offer(_ resource: Resource, _ principal: Principal) -> ServerOffer? {
        guard let alias = resource.alias, let rules = rules.known(of: principal.tenant), rules.showsAnything(of: alias, to: principal) else {
            return nil
        }
        // Has a server asked anew that was asked long ago.
        _ = catalogue.table(of: principal.tenant, only: alias)
        return catalogue.upstreams(of: principal.tenant, only: alias).first?.knownOffer.flatMap { $0.kinds.isEmpty ? nil : $0 }
    }

    /// The server that a name points to.
    private static func alias(in operation: Operation) -> ServerAlias? {
        switch operation {
        case .callTool(let name), .getPrompt(let name), .completePrompt(let name): ToolName.alias(in: name).flatMap { ServerAlias($0) }
        case .readResource(let uri), .completeResource(let uri), .subscribe(let uri), .unsubscribe(let uri): ResourceURI.resolved(uri)?.alias
        default: nil
        }
    }

    private func cursor(_ incoming: Incoming) throws(ProtocolError) -> String? {
        guard let cursor = incoming.cursor, !cursor.isNull else { return nil }
        guard let text = cursor.string else { throw .invalidParams("\"cursor\" is a string.") }
        return text
    }

    /// In whose words a defective envelope is answered.
    private static func era(of routing: RoutingHeaders) -> Revision.Era {
        routing.protocolVersion.first.map { $0 > Revision.november2025.rawValue } ?? false ? .modern : .legacy
    }
}

extension Operation {
    /// Whether it asks what the endpoint is or has: what there is none of has nothing.
    fileprivate var isAboutEndpoint: Bool {
        switch self {
        case .initialize, .discover, .list, .listen: true
        default: false
        }
    }

    /// Whether it takes a place among the requests under way to a server.
    fileprivate var goesToServer: Bool {
        switch self {
        case .callTool, .getPrompt, .readResource, .completePrompt, .completeResource, .getTask, .updateTask, .cancelTask: true
        default: false
        }
    }
}

extension RouteTable {
    func route(for operation: Operation) -> Route? {
        switch operation {
        case .callTool(let name): route(name, .tools)
        case .getPrompt(let name), .completePrompt(let name): route(name, .prompts)
        case .readResource(let uri), .completeResource(let uri), .subscribe(let uri), .unsubscribe(let uri): route(resource: uri)
        default: nil
        }
    }
}
