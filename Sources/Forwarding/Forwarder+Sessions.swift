import Access
import Gateway
import Identity
import MCP
import Synchronization
import Upstreams

extension Forwarder {
    // MARK: Shaking hands

    func open(_ incoming: Incoming, _ closing: Closing) async -> Reply {
        guard let principal = closing.decision.principal, let id = closing.decision.id else { return await closing.refuse(Self.undecided) }
        // The performance guide's load script shakes hands without an id, and wants no session.
        let wantsSession = !id.isNull
        do throws(Refusal) {
            let session = wantsSession ? try await corridor.sessions.open(incoming, of: principal, at: closing.inbound.resource) : nil
            let instructions = corridor.instructions(closing.inbound.resource, principal)
            return await closing.answer(
                Message.result(answers.initialize(incoming.revision, instructions: instructions), to: id), session: session?.id)
        } catch {
            return await closing.refuse(error)
        }
    }

    func change(_ session: ClientSession, _ wish: Decision.SessionWish, _ closing: Closing) async -> Reply {
        guard let id = closing.decision.id else { return await closing.refuse(Self.undecided) }
        do {
            switch wish {
            case .logLevel(let level): try await corridor.sessions.change(session) { $0.logLevel = level.rawValue }
            case .subscribe(let uri, let dispatch):
                guard session.record.subscriptions.count < Interest.mostResources else {
                    return await closing.fail(.invalidParams("A session subscribes to at most \(Interest.mostResources) resources."))
                }
                if !session.record.subscriptions.contains(uri) {
                    try await subscribe(session, uri, to: dispatch.upstream, dispatch.request.uri, dispatch.grant)
                    try await corridor.sessions.change(session) { $0.subscriptions.insert(uri) }
                }
            case .unsubscribe(let uri, _):
                if session.record.subscriptions.contains(uri) {
                    session.unsubscribed(uri)
                    try await corridor.sessions.change(session) { $0.subscriptions.remove(uri) }
                }
            }
            return await closing.answer(Message.result(answers.empty(in: .legacy), to: id))
        } catch let refusal as Refusal {
            return await closing.refuse(refusal)
        } catch UpstreamFailure.rejected(_, let error?) {
            return await closing.fail(Answers.relayed(error, in: .legacy), .failed)
        } catch {
            return await closing.refuse(Self.refusal(error, closing.decision.dispatch?.upstream.alias ?? ""))
        }
    }

    // MARK: Streams that outlive their connection

    /// How long a call may be silent before its client is told under which id its answer can be had again.
    private static let untilPriming = Duration.seconds(1)

    /// Reads on until the answer, whether or not the client's connection lasts (L-5): what comes is kept in the session, where
    /// the client can have it again.
    func follow(_ leg: Leg, _ session: ClientSession, _ incoming: Incoming) async -> Reply {
        let (key, log) = session.openStream(for: incoming.id)
        let last = Mutex<Reply?>(nil)
        session.began(incoming.id) { leg.run.abandon(.abandoned) }
        // Unstructured on purpose: it outlives the connection that asked. The request's own deadline ends it, and so do its
        // client's word, the end of the session, and the end of the credential.
        Task {
            var isPrimed = false
            // Whoever can be given something to come back with gets it before there is anything to say.
            var (wait, beats) = session.revision >= .november2025 ? (Self.untilPriming, false) : (Self.patience, true)
            while true {
                let part = await leg.run.next(orSilenceAfter: wait, beats: beats)
                (wait, beats) = (beats ? Self.patience : Self.patience - Self.untilPriming, true)
                if part.isLast {
                    let reply = await self.end(leg, with: part)
                    last.withLock { $0 = reply }
                    if case .message(let message) = reply.body { log.append(message, isDroppable: false) }
                    break
                }
                if !isPrimed {
                    // From here on it is a stream: something to come back with goes first.
                    isPrimed = true
                    log.append(nil, isDroppable: true)
                }
                if case .message(let message, let isDroppable) = part { log.append(message, isDroppable: isDroppable) }
            }
            session.ended(incoming.id)
            if session.isEnded { log.end() } else { endedStreams.keep(log, of: session.user) }
        }
        let reader = log.takeOver()
        guard case .event(let first) = await log.next(after: 0, reader: reader, orSilenceAfter: .seconds(700)) else {
            // The connection is gone, so nobody reads this. What becomes of the request is in the session, and on record when it ends.
            return Reply(body: .none, status: .accepted, budgets: [])
        }
        // Nothing came before the answer.
        if first.message != nil, let reply = last.withLock({ $0 }) {
            // It is no stream, so there is nothing to come back to.
            log.forget()
            return reply
        }
        let stream = stream(of: session, name(of: key, session, leg.run.dispatch.upstream), log, reader: reader, after: 0)
        return Reply(body: .stream(stream), status: .answered, budgets: leg.closing.decision.budgets ?? [])
    }

    /// What a stream is called in the ids of its events: it can be told from one that never was, and whom it is with, when all else is
    /// forgotten.
    private func name(of key: String, _ session: ClientSession, _ upstream: Upstream) -> String {
        let seal = try? corridor.seal.seal(Array(upstream.alias.utf8), StateSeal.streamBinding(session, key))
        return seal.map { "\(key)~\($0)" } ?? key
    }

    private func stream(of session: ClientSession, _ name: String, _ log: EventLog, reader: Int, after number: Int) -> ReplyStream {
        let position = Mutex(number)
        session.readerCame()
        return ReplyStream { wait in
            switch await log.next(after: position.withLock { $0 }, reader: reader, orSilenceAfter: wait ?? .seconds(700)) {
            case .event(let event):
                position.withLock { $0 = event.number }
                let id = "\(name).\(event.number)"
                if let message = event.message { return .message(message, id: id) }
                // Clients of the revisions before would take it for an empty message.
                return session.revision >= .november2025 ? .priming(id: id) : .silence
            case .silence: return .silence
            case .end: return nil
            }
        } leave: {
            session.readerWent()
            log.leave(reader)
        }
    }

    // MARK: GET and DELETE

    /// A session's stream: what it missed after `lastEvent`, or what changes from now on.
    package func stream(to inbound: Inbound, after lastEvent: String?) async -> Reply {
        await withSession(inbound, action: "stream") { principal, session, closing in
            guard let lastEvent else { return try await self.listen(session, principal, closing) }
            guard let (key, seal, request, number) = StreamKey.event(lastEvent),
                let server = self.corridor.seal.open(seal, StateSeal.streamBinding(session, key))
            else { throw ProtocolError(code: -32600, message: "Last-Event-ID is not one of this session.", place: .envelope) }
            if let log = session.stream(key) {
                return Reply(
                    body: .stream(self.stream(of: session, "\(key)~\(seal)", log, reader: log.takeOver(), after: number)), status: .answered,
                    budgets: closing.decision.budgets ?? [])
            }
            guard let request else { return try await self.listen(session, principal, closing) }
            // The gateway was restarted, or the stream was let go long ago: its request must not be waited for for ever.
            let lost = Refusal.outcomeUnknown(
                server: String(decoding: server, as: UTF8.self), reason: "the gateway was restarted meanwhile, or forgot the stream")
            let answer = ProtocolError(lost).response(to: request)
            let isTold = Mutex(false)
            let stream = ReplyStream { _ in
                isTold.withLock { told in
                    defer { told = true }
                    return told ? nil : .message(answer, id: nil)
                }
            } leave: {
            }
            return Reply(body: .stream(stream), status: .answered, budgets: closing.decision.budgets ?? [])
        }
    }

    private func listen(_ session: ClientSession, _ principal: Principal, _ closing: Closing) async throws -> Reply {
        changes.remove(session.listener)
        try changes.add(session.listener)
        keepHearing(principal, closing.inbound.resource)
        resubscribe(session, principal, closing.inbound.resource)
        session.readerCame()
        let pending = Mutex<[Change]>([])
        let stream = ReplyStream { wait in
            if let change = pending.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return .message(change.notification(for: nil), id: nil) }
            switch await session.listener.next(orSilenceAfter: wait ?? Self.patience) {
            case .changes(let changes):
                pending.withLock { $0 += changes.dropFirst() }
                return changes.first.map { .message($0.notification(for: nil), id: nil) } ?? .silence
            case .silence: return await self.isSignedOut(closing.inbound) ? nil : .silence
            case .end: return nil
            }
        } leave: {
            session.readerWent()
            self.changes.remove(session.listener)
            session.listener.nudge()
        }
        return Reply(body: .stream(stream), status: .answered, budgets: closing.decision.budgets ?? [])
    }

    /// After a restart nobody told the servers yet what this session subscribed to.
    private func resubscribe(_ session: ClientSession, _ principal: Principal, _ resource: Resource) {
        let wanted = readable(session.takeUnsubscribed(), principal, resource)
        guard !wanted.isEmpty else { return }
        // Unstructured on purpose: whoever opens the stream does not wait for all servers. It ends with the last answer; a session
        // that is over by then lets go of what came too late.
        Task {
            for (uri, route, grant) in wanted { try? await subscribe(session, uri, to: route.upstream, route.name, grant) }
        }
    }

    /// The ways to those of the resources that the principal may read.
    private func readable(_ uris: some Sequence<String>, _ principal: Principal, _ resource: Resource) -> [(uri: String, route: Route, grant: Grant)]
    {
        guard let rules = corridor.rules.known(of: principal.tenant) else { return [] }
        let (table, _) = catalogue.table(of: principal.tenant, only: resource.alias)
        return uris.compactMap { uri in
            guard let route = table.route(resource: uri),
                let grant = corridor.policy.grant(besidesTools: route.upstream.server.alias, to: principal, under: rules)
            else { return nil }
            return (uri, route, grant)
        }
    }

    private func subscribe(_ session: ClientSession, _ uri: String, to upstream: Upstream, _ name: String, _ grant: Grant) async throws {
        try await upstream.subscribe(name, by: grant, declaring: session.capabilities)
        session.subscribed(uri) {
            // Unstructured on purpose: whoever lets go does not wait for the server to be told.
            Task { await upstream.unsubscribe(name, for: grant.principal) }
        }
    }

    /// Ends a session.
    package func endSession(_ inbound: Inbound) async -> Reply {
        await withSession(inbound, action: "end_session") { _, session, closing in
            await self.corridor.sessions.end(session)
            return Reply(body: .none, status: .ended, budgets: closing.decision.budgets ?? [])
        }
    }

    /// Finds out whose session is meant, as a request does; what is refused is on record.
    private func withSession(
        _ inbound: Inbound, action: String, _ body: (Principal, ClientSession, Closing) async throws -> Reply
    ) async -> Reply {
        let opened = now()
        var decision = Decision(outcome: .answer(nil))
        decision.action = action
        do {
            let known = try corridor.session(for: inbound, at: opened)
            let (principal, session): (Principal, ClientSession)
            if let known {
                (principal, session) = known
            } else {
                let verified = try await authenticator.verify(inbound.authorization, for: inbound.resource, at: now().wall)
                decision.principal = verified
                guard let found = try corridor.session(for: inbound, as: verified, at: now()) else { throw ProtocolError.unknownSession }
                (principal, session) = found
            }
            decision.principal = principal
            decision.budgets = try admission.admit(principal, at: now())
            var reply = try await body(principal, session, Closing(inbound: inbound, decision: decision, opened: opened, forwarder: self))
            reply.user = principal.user
            return reply
        } catch let refusal as Refusal {
            decision.outcome = .refuse(refusal)
            if case .unauthenticated(let reason) = refusal { payAsStranger(inbound, reason, &decision) }
            let closing = Closing(inbound: inbound, decision: decision, opened: opened, forwarder: self)
            if case .refuse(let refusal) = decision.outcome { return await closing.refuse(refusal) }
            return await closing.refuse(refusal)
        } catch let error as ProtocolError {
            return await Closing(inbound: inbound, decision: decision, opened: opened, forwarder: self).fail(error)
        } catch {
            return await Closing(inbound: inbound, decision: decision, opened: opened, forwarder: self).refuse(
                .overloaded("The gateway cannot tell who you are at the moment; try again."))
        }
    }

    // MARK: Changes

    private static let patienceWithSubscriptions = Duration.seconds(2)

    /// `subscriptions/listen`: acknowledged first, then what changes, until the client goes away or its credential ends (S-27, S-28).
    func listen(_ interest: Interest, _ closing: Closing) async -> Reply {
        guard let id = closing.decision.id, let principal = closing.decision.principal else { return await closing.refuse(Self.undecided) }
        let resource = closing.inbound.resource
        let listener = Listener(interest, principal: principal, only: resource.alias)
        do throws(Refusal) {
            try changes.add(listener)
            // Whoever may hear of it from here on is on record for asking.
            try await closing.record(.answered, .ok, "")
        } catch {
            changes.remove(listener)
            return await closing.refuse(error)
        }
        let ticket = running.add(of: principal) { listener.end() }
        keepHearing(principal, resource)
        let subscriptions = StreamSubscriptions(readable(interest.resources, principal, resource).map { ($0.route, $0.grant) })
        subscriptions.begin(declaring: closing.decision.incoming?.capabilities ?? .none)
        // Whoever is told that it will hear of something hears of what it changes next.
        await subscriptions.settle(atMost: Self.patienceWithSubscriptions)

        enum Step { case acknowledge, listen, ended }
        let state = Mutex<(step: Step, pending: [Change])>((.acknowledge, []))
        let stream = ReplyStream { wait in
            let next = state.withLock { state -> JSONText? in
                if state.step == .acknowledge {
                    state.step = .listen
                    return self.answers.acknowledged(interest, of: id)
                }
                return state.pending.isEmpty ? nil : state.pending.removeFirst().notification(for: id)
            }
            if let next { return .message(next, id: nil) }
            if state.withLock({ $0.step == .ended }) { return nil }
            switch await listener.next(orSilenceAfter: wait ?? Self.patience) {
            case .changes(let changes):
                state.withLock { $0.pending += changes.dropFirst() }
                return changes.first.map { .message($0.notification(for: id), id: nil) } ?? .silence
            case .silence where await !self.isSignedOut(closing.inbound): return .silence
            case .silence, .end:
                state.withLock { $0.step = .ended }
                return .message(self.answers.listenEnded(id), id: nil)
            }
        } leave: {
            self.running.remove(ticket)
            self.changes.remove(listener)
            listener.end()
            subscriptions.end()
        }
        return Reply(body: .stream(stream), status: .answered, budgets: closing.decision.budgets ?? [])
    }

    /// Has the servers of an endpoint tell of changes, now that somebody wants to hear of them.
    private func keepHearing(_ principal: Principal, _ resource: Resource) {
        catalogue.listen(in: principal.tenant, only: resource.alias)
    }
}

extension Outgoing {
    /// The URI of what is subscribed to.
    fileprivate var uri: String {
        changes.first { $0.0 == "uri" }?.1.flatMap { try? JSON(parsing: $0.bytes) }?.string ?? ""
    }
}
