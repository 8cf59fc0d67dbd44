import FakeEntra
import Forwarding
import FoundationEssentials
import Gateway
import Identity
import Logging
import Serving

/// Evaluation mode: the same program, with a sign-in for anybody and two demo servers.
enum Evaluation {
    /// The users who are somebody; everybody else is a `user`.
    static let roles: [String: Role] = ["admin": .admin, "server_owner": .serverOwner, "auditor": .auditor, "user": .user]

    /// The same with room for a load test by many users from one machine, where the operator set nothing else.
    static func raised(_ settings: Settings) -> Settings {
        var settings = settings
        if settings.sources["MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM"] == nil { settings.limits.anonymous = 6000 }
        if settings.sources["MREG_FASTMCP_RATE_LIMIT_TENANT_MULTIPLIER"] == nil { settings.limits.tenantMultiplier = 100 }
        return settings
    }

    /// - Parameters:
    ///   - isWithStdioDemo: whether this program can be started again as the stdio demo server.
    ///   - now: of the gateway and its issuer alike.
    ///   - fake: nil for an issuer of this gateway's own.
    static func mode(
        isWithStdioDemo: Bool, now: @escaping @Sendable () -> Moment = Clocks.now, issuer fake: FakeEntra? = nil
    ) throws -> Assembly.Mode {
        let (demo, issuer) = (DemoPort(), DemoPort())
        let logger = Logger(label: "evaluation") { _ in SwiftLogNoOpLogHandler() }
        let fake = try fake ?? FakeEntra(clock: { now().wall })
        var mode = Assembly.Mode(acceptsShorthand: true, now: now, readsDefaultServersFile: false)
        mode.adjust = raised
        mode.loginRole = { roles[$0] ?? .user }
        mode.allowedUpstreams = ["127.0.0.0/8", "::1/128"].compactMap { AddressRange($0) }
        mode.companions = [
            DemoServer.application(port: 0, logger: logger) { await demo.announce($0) },
            FakeEntra.application(fake, port: 0, logger: logger) { await issuer.announce($0) },
        ]
        mode.issuer = { callback in
            _ = await issuer.value
            let registration = fake.registration(redirectURIs: [callback])
            let entra = try IssuerSettings.Entra(
                authority: registration.authority, tenant: registration.tenantID, graph: registration.authority)
            var settings = try IssuerSettings(
                .entra(entra), clientID: registration.clientID, clientSecret: registration.clientSecret, redirectURI: callback)
            settings.apiScope = registration.scopes.first
            return settings
        }
        mode.beforeListening = { running in
            for (name, role) in roles {
                // One that was given another role since has it.
                do { _ = try await running.user(name, role) } catch Refusal.conflict {}
            }
            let endpoint = "http://127.0.0.1:\(await demo.value)\(DemoServer.path)"
            try await register("demo-http", "Demo server over HTTP", .http(endpoint: endpoint), in: running)
            if isWithStdioDemo {
                let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
                let command = StdioCommand(path: program, arguments: ["demo-server", "--stdio"], isShared: true)
                try await register("demo", "Demo server over stdio", .stdio(command), in: running)
            }
        }
        return mode
    }

    /// The port of the demo server changes from start to start, and the program may have moved.
    private static func register(_ name: String, _ title: String, _ transport: Transport, in running: Assembly.Running) async throws {
        guard let alias = ServerAlias(name) else { preconditionFailure("“\(name)” is an alias") }
        let record = AuditRecord(
            requestID: .random(), at: Clocks.now().wall, user: running.operatorUser.id, tenant: running.tenant.id, action: "server.create",
            target: name, address: "evaluation")
        let draft = ServerDraft(alias: alias, title: title, transport: transport, isPublic: true, tags: ["demo"])
        try await running.registry.ensure(draft, owner: running.operatorUser, audit: record)
    }
}

/// The port a companion got, for whoever waits for it.
private actor DemoPort {
    private var port: Int?
    private var waiting: [CheckedContinuation<Int, Never>] = []

    func announce(_ port: Int) {
        self.port = port
        for continuation in waiting { continuation.resume(returning: port) }
        waiting = []
    }

    var value: Int {
        get async {
            if let port { return port }
            return await withCheckedContinuation { waiting.append($0) }
        }
    }
}
