package import Access
package import Gateway
package import MCP

extension Upstream {
    /// Starts, or stops, hearing of changes of the lists. A URL is listened to all the time, a process while it runs.
    ///
    /// Whatever goes wrong is tried again after growing pauses, until it is no longer wanted or the upstream is closed.
    package func listen(_ isWanted: Bool) async {
        guard isWanted else { return await listenings.ignoreLists() }
        if case .stdio = server.transport {
            guard listenings.hearLists(nil) else { return }
            let running = conversations.opened.filter { !$0.transport.isClosed }
            for opened in running { await hearLists(of: opened) }
            // What does not run does not change.
            if !running.isEmpty { listsMayHaveChanged() }
            return
        }
        listenings.hearLists(
            Listening { [weak self] onOpen in
                guard let self else { throw UpstreamFailure.abandoned }
                try await self.hearLists { [weak self] in
                    onOpen()
                    self?.listsMayHaveChanged()
                }
            } onGap: {
            })
    }

    /// Nobody heard until a moment ago; what changed since the lists were read is found by reading them again.
    private func listsMayHaveChanged() {
        for kind in knownOffer?.announced ?? [] { listenings.take(.listChanged(kind), from: .gateway) }
    }

    private func hearLists(_ onOpen: @escaping @Sendable () -> Void) async throws {
        let owner = try await lister()
        listenings.listsAreHeard(by: owner)
        let announced = try await offer().announced
        // Asked again in a while: servers learn.
        guard !announced.isEmpty else { return try await Task.sleep(for: .seconds(300)) }
        let (link, opened) = try await conversations.open(of: owner, declaring: nil)
        switch opened.revision.era {
        case .legacy: try await hear(over: opened, link, onOpen)
        case .modern: try await hear(ModernRequest.listen(announced, resources: []), over: opened) { _ in onOpen() }
        }
    }

    /// Over a process that runs anyway; one with a handshake needs no asking.
    func hearLists(of opened: Link.Opened) async {
        guard opened.revision.era == .modern, listenings.wantsLists else { return }
        let announced = knownOffer?.announced ?? []
        guard !announced.isEmpty else { return }
        let exchange = opened.transport.exchange(patience: .conversation, for: .listening)
        let (method, params) = ModernRequest.listen(announced, resources: [])
        do {
            try await opened.send(method, params, as: client, on: exchange)
            listenings.keep(exchange)
        } catch {
            exchange.abandon(.abandoned)
        }
    }

    // MARK: Resources

    /// Hears of changes of a resource until `unsubscribe` was called as often as this. Those who share a conversation share what is
    /// heard in it.
    ///
    /// The server is asked whether or not it says that it takes subscriptions: some take them without saying so.
    ///
    /// - Parameters:
    ///   - grant: policy's permission to use what the server has besides tools.
    ///   - capabilities: what the client can be asked: it is heard in the conversation its calls are made in, for what a call
    ///     changes in a process is told in that process alone.
    /// - Throws: `UpstreamFailure` if the server cannot be asked, or declines.
    package func subscribe(_ uri: String, by grant: Grant, declaring capabilities: ClientCapabilities = .none) async throws {
        let owner = owner(grant.principal)
        let subscription = Listenings.Subscription(owner: owner, uri: uri)
        let declared = declared(capabilities)
        let listening = try listenings.add(subscription) {
            Listening { [weak self] onOpen in
                guard let self else { throw UpstreamFailure.abandoned }
                try await self.hear(uri, owner, declared, onOpen)
            } onGap: { [weak self] in
                self?.listenings.take(.resourceUpdated(uri: uri, user: owner.user), from: owner)
            }
        }
        do throws(UpstreamFailure) { try await listening.begun() } catch {
            await listenings.remove(subscription)
            throw error
        }
    }

    package func unsubscribe(_ uri: String, for principal: Principal) async {
        await listenings.remove(Listenings.Subscription(owner: owner(principal), uri: uri))
    }

    private func hear(
        _ uri: String, _ owner: Owner, _ capabilities: ClientCapabilities, _ onOpen: @escaping @Sendable () -> Void
    ) async throws {
        let (link, opened) = try await conversations.open(of: owner, declaring: capabilities)
        switch opened.revision.era {
        case .modern:
            try await hear(ModernRequest.listen([], resources: [uri]), over: opened) { params in
                guard ModernRequest.acknowledged(params).contains(uri) else {
                    throw UpstreamFailure.rejected(
                        status: 200, error: ProtocolError(code: -32602, message: "The server does not tell changes of this resource."))
                }
                onOpen()
            }
        case .legacy:
            await opened.ear.open()
            let (method, params) = LegacyRequest.subscribe(uri)
            do {
                if case .failure(let error) = try await opened.ask(method, params, as: client) {
                    throw UpstreamFailure.rejected(status: 200, error: error)
                }
            } catch let failure as UpstreamFailure where failure.isLostSession {
                await link.reset(opened, keepingVerdict: true)
                throw failure
            }
            onOpen()
            try await untilClosed(opened, link)
            guard Task.isCancelled else { return }
            let (unsubscribe, named) = LegacyRequest.unsubscribe(uri)
            errands.run { [client] in _ = try? await opened.ask(unsubscribe, named, as: client, patience: .farewell) }
        }
    }

    // MARK: Both

    /// Hears whatever is told in a conversation of the handshake era until that is over.
    private func hear(over opened: Link.Opened, _ link: Link, _ onOpen: @Sendable () -> Void) async throws {
        await opened.ear.open()
        onOpen()
        try await untilClosed(opened, link)
    }

    private func untilClosed(_ opened: Link.Opened, _ link: Link) async throws {
        guard let end = await opened.ear.untilClosed(), !Task.isCancelled else { return }
        if end.isLostSession { await link.reset(opened, keepingVerdict: true) }
    }

    private func hear(
        _ request: (method: String, params: [(String, JSONText?)]), over opened: Link.Opened, onOpen: (JSON?) throws -> Void
    ) async throws {
        let exchange = opened.transport.exchange(patience: .listening, for: .listening)
        defer { exchange.abandon(.abandoned) }
        try await opened.send(request.method, request.params, as: client, on: exchange)
        while let event = try await exchange.next() {
            switch event {
            case .notification("notifications/subscriptions/acknowledged", let params): try onOpen(params)
            case .response(.failure(let error)): throw UpstreamFailure.rejected(status: 200, error: error)
            case .response(.success): return
            case .notification, .progress, .log, .question, .elicitationComplete, .silence: break
            }
        }
    }
}
