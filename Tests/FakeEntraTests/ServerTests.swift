import Gateway
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Testing

@testable import FakeEntra

/// The issuer behind a real socket.
struct ServerTests {
    private struct Answer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let body: [UInt8]
        var reply: FakeEntra.Reply {
            FakeEntra.Reply(status: status, headers: headers.map { (name: $0.name.lowercased(), value: $0.value) }, body: body)
        }
    }

    private static func with(_ body: @Sendable (FakeEntra, Int) async throws -> Void) async throws {
        let rig = try Rig()
        let (ports, announce) = AsyncStream.makeStream(of: Int.self)
        let application = FakeEntra.application(rig.fake, port: 0, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            announce.yield($0)
        }
        let group = ServiceGroup(services: [application], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { announce.finish() }
                try await group.run()
            }
            var iterator = ports.makeAsyncIterator()
            let port = try found(await iterator.next())
            let result = await Result { try await body(rig.fake, port) }
            await group.triggerGracefulShutdown()
            try? await tasks.waitForAll()
            try result.get()
        }
    }

    private static func send(
        _ method: HTTPMethod, _ path: String, port: Int, host: String? = nil, headers: [(String, String)] = [], body: String = ""
    ) async throws -> FakeEntra.Reply {
        var all = HTTPHeaders(headers)
        all.add(name: "Host", value: host ?? "127.0.0.1:\(port)")
        all.add(name: "Connection", value: "close")
        if !body.isEmpty { all.add(name: "Content-Length", value: String(body.utf8.count)) }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: all)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(5))
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(.head(head))
            if !body.isEmpty { try await outbound.write(.body(.byteBuffer(ByteBuffer(string: body)))) }
            try await outbound.write(.end(nil))
            var received: HTTPResponseHead?
            var bytes: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let head): received = head
                case .body(let buffer): bytes += buffer.readableBytesView
                case .end:
                    guard let received else { break }
                    return Answer(status: Int(received.status.code), headers: received.headers, body: bytes).reply
                }
            }
            throw Failed("the connection ended")
        }
    }

    @Test func `a whole sign-in runs over a socket, from the metadata to the refresh`() async throws {
        try await Self.with { fake, port in
            let registration = fake.registration(redirectURIs: [Rig.redirectURI])
            #expect(registration.authority == "http://127.0.0.1:\(port)")
            let base = "/\(registration.tenantID)"
            let metadata = try found(try await Self.send(.GET, "\(base)/v2.0/.well-known/openid-configuration", port: port).json)
            let authorize = try found(metadata["authorization_endpoint"]?.string)
            #expect(authorize.hasPrefix(registration.authority))

            let query = Rig.encoded([
                "client_id": registration.clientID, "redirect_uri": Rig.redirectURI, "response_type": "code", "state": "s", "nonce": "n",
                "scope": "openid offline_access \(registration.scopes[0])", "code_challenge": Rig.challenge, "code_challenge_method": "S256",
            ])
            let page = try await Self.send(.GET, "\(authorize.dropFirst(registration.authority.count))?\(query)", port: port)
            let form = Rig.encoded(["request": try found(page.request), "user": "5e000000-0000-4000-8000-000000000001"])
            let headers = [("Content-Type", "application/x-www-form-urlencoded")]
            let picked = try await Self.send(
                .POST, "\(base)/login", port: port, headers: headers + [("Origin", registration.authority)], body: form)
            let code = try found(picked.redirect["code"])

            let credentials = ["client_id": registration.clientID, "client_secret": registration.clientSecret.revealed]
            let redeem = [
                "grant_type": "authorization_code", "code": code, "redirect_uri": Rig.redirectURI, "code_verifier": Rig.verifier,
                "scope": registration.scopes[0],
            ].merging(credentials) { $1 }
            let tokens = try await Self.send(.POST, "\(base)/oauth2/v2.0/token", port: port, headers: headers, body: Rig.encoded(redeem))
            #expect(tokens.status == 200)
            #expect(try claims(tokens.json?["id_token"]?.string)["iss"] == metadata["issuer"])
            let refresh = [
                "grant_type": "refresh_token", "refresh_token": tokens.json?["refresh_token"]?.string ?? "", "scope": registration.scopes[0],
            ].merging(credentials) { $1 }
            let refreshed = try await Self.send(.POST, "\(base)/oauth2/v2.0/token", port: port, headers: headers, body: Rig.encoded(refresh))
            #expect(refreshed.json?["access_token"] != nil)
        }
    }

    @Test func `a lost request ends the connection, and the next one is served`() async throws {
        try await Self.with { fake, port in
            let path = "/common/v2.0/.well-known/openid-configuration"
            fake.cause(.init(.loseRequest, at: .metadata))
            await #expect(throws: (any Error).self) { try await Self.send(.GET, path, port: port) }
            fake.cause(.init(.delay(.milliseconds(1)), at: .metadata))
            let served = try await Self.send(.GET, path, port: port)
            #expect(served.status == 200)
        }
    }

    @Test(arguments: ["rebound.example", "rebound.example:80", "127.0.0.1.example", ""])
    func `another name that leads here is not served`(host: String) async throws {
        try await Self.with { _, port in
            let reply = try await Self.send(.GET, "/common/v2.0/.well-known/openid-configuration", port: port, host: host)
            #expect([400, 421].contains(reply.status))
        }
    }

    @Test func `a body that is too large is refused`() async throws {
        try await Self.with { _, port in
            let reply = try await Self.send(.POST, "/common/oauth2/v2.0/token", port: port, body: String(repeating: "a", count: 300 << 10))
            #expect(reply.status == 413)
        }
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
