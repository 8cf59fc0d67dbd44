import Access
package import Audit
package import Gateway
package import Identity
package import MCP
import Pacing
import Upstreams

/// Walks a request along the path of a call, waits where the corridor may not, and closes its record.
package struct Forwarder: Sendable {
    let corridor: Corridor
    let authenticator: Authenticator
    let admission: Admission
    let gate: CallGate
    let running: RunningCalls
    let catalogue: Catalogue
    let answers: Answers
    let audit: AuditTrail
    let metrics: CallMetrics
    let sessions: SessionTable
    let parking = Parking()
    let endedStreams = EndedStreams()
    let changes: Changes
    private let statusCode: @Sendable (ReplyStatus) -> Int
    let now: @Sendable () -> Moment

    /// - Parameter statusCode: the number that goes on record for a status; the listener's own.
    package init(
        corridor: Corridor, authenticator: Authenticator, admission: Admission, gate: CallGate, running: RunningCalls,
        catalogue: Catalogue, answers: Answers, audit: AuditTrail,
        metrics: CallMetrics,
        sessions: SessionTable, changes: Changes, statusCode: @escaping @Sendable (ReplyStatus) -> Int, now: @escaping @Sendable () -> Moment
    ) {
        self.corridor = corridor
        self.authenticator = authenticator
        self.admission = admission
        self.gate = gate
        self.running = running
        self.catalogue = catalogue
        self.answers = answers
        self.audit = audit
        self.metrics = metrics
        self.sessions = sessions
        self.changes = changes
        self.statusCode = statusCode
        self.now = now
    }

    /// Answers a request. When this returns, or the stream it returns has ended, the request is on record; notifications,
    /// which ask for nothing, are not recorded.
    package func reply(to inbound: Inbound) async -> Reply {
        let opened = now()
        var decision = corridor.decide(inbound, at: opened)
        var findings = Corridor.Findings()
        while case .suspend(let reason) = decision.outcome {
            findings.budgets = decision.budgets
            do throws(Refusal) {
                try await findOut(reason, inbound, decision, &findings)
                decision = corridor.decide(inbound, after: findings, at: now())
            } catch {
                decision.outcome = .refuse(error)
            }
        }
        if case .refuse(let refusal) = decision.outcome, case .unauthenticated(let reason) = refusal {
            payAsStranger(inbound, reason, &decision)
        }
        if decision.isOutOfReach { callOff(inbound, decision) }
        let closing = Closing(inbound: inbound, decision: decision, opened: opened, forwarder: self)
        var reply = await carryOut(closing)
        reply.user = decision.principal?.user
        return reply
    }

    private func carryOut(_ closing: Closing) async -> Reply {
        switch closing.decision.outcome {
        case .answer(let result): return await answer(result, closing)
        case .fail(let error): return await closing.fail(error)
        case .refuse(let refusal): return await closing.refuse(refusal)
        case .forward(let dispatch): return await forward(dispatch, closing)
        case .resume(let name): return await resume(name, closing)
        case .open(let incoming): return await open(incoming, closing)
        case .session(let session, let wish): return await change(session, wish, closing)
        case .listen(let interest): return await listen(interest, closing)
        case .suspend: return await closing.refuse(Self.undecided)
        }
    }

    /// Who shows no valid token pays from their address's bucket, and hears of that when it is empty.
    func payAsStranger(_ inbound: Inbound, _ reason: Refusal.UnauthenticatedReason, _ decision: inout Decision) {
        decision.blame = Refusal.unauthenticated(reason).isForgery ? .address : .nobody
        do { try admission.admitStranger(at: inbound.address, now()) } catch let refusal as Refusal {
            decision.outcome = .refuse(refusal)
            if reason == .missing { decision.blame = .address }
        } catch {
            decision.outcome = .refuse(.overloaded("The gateway cannot count calls at the moment, so it does not make them."))
        }
    }

    private func findOut(_ reason: Decision.Reason, _ inbound: Inbound, _ decision: Decision, _ findings: inout Corridor.Findings)
        async throws(Refusal)
    {
        switch reason {
        case .unfamiliarToken:
            do {
                findings.principal = try await authenticator.verify(inbound.authorization, for: inbound.resource, at: now().wall)
            } catch let refusal as Refusal {
                throw refusal
            } catch {
                throw .overloaded("Your token cannot be checked at the moment; try again.")
            }
        case .coldCatalogue:
            if let principal = decision.principal { await catalogue.warm(principal.tenant, only: inbound.resource.alias) }
            findings.isCatalogueWarm = true
        case .unknownRules:
            do { if let principal = decision.principal { _ = try await corridor.rules.rules(of: principal.tenant) } } catch {
                throw .overloaded("The rules about tools cannot be read at the moment; try again.")
            }
        case .unknownName(let alias):
            if let alias, let principal = decision.principal { _ = await catalogue.refresh(alias, of: principal.tenant) }
            findings.isNameLookedUp = true
        }
        if findings.principal == nil { findings.principal = decision.principal }
    }

    /// What no request should be told: the corridor hands on none without a caller and an id.
    static let undecided = Refusal.overloaded("The request could not be decided; try again.")

    private func answer(_ result: JSONText?, _ closing: Closing) async -> Reply {
        guard let result, let id = closing.decision.id else { return Reply(body: .none, status: .accepted, budgets: []) }
        return await closing.answer(Message.result(result, to: id))
    }

    private func forward(_ dispatch: Dispatch, _ closing: Closing) async -> Reply {
        // A call whose record could not be written is not made. The refusal is recorded too, or tried to be, so the
        // first record that gets through lets calls through again.
        guard audit.isHealthy else { return await closing.refuse(.auditUnavailable) }
        let pass: CallGate.Pass
        do throws(Refusal) { pass = try await enter(dispatch) } catch { return await closing.refuse(error) }
        // It may have waited.
        guard audit.isHealthy else { return await closing.refuse(.auditUnavailable) }
        if audit.durability == .strict {
            do throws(Refusal) { try await closing.intend() } catch { return await closing.refuse(error) }
        }
        guard let incoming = closing.decision.incoming else { return await closing.refuse(Self.undecided) }
        do {
            let run = try await CallRun.start(
                dispatch, incoming, closing.decision.session, isIdempotent: isIdempotent(dispatch), elicitations: changes.elicitations
            ) {
                await self.headers(of: dispatch, incoming, closing.inbound)
            }
            let ticket = running.add(of: dispatch.grant.principal) { run.abandon(.signedOut) }
            if await isSignedOut(closing.inbound) { run.abandon(.signedOut) }
            let leg = Leg(run: run, pass: pass, ticket: ticket, closing: closing, forwarder: self)
            return if let session = closing.decision.session { await follow(leg, session, incoming) } else { await follow(leg) }
        } catch {
            pass.leave()
            return await closing.give(up: error, dispatch)
        }
    }

    /// The headers of a call as the server's tools ask for them, listed anew; nil if there is no such tool any more that may be used.
    private func headers(of dispatch: Dispatch, _ incoming: Incoming, _ inbound: Inbound) async -> [(String, String)]? {
        guard case .callTool = dispatch.operation else { return nil }
        await catalogue.listAnew(dispatch.upstream.server.id)
        let (table, _) = catalogue.table(of: dispatch.grant.principal.tenant, only: inbound.resource.alias)
        guard let route = table.route(for: dispatch.operation), route.upstream === dispatch.upstream else { return nil }
        return route.parameters.headers(for: incoming.params?["arguments"], besides: inbound.routing.travelling)
    }

    /// Whether the server's owner said of the tool that is called that twice is as good as once.
    private func isIdempotent(_ dispatch: Dispatch) -> Bool {
        guard case .callTool = dispatch.operation, let name = dispatch.request.name else { return false }
        return catalogue.idempotentTools(of: dispatch.upstream.server.id).contains(ExactName(name))
    }

    /// Whether the credential was refused since it was looked at: whoever ended the calls made with it could not find this one.
    func isSignedOut(_ inbound: Inbound) async -> Bool {
        let moment = now().wall
        if authenticator.familiar(inbound.authorization, at: moment) != nil { return false }
        do {
            _ = try await authenticator.verify(inbound.authorization, for: inbound.resource, at: moment)
            return false
        } catch {
            return error is Refusal
        }
    }

    /// Waits for a place among the calls that are under way to the server.
    private func enter(_ dispatch: Dispatch) async throws(Refusal) -> CallGate.Pass {
        let (server, principal) = (dispatch.upstream.server, dispatch.grant.principal)
        return try await gate.enter(
            server.id, named: server.alias.description, principal, weight: admission.terms(of: principal.tenant).weight, at: now().boot)
    }

    static func refusal(_ error: any Error, _ server: String) -> Refusal {
        guard let failure = error as? UpstreamFailure else { return .upstreamUnavailable(server: server, reason: "the gateway could not ask it") }
        if case .resting(let reason, let wait) = failure { return .upstreamUnavailable(server: server, reason: reason, retryAfter: wait) }
        return failure.mayHaveActed
            ? .outcomeUnknown(server: server, reason: failure.reason) : .upstreamUnavailable(server: server, reason: failure.reason)
    }

    /// The last step of every request: its answer in the caller's terms, and its record on disk before that leaves.
    struct Closing: Sendable {
        let inbound: Inbound
        var decision: Decision
        let opened: Moment
        let forwarder: Forwarder

        func answer(_ result: consuming Result<JSON, ProtocolError>) async -> Reply {
            // While its record is written an answer lies here once, and not also as the server gave it.
            switch message(of: consume result) {
            case .success((let message, let isError)):
                return await close(message, .answered, isError ? .failed : .ok, reason: isError ? "tool_error" : "")
            case .failure(let error): return await fail(error, .failed)
            }
        }

        private func message(of result: consuming Result<JSON, ProtocolError>) -> Result<(JSONText, isError: Bool), ProtocolError> {
            let isError = if case .success(let result) = result { result["isError"]?.bool ?? false } else { false }
            return read(result).map { (Message.result($0, to: decision.id ?? MessageID(0)), isError) }
        }

        /// What went wrong on the way to a server, or at it.
        func give(up error: any Error, _ dispatch: Dispatch) async -> Reply {
            if case UpstreamFailure.credential(let sentence) = error { return await tell(sentence, dispatch) }
            if case UpstreamFailure.abandoned = error { return await withdraw(dispatch) }
            return await refuse(Forwarder.refusal(error, dispatch.upstream.alias))
        }

        /// The client took its request back, or went away; what it may have done it may have done.
        private func withdraw(_ dispatch: Dispatch) async -> Reply {
            let refusal = Refusal.outcomeUnknown(server: dispatch.upstream.alias, reason: UpstreamFailure.abandoned.reason)
            let reason = decision.session == nil ? "client_gone" : "cancelled"
            return await close(ProtocolError(refusal).response(to: decision.id), .answered, .cancelled, reason: reason)
        }

        /// What the caller's user has to do before the tool can do anything, as the tool's own failure: clients show it to them.
        private func tell(_ sentence: String, _ dispatch: Dispatch) async -> Reply {
            // Only tools have failures of their own.
            guard case .callTool = dispatch.operation else { return await fail(ProtocolError(code: -32603, message: sentence), .failed) }
            let result: JSONText = ["content": [["type": "text", "text": .string(sentence)]], "isError": true]
            guard let json = try? JSON(parsing: result.bytes), case .success(let answer) = read(.success(json)) else {
                return await refuse(.overloaded(sentence))
            }
            return await close(Message.result(answer, to: decision.id ?? MessageID(0)), .answered, .failed, reason: "credential")
        }

        func answer(_ message: JSONText, reason: String = "", session: String? = nil) async -> Reply {
            var reply = await close(message, .answered, .ok, reason: reason)
            if reply.status == .answered { reply.session = session }
            return reply
        }

        /// - Parameter outcome: `refused` for an error of the gateway's own, `failed` for a server's.
        func fail(_ error: ProtocolError, _ outcome: AuditRecord.Outcome = .refused) async -> Reply {
            let status: ReplyStatus =
                switch error.place {
                case .envelope: .defectiveEnvelope
                // A legacy client may take 404 for the end of its session.
                case .method: decision.era == .modern ? .unknownMethod : .answered
                case .session: .unknownSession
                case .handler: .answered
                }
            return await close(error.response(to: decision.id), status, outcome, reason: denialReason ?? "\(error.code)")
        }

        func refuse(_ refusal: Refusal) async -> Reply {
            let outcome: AuditRecord.Outcome = if case .outcomeUnknown = refusal { .unknown } else { .refused }
            let message = ProtocolError(refusal).response(to: decision.id)
            let status = Self.status(of: refusal, in: decision.era)
            let reply = await close(message, status, outcome, reason: denialReason ?? refusal.reason)
            switch reply.status {
            case .unauthenticated, .insufficientScope:
                return Reply(body: .unauthenticated(refusal), status: reply.status, budgets: reply.budgets, blame: reply.blame)
            default: return reply
            }
        }

        /// The record tells of a tool that was denied also where the caller was told that there is none.
        private var denialReason: String? { decision.denial.map { "forbidden.\($0.decision.reason)" } }

        /// What a server answered, in the words of the caller's era.
        func read(_ result: Result<JSON, ProtocolError>) -> Result<JSONText, ProtocolError> {
            switch result {
            case .success(let value):
                do throws(ProtocolError) {
                    let dispatch = decision.dispatch
                    if let task = try handle(value) { return .success(task) }
                    try checkQuestions(ofTask: value)
                    return .success(
                        try forwarder.answers.result(
                            value, of: decision.incoming?.operation ?? .ping, dispatch?.naming ?? .verbatim, in: decision.era))
                } catch {
                    return .failure(error)
                }
            case .failure(let error):
                let asked = decision.dispatch?.request.name
                return .failure(Answers.relayed(error, of: decision.incoming?.operation, asked: asked, in: decision.era))
            }
        }

        /// A result that is a task's handle, as the client gets it; nil for any other.
        private func handle(_ result: JSON) throws(ProtocolError) -> JSONText? {
            guard case .callTool(let tool)? = decision.incoming?.operation, let id = TaskHandle.id(in: result), let server = decision.serverID,
                let principal = decision.principal
            else { return nil }
            guard decision.incoming?.capabilities?.extensions.contains(.tasks) ?? false else { throw .tasksNotDeclared(in: decision.era) }
            let binding = StateSeal.taskBinding(inbound.resource, principal)
            guard let sealed = try? forwarder.corridor.seal.seal(TaskHandle(server: server, tool: tool, id: id).bytes, binding) else {
                throw ProtocolError(code: -32603, message: "The task was made, and its handle could not be sealed.")
            }
            return forwarder.answers.task(result, as: sealed)
        }

        /// A task asks no more than a call may.
        private func checkQuestions(ofTask result: JSON) throws(ProtocolError) {
            guard case .getTask? = decision.incoming?.operation, let allowed = decision.dispatch?.upstream.server.questions else { return }
            let unasked = InputRequired.questions(ofTask: result).first { !allowed.contains($0.kind.general) }
            if let unasked { throw .cannotBeAsked(unasked.kind, in: .modern) }
        }

        private func close(_ message: JSONText, _ status: ReplyStatus, _ outcome: AuditRecord.Outcome, reason: String = "") async -> Reply {
            do throws(Refusal) {
                try await record(status, outcome, reason)
                return Reply(body: .message(message), status: status, budgets: decision.budgets ?? [], blame: blame(status))
            } catch {
                // Whoever sees an answer may rely on its record, so the answer is withheld; what is said instead tells
                // whether anything may have happened.
                let wasSent = if case .forward = decision.outcome { outcome != .refused } else { false }
                let refusal = wasSent ? Refusal.unrecorded : error
                return Reply(body: .message(ProtocolError(refusal).response(to: decision.id)), status: .unavailable(retryAfter: nil), budgets: [])
            }
        }

        private func blame(_ status: ReplyStatus) -> Blame {
            guard let principal = decision.principal else { return decision.blame }
            switch status {
            case .throttled, .defectiveEnvelope, .unknownMethod, .forbidden, .insufficientScope: return .account(principal.user)
            default: return .nobody
            }
        }

        func record(_ status: ReplyStatus, _ outcome: AuditRecord.Outcome, _ reason: String) async throws(Refusal) {
            try await forwarder.audit.record(entry(status, outcome, reason))
        }

        /// For a caller who is gone and waits for nothing.
        func recordSoon(_ status: ReplyStatus, _ outcome: AuditRecord.Outcome, _ reason: String) {
            forwarder.audit.recordSoon(entry(status, outcome, reason))
        }

        /// Puts on record that the call is about to be sent.
        func intend() async throws(Refusal) { try await forwarder.audit.recordDurably(row(.answered, .intended, "")) }

        private func entry(_ status: ReplyStatus, _ outcome: AuditRecord.Outcome, _ reason: String) -> AuditRecord {
            let record = row(status, outcome, reason)
            forwarder.metrics.count(record)
            if let principal = decision.principal {
                forwarder.sessions.note(
                    principal, client: decision.incoming?.client, era: decision.era == .modern ? "modern" : "legacy", action: record.action,
                    target: record.target,
                    isError: outcome == .failed || outcome == .unknown, at: opened.wall)
            }
            return record
        }

        private func row(_ status: ReplyStatus, _ outcome: AuditRecord.Outcome, _ reason: String) -> AuditRecord {
            let elapsed = Duration.nanoseconds(forwarder.now().boot.nanoseconds - opened.boot.nanoseconds)
            return AuditRecord(
                requestID: inbound.requestID, at: opened.wall, user: decision.principal?.user, tenant: decision.principal?.tenant,
                server: decision.serverID, action: decision.action, target: decision.incoming?.operation.target ?? "", outcome: outcome,
                reason: reason,
                status: forwarder.statusCode(status),
                duration: elapsed, address: inbound.address?.description ?? "")
        }

        /// A client of the legacy era may give up its whole connection over an error status, so what concerns one
        /// request alone is answered 200 there, as an error in JSON-RPC.
        private static func status(of refusal: Refusal, in era: Revision.Era) -> ReplyStatus {
            switch refusal {
            case .unauthenticated: .unauthenticated
            // Of either era: clients ask for more when they are told what it takes (RFC 6750, section 3.1).
            case .insufficientScope: .insufficientScope
            case .forbidden: era == .modern ? .forbidden : .answered
            case .throttled(let throttle): .throttled(throttle)
            case .blocked(let wait): .blocked(retryAfter: wait)
            case .overloaded, .auditUnavailable, .unrecorded: .unavailable(retryAfter: refusal.retryAfter)
            case .notFound, .invalid, .conflict, .upstreamUnavailable, .outcomeUnknown: .answered
            }
        }
    }
}

extension Decision {
    var dispatch: Dispatch? {
        switch outcome {
        case .forward(let dispatch), .session(_, .subscribe(_, let dispatch)), .session(_, .unsubscribe(_, let dispatch)): dispatch
        default: nil
        }
    }

    var serverID: ServerID? { dispatch?.upstream.server.id }
}

extension Upstream {
    var alias: String { server.alias.description }
}
