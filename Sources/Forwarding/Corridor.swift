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
    private let policy: Policy
    let rules: RuleBook
    private let admission: Admission
    private let gate: CallGate
    private let catalogue: Catalogue
    private let answers: Answers
    /// Bodies without `jsonrpc` and `id` are read as requests: the performance guide's load script. Evaluation only.
    private let acceptsShorthand: Bool

    package init(
        authenticator: Authenticator, policy: Policy, rules: RuleBook, admission: Admission, gate: CallGate, catalogue: Catalogue, answers: Answers,
        acceptsShorthand: Bool
    ) {
        self.authenticator = authenticator
        self.policy = policy
        self.rules = rules
        self.admission = admission
        self.gate = gate
        self.catalogue = catalogue
        self.answers = answers
        self.acceptsShorthand = acceptsShorthand
    }

    /// What was found out for a suspended request.
    struct Findings {
        var principal: Principal?
        /// What was left of the buckets when it was admitted: nobody pays twice for one request.
        var budgets: [Budget]?
        var isCatalogueWarm = false
        var isToolLookedUp = false
    }

    func decide(_ inbound: Inbound, after findings: Findings = Findings(), at now: Moment) -> Decision {
        var decision = Decision(outcome: .answer(nil))
        do {
            guard let principal = try findings.principal ?? authenticator.recognize(inbound.authorization, for: .mcp, at: now.wall) else {
                decision.outcome = .suspend(.unfamiliarToken)
                return decision
            }
            decision.principal = principal

            let message = try Message(parsing: inbound.body, allowingShorthand: acceptsShorthand)
            if case .request(let id, _, _) = message { decision.id = id }
            let reading = try Reading(message, headers: inbound.routing)
            guard case .request(let incoming) = reading else {
                if case .notification(let method, let revision) = reading { (decision.action, decision.era) = (method, revision.era) }
                decision.budgets = try findings.budgets ?? admission.admit(principal, at: now)
                return decision
            }
            decision.incoming = incoming
            decision.era = incoming.revision.era
            decision.action = incoming.operation.method

            try policy.require(incoming.operation, of: principal)
            if case .callTool = incoming.operation { try gate.checkRoom(for: principal) }
            decision.budgets = try findings.budgets ?? admission.admit(principal, incoming.operation, at: now)
            decision.outcome = try route(incoming, for: principal, findings, &decision.denial)
        } catch let refusal as Refusal {
            decision.outcome = .refuse(refusal)
            switch refusal {
            case .forbidden, .insufficientScope: payAnyway(&decision, findings, now)
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

    private func route(_ incoming: Incoming, for principal: Principal, _ findings: Findings, _ denial: inout ToolDenial?) throws -> Decision.Outcome {
        let era = incoming.revision.era
        switch incoming.operation {
        case .initialize: return .answer(answers.initialize(incoming.revision))
        case .ping: return .answer([:])
        case .discover: return .answer(answers.discover())
        case .listTools:
            guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
            let (table, isCold) = catalogue.table(of: principal.tenant)
            if isCold && !findings.isCatalogueWarm { return .suspend(.coldCatalogue) }
            guard let page = table.view(for: principal, under: rules).tools(after: try cursor(incoming), in: era) else {
                throw ProtocolError.invalidParams("The cursor is not one of this list; start again without one.")
            }
            return .answer(page)
        case .callTool(let name):
            guard let rules = rules.known(of: principal.tenant) else { return .suspend(.unknownRules) }
            let (table, isCold) = catalogue.table(of: principal.tenant)
            if let route = table.route(name) {
                do throws(ToolDenial) {
                    return .forward(
                        Dispatch(grant: try policy.grant(route.tool, to: principal, under: rules), incoming: incoming, upstream: route.upstream))
                } catch {
                    denial = error
                    if policy.mayKnow(error, owner: route.upstream.server.owner, principal) { throw error.refusal }
                }
            }
            // From here on a tool that is hidden from the caller is treated as one that does not exist, the waiting included.
            if isCold && !findings.isCatalogueWarm { return .suspend(.coldCatalogue) }
            let alias = ToolName.alias(in: name).flatMap { ServerAlias($0) }.flatMap { rules.showsAnything(of: $0, to: principal) ? $0 : nil }
            if !findings.isToolLookedUp { return .suspend(.unknownTool(name, mayAsk: alias != nil)) }
            // Whether a server that never listed its tools has this one is not known: what is known is why it was not asked.
            if let alias, let reason = catalogue.reasonForNoList(of: alias, in: principal.tenant) {
                throw Refusal.upstreamUnavailable(server: alias.description, reason: reason)
            }
            throw ProtocolError.unknownTool(name)
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
