import Access
import Audit
import Gateway
import MCP
import Synchronization
import Upstreams

/// One request under way at a server, with what it holds here.
struct Leg: Sendable {
    let run: CallRun
    /// Its place among the requests under way to the server.
    let pass: CallGate.Pass
    /// Its place among what ends with the caller's credential.
    let ticket: Int
    let closing: Forwarder.Closing
    let forwarder: Forwarder

    /// It is over here, however it ended.
    func leave() {
        pass.leave()
        forwarder.running.remove(ticket)
    }
}

extension Forwarder {
    /// How long a reply waits for its first message before it becomes a stream, and how long a stream may be silent.
    static let patience = Duration.seconds(15)

    // MARK: Clients whose connection is the request

    /// Reads on until the answer. What comes before it, or a silence, makes the reply a stream (S-20). When the client's
    /// connection is gone, so is the request (S-23); of a stream, its reader says so.
    func follow(_ leg: Leg) async -> Reply {
        let stopWatching = leg.closing.inbound.caller.whenGone { leg.run.abandon(.abandoned) }
        let first = await leg.run.next(orSilenceAfter: Self.patience)
        stopWatching()
        if first.isLast { return await end(leg, with: consume first) }
        let waiting = Waiting(first)
        let stream = ReplyStream { wait in
            let part = if let first = waiting.take() { first } else { await leg.run.next(orSilenceAfter: wait) }
            if waiting.isEnded { return nil }
            if part.isLast {
                guard waiting.end(), case .message(let message) = await self.end(leg, with: consume part).body else { return nil }
                return .message(message, id: nil)
            }
            return if case .message(let message, _) = part { .message(message, id: nil) } else { .silence }
        } leave: {
            guard waiting.end() else { return }
            leg.leave()
            leg.run.abandon(.abandoned)
            leg.closing.recordSoon(.answered, .cancelled, "client_gone")
        }
        return Reply(body: .stream(stream), status: .answered, budgets: leg.closing.decision.budgets ?? [])
    }

    /// The last reply; of a part that is not the end, that it cannot be told.
    func end(_ leg: Leg, with part: consuming CallRun.Part) async -> Reply {
        switch consume part {
        case .message, .silence:
            leg.leave()
            return await leg.closing.refuse(Self.undecided)
        case .answer(let result):
            leg.leave()
            return await leg.closing.answer(consume result)
        case .failure(let error):
            leg.leave()
            return await leg.closing.give(up: error, leg.run.dispatch)
        case .asks(let required):
            leg.leave()
            return await pass(required, leg)
        case .parked(let questions): return await park(leg, questions)
        }
    }

    // MARK: Questions to stateless clients

    /// The server remembers by a state of its own, which the client carries under a seal.
    private func pass(_ required: InputRequired, _ leg: Leg) async -> Reply {
        let state = CarriedState.passed(server: leg.run.dispatch.upstream.server.id, replica: leg.run.replica, state: required.state)
        return await ask(required.questions, leg, state, for: CarriedState.lifetime)
    }

    /// The server waits, and so does the request.
    private func park(_ leg: Leg, _ questions: [(key: String, question: ServerQuestion)]) async -> Reply {
        let name = RequestID.random().description
        let (run, principal) = (leg.run, leg.run.dispatch.grant.principal)
        // With the credential ends the call at the server, and what it holds here too while nobody is there to let go of it.
        running.remove(leg.ticket)
        let ticket = running.add(of: principal) {
            run.abandon(.signedOut)
            callOff(name, .signedOut)
        }
        let parked = Parking.Parked(run: run, pass: leg.pass, ticket: ticket, user: principal.user)
        guard parking.park(parked, as: name, onExpiry: { callOff(name, .abandoned) }) else {
            leg.leave()
            running.remove(ticket)
            run.abandon(.abandoned)
            return await leg.closing.refuse(.overloaded("Too many requests of yours wait for your answer to a question of a server's."))
        }
        // Whoever ended the calls of this credential meanwhile may have looked before it was parked.
        if await isSignedOut(leg.closing.inbound) { callOff(name, .signedOut) }
        return await ask(questions, leg, .parked(name), for: Parking.longestStay)
    }

    /// Ends a request that is parked under that name, if there is one.
    private func callOff(_ name: String, _ why: UpstreamFailure) {
        guard let parked = parking.leave(name) else { return }
        parked.pass.leave()
        running.remove(parked.ticket)
        parked.run.abandon(why)
    }

    /// Whoever comes back to a parked request and may no longer make it will not be let back to it, so it does not wait on.
    func callOff(_ inbound: Inbound, _ decision: Decision) {
        if let name = corridor.parked(inbound, decision, at: now()) { callOff(name, .signedOut) }
    }

    private func ask(
        _ questions: [(key: String, question: ServerQuestion)], _ leg: Leg, _ state: CarriedState, for lifetime: Duration
    ) async -> Reply {
        guard let incoming = leg.closing.decision.incoming, let principal = leg.closing.decision.principal, let id = leg.closing.decision.id else {
            return await leg.closing.refuse(Self.undecided)
        }
        let capabilities = (incoming.capabilities ?? .none).limited(to: leg.run.dispatch.upstream.server.questions)
        if let unasked = questions.first(where: { !capabilities.permits($0.question) }) {
            return await leg.closing.fail(.cannotBeAsked(unasked.question.kind, in: .modern), .failed)
        }
        do {
            let sealed = try corridor.seal.seal(
                state.bytes(until: now().wall.advanced(by: lifetime)), StateSeal.stateBinding(incoming, leg.closing.inbound.resource, principal))
            let answer = answers.inputRequired(questions, state: sealed, asker: leg.run.dispatch.asker)
            return await leg.closing.answer(Message.result(answer, to: id), reason: "input_required")
        } catch {
            return await leg.closing.refuse(.overloaded("What you would have to carry for the server could not be sealed."))
        }
    }

    /// The client comes back to a request that waits.
    func resume(_ name: String, _ closing: Closing) async -> Reply {
        // What cannot be put on record is not answered; the request waits on.
        guard audit.isHealthy else { return await closing.refuse(.auditUnavailable) }
        guard let parked = parking.leave(name), parked.user == closing.decision.principal?.user else { return await closing.fail(.staleState) }
        var resumed = closing
        resumed.decision.outcome = .forward(parked.run.dispatch)
        let leg = Leg(run: parked.run, pass: parked.pass, ticket: parked.ticket, closing: resumed, forwarder: self)
        let open = await parked.run.settle(closing.decision.incoming?.inputResponses)
        // Who comes back without an answer is asked again (M-4).
        if !open.isEmpty { return await park(leg, open) }
        return await follow(leg)
    }
}

/// What a stream has read ahead, and whether its answer was read.
private final class Waiting: Sendable {
    private let state: Mutex<(first: CallRun.Part?, isEnded: Bool)>

    init(_ first: CallRun.Part) { state = Mutex((first, false)) }

    func take() -> CallRun.Part? {
        state.withLock { state in
            defer { state.first = nil }
            return state.first
        }
    }

    /// - Returns: whether it was not ended before.
    func end() -> Bool {
        state.withLock { state in
            defer { state.isEnded = true }
            return !state.isEnded
        }
    }
    var isEnded: Bool { state.withLock { $0.isEnded } }
}
