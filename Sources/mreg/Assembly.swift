import Access
import Audit
import Forwarding
import FoundationEssentials
import Gateway
import Glibc
import Hummingbird
import Identity
import Logging
import MCP
import NIOPosix
import OAuth
import Pacing
import Reports
import ServiceLifecycle
import Serving
import Storage
import Synchronization
import UnixSignals
import Upstreams

/// The whole program, put together: the only place that sees every room.
///
/// Built once, by `mreg serve`, `mreg evaluate` and the integration tests alike. It reads from top to bottom: each
/// part is made from the ones above it, and the list of services at the end is in order of dependency.
struct Assembly {
    /// What differs between production and evaluation.
    struct Mode {
        var acceptsShorthand = false
        /// The system's clocks, unless a test has time pass.
        var now: @Sendable () -> Moment = Clocks.now
        /// How old a server's lists may be that it is not asked for anew.
        var listsAreFreshFor = Duration.seconds(30)
        var adjust: @Sendable (Settings) -> Settings = { $0 }
        /// Whether the host's list of stdio servers is read also when nobody named it.
        var readsDefaultServersFile = true
        /// The role a user gets who signs in without a password; nil where nobody can.
        var loginRole: (@Sendable (_ name: String) -> Role)?
        /// Ranges a server may be in besides the public ones and those of the settings.
        var allowedUpstreams: [AddressRange] = []
        /// Runs beside the gateway, and before it says that it listens.
        /// The issuer of a gateway that was given none; gets where it sends people back to.
        var issuer: (@Sendable (_ callback: String) async throws -> IssuerSettings)?
        var companions: [any Service] = []
        var beforeListening: @Sendable (Running) async throws -> Void = { _ in }
    }

    /// What whoever started the program may want of it.
    struct Running: Sendable {
        let origin: Origin
        let tenant: Tenant
        let registry: Registry
        let operatorUser: User
        /// The conversations with all active servers.
        let upstreams: @Sendable () -> [Upstream]
        /// The user of that name, made if there is none.
        let user: @Sendable (_ name: String, Role) async throws -> User
        /// A token for that user, who is made if need be.
        let token: @Sendable (_ user: String, Role) async throws -> Secret<String>
        /// The routes of the public door.
        let routes: @Sendable () -> [String]
    }

    let services: [any Service]
    let logger: Logger

    /// - Parameters:
    ///   - environment: the process's own, for the few names that stdio servers may see.
    ///   - onListening: called once, when requests are answered.
    init(
        _ settings: Settings, mode: Mode, environment: [String: String], logger: Logger, onListening: @escaping @Sendable (Running) async -> Void
    ) async throws {
        self.logger = logger
        let settings = mode.adjust(settings)
        let now = mode.now
        let state = try StateDirectory(settings.stateDirectory)
        let path = "\(state.path)/\(settings.databaseName).sqlite"
        let mark = OpenMark(database: path)
        try mark.check()
        let database = try Storage.Database(
            path: path, key: try RecordKeyFile.readOrMake(in: state.path, isNew: !FileManager.default.fileExists(atPath: path)),
            pools: settings.pools.plan
        ) { now().wall }
        try mark.set()
        let hotState = try await Self.hotState((environment["RUNTIME_DIRECTORY"] ?? state.path) + "/buckets", settings, database, now)
        let keeper = HotStateKeeper(hotState, database, logger: logger, now: now) { raise(SIGBUS) }
        let key = try await Self.signingKey(in: state)
        let origin = SharedOrigin(settings.listener.publicOrigin ?? .localhost(port: settings.listener.port))

        let audit = AuditTrail(
            sink: AuditSink { database.submit($0, $1) }, durability: settings.audit.durability.durability, logger: logger
        ) { now().wall }
        let sessions = SessionTable(
            timeout: settings.sessions.activityTimeout, sweepInterval: settings.sessions.cleanupInterval,
            keepsActivities: settings.metrics.tracksBehavior, now: { now().wall }
        ) { try await database.writeSessions($0) }
        let keyFiles = TokenKeyFiles(key, in: state, database)
        let keys = try await keyFiles.keys(at: now().wall)
        let instance = try Self.instanceKey(in: state, environment: environment)
        let authenticator = Authenticator(
            keys: keys, instance: instance,
            users: UserDirectory(find: { try await database.user($0) }, key: { try await database.key(hash: $0) })
        ) { origin.withLock { $0 } }
        let recently = now().wall.advanced(by: .zero - Authenticator.lifetime)
        for (session, moment) in try await database.revokedSessions(since: recently) { authenticator.end(session, at: moment) }
        for (client, moment) in try await database.revokedClients(since: recently) {
            authenticator.end(client: KnownClient.fingerprint(of: client), at: moment)
        }
        let vault = try Self.vault(settings, state, mode, environment, logger)
        let housekeeping = Housekeeping(
            database: database, key: key, stateDirectory: state.path,
            retention: Retention(rows: settings.audit.retention, bytes: settings.audit.maximumBytes), sessions: sessions,
            identity: {
                try await database.touchKeys(authenticator.takeUsedKeys())
                try await keyFiles.keep(keys, at: now().wall)
                _ = try vault.sweep(1000, at: now().wall)
                _ = try vault.reseal(batch: 500)
            },
            now: { now().wall }, logger: logger)

        let gateway = Implementation(name: "mcp-registry-gateway", title: "MCP Registry Gateway", version: Version.current)
        let answers = Answers(
            gateway: gateway, instructions: Self.instructions, offer: .everything, originKey: Self.originKey(origin.withLock { $0 }))
        let egress = EgressPolicy(allowed: settings.upstreams.allowedPrivate + mode.allowedUpstreams)
        let connections = try HTTPConnections(group: MultiThreadedEventLoopGroup.singleton, egress: egress)
        let processes = ProcessKeeper()
        let fetchers = try Self.fetchers(egress)
        let shared = Self.sharedIssuer(settings, mode, fetchers, origin, logger, now)
        let rules = RuleBook(try await database.allToolRules()) { try await database.toolRules(of: $0) }
        let changes = Changes { principal, news, alias in
            guard let rules = rules.known(of: principal.tenant) else { return false }
            if case .list(.tools) = news { return rules.showsAnything(of: alias, to: principal) }
            return rules.permits(principal, besidesTools: alias)
        }
        let clientSessions = ClientSessions(
            store: ClientSessionStore(save: { try await database.save($0) }, delete: { try await database.deleteClientSessions($0) }),
            kept: try await database.clientSessions(), changes: changes, now: { now().wall })
        let running = RunningCalls { clientSessions.hush($0) }
        let refresher = Self.refresher(
            settings, vault, database, shared, roles: try settings.roleMap,
            signOut: { user, audit in
                try await sessions.flush()
                _ = try await database.signOut(user, of: nil, audit: audit)
                authenticator.forget(user)
                running.end { $0.user == user }
                sessions.forget(user)
            }, onRoleChange: { authenticator.forget($0) }, logger, now)
        let keepTokens: @Sendable (IssuerTokens, UserID) throws -> Void = { tokens, user in
            try vault.store(tokens, for: user, at: now().wall)
            refresher.add(user, tokens)
        }
        let credentials = Self.credentials(database, vault, shared, refresher, fetchers, instance, keys, origin, logger, now)
        // The catalogue makes the conversations, and hears what servers say outside of any call.
        let hearing = NoticeDoor()
        let surroundings = UpstreamSurroundings(
            client: gateway, connections: connections, keeper: processes, environment: environment, credentials: credentials.shown,
            sealedEnvironment: { try vault.environment(of: $0) }, notice: { hearing.tell($0, $1) },
            rested: { server, _ in
                audit.recordSoon(
                    AuditRecord(
                        requestID: .random(), at: now().wall, tenant: server.tenant, server: server.id, action: "server.rest",
                        target: server.alias.description, outcome: .failed, reason: "crashes", status: 503, address: "schedule"))
            }, now: now, logger: logger)
        let pins = try await Self.pinBook(database, settings, logger, now)
        let catalogue = Catalogue(
            answers: answers, originKey: Self.originKey(origin.withLock { $0 }), changes: changes, pins: pins, logger: logger,
            freshFor: mode.listsAreFreshFor
        ) {
            Upstream($0, surroundings: surroundings)
        }
        hearing.open { [weak catalogue] in catalogue?.noticed($1, by: $0) }
        for server in try await database.activeServers() { await catalogue.put(server) }
        let carried = CarriedSeal(instance)
        let seal = StateSeal(seal: { try carried.seal($0, bound: $1) }, open: { carried.open($0, bound: $1) })

        let terms = try await database.allTerms()
        let admission = Self.admission(settings, hotState, sessions, terms, now)
        let addresses = try await Self.addressGuard(settings, hotState, database, audit, logger, now)
        let gate = CallGate(
            perServer: settings.limits.inFlightPerServer, perUser: settings.limits.inFlightPerUser, capacity: settings.limits.queuedPerServer,
            longestWait: settings.limits.longestQueueWait
        ) { now().boot }
        let policy = Policy()
        let corridor = Corridor(
            authenticator: authenticator, policy: policy, rules: rules, admission: admission, gate: gate, catalogue: catalogue,
            answers: answers, sessions: clientSessions, seal: seal, acceptsShorthand: mode.acceptsShorthand)
        let metrics = CallMetrics()
        let forwarder = Forwarder(
            corridor: corridor, authenticator: authenticator, admission: admission, gate: gate, running: running, catalogue: catalogue,
            answers: answers, audit: audit, metrics: metrics, sessions: sessions, changes: changes, statusCode: { $0.code }, now: now)

        let clients = Clients(
            instance: instance, record: { try await database.client($0) }, store: { try await database.store($0, audit: nil) },
            document: Self.documents(fetchers, settings.oauth.clientDocumentDomains, mode, logger, now),
            acceptsRegistrations: settings.oauth.acceptsRegistrations, isEvaluation: mode.acceptsShorthand, now: { now().wall })
        // What does not fit is said at start-up, not to the first who signs in.
        let named = try settings.issuer(callback: settings.oauth.callbackURL)
        let issuer = SignInIssuer(
            shared, name: named?.issuer ?? "the issuer of evaluation mode", roles: try settings.roleMap, home: ControlAPI.defaultTenant,
            logger: logger)
        let server = AuthorizationServer(
            clients: clients,
            grants: Self.grants(database, authenticator, sessions, running, keep: keepTokens, now), issuer: issuer,
            authenticator: authenticator, instance: instance,
            assertions: ClientAssertions { try await Self.keySet($0, fetchers) },
            origin: { origin.withLock { $0 } }, now: { now().wall })

        let publicServers = Self.publicServers(database, origin, now)
        let registry = Self.registry(database, catalogue, pins, connections, vault, credentials, publicServers)
        let connect = Self.connectHouse(database, authenticator, catalogue, registry, credentials, issuer, instance, settings, keep: keepTokens)
        // Who is out is not kept fresh behind their back.
        let forgetTokens: @Sendable (UserID) throws -> Void = { user in
            refresher.remove(user)
            try vault.forget(user)
        }
        let queries = Self.queries(
            database, hotState, authenticator, admission, sessions, running, housekeeping, settings, forgetTokens: forgetTokens, now)
        let tenant = try await queries.makeTenant(
            ControlAPI.defaultTenant,
            AuditRecord(requestID: .random(), at: now().wall, action: "tenant.create", target: ControlAPI.defaultTenant))
        let people = People(database: database, authenticator: authenticator, audit: audit, now: now)
        let peopleQueries = Self.people(database, authenticator, sessions, running, forgetTokens: forgetTokens)
        let operatorUser = try await people.operatorUser(of: tenant, people.record("user.create", "operator"))
        let isServersFileNamed = settings.sources["MREG_STDIO_SERVERS_FILE"] != nil
        if isServersFileNamed || mode.readsDefaultServersFile {
            try await StdioServersFile.register(
                settings.upstreams.stdioServersFile, isNamed: isServersFileNamed, in: registry, owner: operatorUser, now: now)
        }

        let draining = Draining {
            catalogue.stopAsking()
        } onLate: {
            connections.closeAll()
            processes.closeAll()
        }
        let pacing = PacingDesk(
            addresses: addresses, admission: admission, gate: gate, changeTerms: { try await database.changeTerms(of: $0, audit: $1, $2) },
            quotaUsed: { try hotState.quotaUsed($0, of: $1, at: $2) }, entries: { hotState.count }, now: now)
        let desk = Self.rulesDesk(database, rules, catalogue)
        let tools = Self.toolsDesk(database, pins, catalogue)
        let unread = Unread()
        let house = House(
            gateway: gateway, origin: { origin.withLock { $0 } }, allowedOrigins: settings.listener.allowedOrigins.map(\.description),
            keys: keys, people: peopleQueries, server: server, refresher: refresher, connect: connect, authenticator: authenticator,
            admission: admission,
            pacing: pacing, rules: desk, tools: tools, policy: policy, forwarder: forwarder, unread: unread, audit: audit,
            sessions: sessions, registry: registry, publicServers: publicServers, discovery: Self.discovery(catalogue, rules),
            queries: queries,
            metrics: metrics,
            gauges: { Self.gauges(catalogue, database, sessions) + Self.gauges(running, changes, clientSessions, catalogue, unread) },
            health: [
                HealthComponent("database") { await Self.state { try await database.probe() } },
                HealthComponent("buckets") { await Self.state { try hotState.probe() } },
                HealthComponent("tokens") { await Self.state { try vault.probe() } },
                HealthComponent("audit") { audit.failure.map { (.unhealthy, "the last records could not be written: \($0)") } ?? (.healthy, "") },
                HealthComponent("servers") {
                    let (failing, all) = catalogue.tally
                    return failing == 0 ? (.healthy, "") : (.degraded, "\(failing) of \(all) servers cannot be asked")
                },
            ],
            isDraining: { draining.value },
            login: mode.loginRole.map { role in
                EvaluationLogin { name, record in try await database.ensureUser(name, role: role(name), of: tenant.id, audit: record) }
            }, now: now)

        let user: @Sendable (String, Role) async throws -> User = { name, role in
            try await people.ensure(name, role, of: tenant.id, people.record("user.create", name))
        }
        let whatRuns: @Sendable () -> Running = {
            Running(
                origin: origin.withLock { $0 }, tenant: tenant, registry: registry, operatorUser: operatorUser,
                upstreams: { catalogue.upstreams }, user: user,
                token: { name, role in try await people.token(for: try await user(name, role), people.record("token.issue", name)) },
                routes: { Listener.router(house, logger: Self.quiet(logger)).routes.map(\.description) })
        }
        let (controlOpened, controlOpens) = AsyncStream.makeStream(of: Void.self)
        LargeBlocks.giveBackAtOnce()
        let mostConnections = OpenFiles.connections(of: OpenFiles.raise())
        let listener = Listener.application(
            house, host: settings.listener.host, port: settings.listener.port, mostConnections: mostConnections, logger: Self.quiet(logger)
        ) { port in
            if settings.listener.publicOrigin == nil { origin.withLock { $0 = .localhost(port: port) } }
            // Whoever reads that it listens may have a command for it.
            for await _ in controlOpened {}
            do {
                try await publicServers.open()
                try await mode.beforeListening(whatRuns())
                await onListening(whatRuns())
            } catch {
                logger.error("the gateway listens, but what should run beside it does not", metadata: ["error": "\(error)"])
            }
        }
        let control = Listener.control(
            Self.control(registry, people, database, queries, peopleQueries, pacing, desk, tools, origin, now) { audit in
                try await keyFiles.turn(keys, audit: audit, at: now().wall)
            }, path: try ControlSocket.bindable(state.path),
            logger: Self.quiet(logger)
        ) { controlOpens.finish() }

        // In order of dependency. Stopped in the reverse: the doors fall silent first, then the conversations with
        // servers end, the audit trail is written to its end, and only then the database closes.
        services =
            [
                DatabaseService(database: database, state: state, mark: mark), audit, sessions, clientSessions, housekeeping, keeper, addresses,
                processes, catalogue, HealthProber { catalogue.upstreams }, refresher, SpareMemoryKeeper(),
            ]
            + mode.companions + [
                control, listener, draining,
            ]
    }

    /// Everything that runs, to be run once: until one of the signals, then until what is under way has finished.
    func group(stoppingAt signals: [UnixSignal] = [.sigterm, .sigint]) -> ServiceGroup {
        var configuration = ServiceGroupConfiguration(services: services, gracefulShutdownSignals: signals, logger: Self.quiet(logger))
        configuration.maximumGracefulShutdownDuration = .seconds(25)
        return ServiceGroup(configuration: configuration)
    }

    // MARK: Parts

    private static let instructions = """
        Tools of several MCP servers, each named by its server's alias, two underscores and the tool's own name.
        """

    /// The token-signing key of this instance, made at its first start.
    private static func signingKey(in state: StateDirectory) async throws -> SigningKey {
        let path = state.path + "/keys/signing-key.pem"
        if FileManager.default.fileExists(atPath: path) {
            let pem = try String(contentsOfFile: path, encoding: .utf8)
            guard let key = try? await SigningKey(pem: Secret(pem)) else {
                throw OperatorError("\(path) holds no P-256 key in PEM. Restore it, or delete it: then everybody signs in again.")
            }
            return key
        }
        let key = try await SigningKey.generate()
        try PrivateFile.write(key.pem, to: path)
        return key
    }

    private static func registry(
        _ database: Storage.Database, _ catalogue: Catalogue, _ pins: PinBook, _ connections: HTTPConnections, _ vault: TokenVault,
        _ credentials: UpstreamCredentials, _ publicServers: PublicServers
    ) -> Registry {
        @Sendable func condition(_ condition: Catalogue.Condition) -> ServerCondition {
            ServerCondition(
                revision: condition.revision?.rawValue, toolCount: condition.toolCount, waitingCount: condition.waitingCount,
                lastFailure: condition.lastFailure, isResting: condition.isResting, replicas: condition.replicas.map(EndpointCondition.init),
                cuts: condition.cuts.map(\.sentence))
        }
        return Registry(
            list: { try await database.servers(of: $0, filter: $1, after: $2, limit: $3) },
            get: { try await database.server($0) },
            named: { try await database.server($0, of: $1) },
            create: { draft, owner, tenant, audit in
                if case .stdio(let command) = draft.transport, !Self.isProgram(command.path) {
                    throw Refusal.invalid("\(command.path) is not a program this gateway may run.")
                }
                let server = try await database.createServer(draft, owner: owner, tenant: tenant, audit: audit)
                do {
                    try vault.keep(draft.secret, of: server)
                    if !draft.sealedEnvironment.isEmpty { try vault.storeEnvironment(draft.sealedEnvironment, of: server.id) }
                } catch {
                    // Without its secret it would be of no use, and its alias would be taken.
                    var undone = audit
                    undone.action = "server.delete"
                    _ = try? await database.deleteServer(server.id, audit: undone)
                    throw error
                }
                await catalogue.put(server)
                if server.isPublic { try await publicServers.follow() }
                return server
            },
            update: { change, basis, audit in
                let former = try await database.server(change.server.id)
                let sealed = try change.sealedEnvironment.isEmpty ? nil : change.sealed(over: vault.held(for: change))
                let saved = try await database.updateServer(change.server, basis: basis, audit: audit)
                let isShownAnother = change.secret != nil || former?.credential != saved.credential
                if isShownAnother { try vault.keep(change.secret, of: saved) }
                if let sealed { try vault.storeEnvironment(sealed, of: saved.id) }
                credentials.forget(saved.id)
                await catalogue.put(saved, isShownAnother: isShownAnother || sealed != nil)
                if saved.isPublic || former?.isPublic ?? false { try await publicServers.follow() }
                return saved
            },
            delete: { server, audit in
                let moment = try await database.deleteServer(server.id, audit: audit)
                credentials.forget(server.id)
                try vault.forgetCredentials(for: server.id)
                await catalogue.remove(server, at: moment)
                pins.forget(server.id)
                if server.isPublic { try await publicServers.follow() }
            },
            check: { await catalogue.check($0).map(condition) },
            condition: { catalogue.condition(of: $0).map(condition) },
            errorOutput: { id in
                let output = catalogue.upstreams.first { $0.server.id == id }?.errorOutput ?? []
                return output.map { ProcessOutput(user: $0.user, startedAt: $0.startedAt, text: $0.text) }
            },
            admitEndpoint: { endpoint async throws(Refusal) in
                do throws(UpstreamFailure) { try await connections.check(endpoint) } catch {
                    throw .invalid("The endpoint \(endpoint) cannot be registered: \(error.reason)")
                }
            })
    }

    private static func isProgram(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder && FileManager.default.isExecutableFile(atPath: path)
    }

    private static func control(
        _ registry: Registry, _ people: People, _ database: Storage.Database, _ queries: AdminQueries, _ peopleQueries: PeopleQueries,
        _ pacing: PacingDesk, _ rules: RulesDesk, _ tools: ToolsDesk, _ origin: SharedOrigin, _ now: @escaping @Sendable () -> Moment,
        turnSigningKeys: @escaping @Sendable (AuditRecord) async throws -> SigningKeyTurn
    ) -> ControlAPI {
        ControlAPI(
            registry: registry, queries: queries, people: peopleQueries, pacing: pacing, rules: rules, tools: tools,
            operatorOf: { name, audit in
                guard let tenant = try await database.tenant(named: name) else { return nil }
                return try await people.operatorUser(of: tenant, audit)
            },
            ensureUser: { try await people.ensure($0, $1, of: $2, $3) },
            issueToken: { try await people.token(for: $0, $1) },
            callReport: { since in CallReport(try await database.auditRecords(of: nil, since: since, limit: 1_000_000)) },
            turnSigningKeys: turnSigningKeys, origin: { origin.withLock { $0 } }, now: now)
    }

    private static func gauges(_ catalogue: Catalogue, _ database: Storage.Database, _ sessions: SessionTable) -> [Gauge] {
        let (failing, all) = catalogue.tally
        let replicas = catalogue.upstreams.flatMap(\.replicaConditions)
        return [
            Gauge(name: "mreg_upstream_endpoints", help: "Endpoints of active servers, replicas included.", value: Double(replicas.count)),
            Gauge(
                name: "mreg_upstream_circuits_open", help: "Endpoints that are not asked, or on trial, because they kept failing.",
                value: Double(replicas.count { $0.state != .closed })),
            Gauge(name: "mreg_servers", help: "Active registered servers.", value: Double(all)),
            Gauge(name: "mreg_servers_failing", help: "Active servers that could not be asked last time, or cannot be now.", value: Double(failing)),
            Gauge(
                name: "mreg_servers_resting", help: "Programs that are not started any more because they kept crashing.",
                value: Double(catalogue.restingCount)),
            Gauge(name: "mreg_active_users", help: "Users with a request within the activity timeout.", value: Double(sessions.activeUsers)),
            Gauge(name: "mreg_database_bytes", help: "The database file.", value: Double(database.fileBytes)),
            Gauge(name: "mreg_wal_bytes", help: "The database's write-ahead log.", value: Double(database.walBytes)),
            Gauge(name: "process_resident_memory_bytes", help: "Resident memory.", value: Double(ResidentMemory.bytes)),
        ]
    }

    /// What is open for clients.
    private static func gauges(
        _ running: RunningCalls, _ changes: Changes, _ clientSessions: ClientSessions, _ catalogue: Catalogue, _ unread: Unread
    ) -> [Gauge] {
        [
            Gauge(name: "mreg_calls_under_way", help: "Calls under way or parked, and streams of changes.", value: Double(running.count)),
            Gauge(name: "mreg_listeners", help: "Clients that hear of changes.", value: Double(changes.count)),
            Gauge(name: "mreg_unread_bytes", help: "Of answers that clients are slow to read.", value: Double(unread.bytes)),
            Gauge(
                name: "mreg_readers_let_go", help: "Clients that took nothing while others' answers needed the room, since the start.",
                value: Double(unread.letGo)),
            Gauge(name: "mreg_client_sessions", help: "Sessions of clients with a handshake.", value: Double(clientSessions.count)),
            Gauge(
                name: "mreg_stray_messages", help: "Messages of servers that answered nobody, since each was registered or changed.",
                value: Double(catalogue.strayMessages)),
        ]
    }

    private static func state(_ probe: () async throws -> Void) async -> (HealthComponent.State, String) {
        do {
            try await probe()
            return (.healthy, "")
        } catch {
            return (.unhealthy, "\(error)")
        }
    }

    /// For libraries, whose everyday lines are of use only to who debugs them.
    static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .notice)
        return logger
    }
}
