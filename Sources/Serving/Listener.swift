package import Access
package import Audit
package import Forwarding
package import Gateway
package import Hummingbird
import HummingbirdCore
package import Identity
package import Logging
package import MCP
import NIOCore

/// Everything the doors open to.
package struct House: Sendable {
    package var gateway: Implementation
    package var origin: @Sendable () -> Origin
    package var allowedOrigins: [String]
    package var keys: TokenKeys
    package var people: PeopleQueries
    package var server: AuthorizationServer
    package var refresher: TokenRefresher
    package var connect: ConnectHouse
    package var authenticator: Authenticator
    package var admission: Admission
    package var pacing: PacingDesk
    package var rules: RulesDesk
    package var tools: ToolsDesk
    package var policy: Policy
    package var forwarder: Forwarder
    package var unread: Unread
    package var audit: AuditTrail
    package var sessions: SessionTable
    package var registry: Registry
    package var publicServers: PublicServers
    package var discovery: DiscoveryDesk
    package var queries: AdminQueries
    package var metrics: CallMetrics
    package var gauges: @Sendable () -> [Gauge]
    package var health: [HealthComponent]
    package var isDraining: @Sendable () -> Bool
    /// Evaluation mode only.
    package var login: EvaluationLogin?
    package var now: @Sendable () -> Moment

    package init(
        gateway: Implementation, origin: @escaping @Sendable () -> Origin, allowedOrigins: [String], keys: TokenKeys, people: PeopleQueries,
        server: AuthorizationServer, refresher: TokenRefresher, connect: ConnectHouse,
        authenticator: Authenticator,
        admission: Admission,
        pacing: PacingDesk, rules: RulesDesk, tools: ToolsDesk, policy: Policy, forwarder: Forwarder, unread: Unread, audit: AuditTrail,
        sessions: SessionTable,
        registry: Registry, publicServers: PublicServers, discovery: DiscoveryDesk, queries: AdminQueries,
        metrics: CallMetrics,
        gauges: @escaping @Sendable () -> [Gauge], health: [HealthComponent], isDraining: @escaping @Sendable () -> Bool,
        login: EvaluationLogin?, now: @escaping @Sendable () -> Moment
    ) {
        self.gateway = gateway
        self.origin = origin
        self.allowedOrigins = allowedOrigins
        self.keys = keys
        self.people = people
        self.server = server
        self.refresher = refresher
        self.connect = connect
        self.authenticator = authenticator
        self.admission = admission
        self.pacing = pacing
        self.rules = rules
        self.tools = tools
        self.policy = policy
        self.forwarder = forwarder
        self.unread = unread
        self.audit = audit
        self.sessions = sessions
        self.registry = registry
        self.publicServers = publicServers
        self.discovery = discovery
        self.queries = queries
        self.metrics = metrics
        self.gauges = gauges
        self.health = health
        self.isDraining = isDraining
        self.login = login
        self.now = now
    }
}

/// What users' own accounts at servers take.
package struct ConnectHouse: Sendable {
    package var credentials: UpstreamCredentials
    package var desk: ConnectDesk
    /// A user is somebody else to a server from now on.
    package var changed: @Sendable (UserID, ServerRecord) async -> Void

    package init(
        credentials: UpstreamCredentials, desk: ConnectDesk, changed: @escaping @Sendable (UserID, ServerRecord) async -> Void
    ) {
        self.credentials = credentials
        self.desk = desk
        self.changed = changed
    }
}

/// The sockets that accept, and the routes behind them.
package enum Listener {
    /// What a request head may take; one beyond that is refused before it is looked at.
    private static let headers = HTTP1Channel.Configuration.DecoderConfiguration(
        maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)
    private static let idleTimeout = TimeAmount.seconds(60)
    /// Connections that the operator's door has room for.
    private static let mostOperators = 256
    /// Connections that may wait to be accepted: many clients come at once after a restart.
    private static let backlog = 1024

    /// The public door.
    ///
    /// - Parameter mostConnections: how many clients may be connected at a time.
    package static func application(
        _ house: House, host: String, port: Int, mostConnections: Int, logger: Logger, onListening: @escaping @Sendable (Int) async -> Void
    ) -> some ApplicationProtocol {
        Application(
            responder: router(house, logger: logger).buildResponder(),
            server: .http1(
                configuration: channel(Crowd(most: mostConnections), house.unread) {
                    AddressDoor(
                        house.pacing.addresses, isFamiliar: { house.authenticator.familiar($0, at: house.now().wall) != nil },
                        isPlausible: { house.authenticator.isPlausible($0) })
                }),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port), backlog: backlog),
            onServerRunning: { channel in await onListening(channel.localAddress?.port ?? port) }, logger: silent)
    }

    /// The operator's door: a socket in the state directory, which only its owner can reach.
    package static func control(
        _ control: ControlAPI, path: String, logger: Logger, onListening: @escaping @Sendable () async -> Void
    ) -> some ApplicationProtocol {
        let router = Router(context: GatewayContext.self)
        router.add(middleware: LastResort(logger: logger))
        control.addRoutes(to: router)
        return Application(
            responder: router.buildResponder(), server: .http1(configuration: channel(Crowd(most: mostOperators), Unread()) { nil }),
            configuration: ApplicationConfiguration(address: .unixDomainSocket(path: path)),
            onServerRunning: { _ in await onListening() }, logger: silent)
    }

    /// Hummingbird logs what clients and shutdowns do to its connections; what concerns the gateway it throws.
    private static let silent = Logger(label: "http") { _ in SwiftLogNoOpLogHandler() }

    private static func channel(_ crowd: Crowd, _ unread: Unread, door: @escaping @Sendable () -> AddressDoor?) -> HTTP1Channel.Configuration {
        HTTP1Channel.Configuration(
            additionalChannelHandlers: [RequestDeadline(), Seating(crowd)] + [door()].compactMap { $0 } + [Departure(), SlowReader(unread)],
            idleTimeout: idleTimeout, httpDecoderConfiguration: headers)
    }

    package static func router(_ house: House, logger: Logger) -> Router<GatewayContext> {
        let router = Router(context: GatewayContext.self)
        router.add(middleware: AddressCheck(guardian: house.pacing.addresses, authenticator: house.authenticator, now: house.now))
        router.add(middleware: ListenerChecks(origin: house.origin, allowedOrigins: house.allowedOrigins))
        let signedIn = SignedIn(
            authenticator: house.authenticator, admission: house.admission, audit: house.audit, sessions: house.sessions, origin: house.origin,
            now: house.now)
        router.add(
            middleware: LastResort(logger: logger) { request, context in
                guard await house.authenticator.knownHolder(request.headers[values: .authorization], at: house.now().wall) == nil else { return }
                try signedIn.payAsStranger(context)
            })
        MCPEndpoint(forwarder: house.forwarder, unread: house.unread, origin: house.origin).addRoutes(to: router)
        WellKnown(origin: house.origin, keys: house.keys).addRoutes(to: router)
        ServersAPI(registry: house.registry, tools: house.tools, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        RegistryAPI(servers: house.publicServers).addRoutes(to: router)
        CardsAPI(servers: house.publicServers, gateway: house.gateway).addRoutes(to: router)
        DiscoveryAPI(desk: house.discovery, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        AdminAPI(queries: house.queries, registry: house.registry, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        let connect = ConnectPages(desk: house.connect.desk, pages: Pages(), signedIn: signedIn)
        connect.addRoutes(to: router)
        ConnectionsAPI(
            credentials: house.connect.credentials, desk: house.connect.desk, registry: house.registry, policy: house.policy, signedIn: signedIn,
            changed: house.connect.changed
        ).addRoutes(to: router)
        OAuthAPI(server: house.server, registrations: RegistrationAllowance(), pages: Pages(), signedIn: signedIn, connect: connect)
            .addRoutes(to: router)
        RefreshAPI(refresher: house.refresher, queries: house.queries, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        KeysAPI(people: house.people, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        PeopleAPI(people: house.people, queries: house.queries, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        PacingAPI(desk: house.pacing, queries: house.queries, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        RulesAPI(desk: house.rules, registry: house.registry, queries: house.queries, policy: house.policy, signedIn: signedIn).addRoutes(to: router)
        Health(version: house.gateway.version, components: house.health, isDraining: house.isDraining).addRoutes(to: router)
        MetricsPage(metrics: house.metrics, gauges: house.gauges).addRoutes(to: router)
        house.login?.addRoutes(to: router, signedIn)
        return router
    }
}
