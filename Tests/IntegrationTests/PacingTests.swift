import Foundation
import Gateway
import MCP
import NIOHTTP1
import Testing

/// Limits, quotas and blocks of the running program, seen from outside.
struct PacingTests {
    static let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
    static let admin = "/api/v1/admin/"

    @Test func `a limit set over the API holds with the next request, and the refusal says which, whose and how long`() async throws {
        try await RunningGateway.with { gateway in
            let (admin, user) = (try await gateway.token("admin", .admin), try await gateway.token("ada"))
            let first = try await gateway.mcp(Self.ping, token: user)
            #expect(first.headers.first(name: "RateLimit-Policy") == #""tenant";q=20000;w=120, "user";q=200;w=120"#)
            #expect(first.headers.first(name: "RateLimit")?.contains(#""user";r=199;t=1"#) == true)
            #expect(first.headers.first(name: "X-RateLimit-Limit") == "200")

            let set = try await gateway.api(.POST, Self.admin + "tenant-limits/default", ["users": ["ada": 1]], token: admin)
            #expect(set.status == 200)
            #expect(set.json?["users"]?["ada"]?.integer == 1)
            let left = try await gateway.mcp(Self.ping, token: user)
            #expect(left.status == 200)
            #expect(left.headers.first(name: "X-RateLimit-Remaining") == "1")
            _ = try await gateway.mcp(Self.ping, token: user)

            let refused = try await gateway.mcp(Self.ping, token: user)
            #expect(refused.status == 429)
            let error = refused.json?["error"]
            #expect(error?["code"]?.integer == 1001)
            #expect(error?["data"]?["limit"]?.string == "user")
            #expect(error?["data"]?["whose"]?.string == "ada")
            let wait = try #require(refused.headers.first(name: "Retry-After").flatMap { Int($0) })
            #expect((1...60).contains(wait))
            #expect(error?["data"]?["retryAfterSeconds"]?.integer == Int64(wait))
            #expect(refused.headers.first(name: "RateLimit-Policy") == #""user";q=2;w=120"#)
            #expect(refused.headers.first(name: "RateLimit") == #""user";r=0;t=\#(wait)"#)
            #expect(refused.headers.first(name: "X-RateLimit-Remaining") == "0")
            #expect(refused.headers.first(name: "X-RateLimit-Reset") == "\(wait)")

            // The admin API takes from the same buckets, and answers in its own form.
            let problem = try await gateway.api(.GET, "/api/v1/servers", token: user)
            #expect(problem.status == 429)
            #expect(problem.json?["code"]?.string == "throttled")
            // Taken back, the setting holds again.
            #expect(try await gateway.api(.POST, Self.admin + "tenant-limits/default", ["users": ["ada": .null]], token: admin).status == 200)
        }
    }

    @Test(arguments: [["/mcp"], ["/servers/demo-http/mcp"], ["/mcp", "/servers/demo-http/mcp", "/mcp"]])
    func `a server's and a tool's limit hold for all users of the tenant, at all endpoints together`(_ paths: [String]) async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let body: JSONText = ["tools": ["demo-http__echo": 1], "servers": ["demo-http": 2]]
            #expect(try await gateway.api(.POST, Self.admin + "tenant-limits/default", body, token: admin).status == 200)
            var limits: [String] = []
            for (number, user) in ["a", "b", "c"].enumerated() {
                let path = paths[number % paths.count]
                let tool = path == "/mcp" ? "demo-http__echo" : "echo"
                let call = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\#(tool)","arguments":{"text":"x"}}}"#
                let answer = try await gateway.mcp(call, to: path, token: try await gateway.token(user))
                limits.append(answer.json?["error"]?["data"]?["limit"]?.string ?? "")
            }
            #expect(limits == ["", "", "tool"])
        }
    }

    @Test func `a quota is counted, refused with its end, and shown`() async throws {
        try await RunningGateway.with { gateway in
            let (admin, user) = (try await gateway.token("admin", .admin), try await gateway.token("ada"))
            #expect(try await gateway.api(.PUT, Self.admin + "quotas/default", ["daily": 3, "monthly": 100], token: admin).status == 200)
            var statuses: [Int] = []
            for _ in 0..<4 { statuses.append(try await gateway.mcp(Self.ping, token: user).status) }
            #expect(statuses == [200, 200, 200, 429])
            #expect(try await gateway.api(.PUT, Self.admin + "quotas/default", ["daily": .null], token: admin).status == 429)
            // The operator on the host is bound by nothing.
            let limits = try await gateway.control("POST", "/limits", ["daily": .null])
            #expect(limits?["quotas"]?["daily"]?["limit"]?.isNull == true)
            let quotas = try await gateway.api(.GET, Self.admin + "quotas/default", token: admin)
            #expect(quotas.json?["monthly"]?["used"]?.integer == 4)
        }
    }

    static let badLimits: [JSONText] = [
        ["weight": 0], ["weight": 1001], ["weight": "2"], ["requests_per_minute": -1], ["requests_per_minute": .number(1.5)], ["users": 3],
        ["users": ["": 3]], ["users": ["ada": "many"]], ["user": 3], ["tools": ["x": 10_000_001]],
    ]

    @Test func `bad limits are refused with what was expected, and by whoever may not set them`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            for body in Self.badLimits {
                let answer = try await gateway.api(.POST, Self.admin + "tenant-limits/default", body, token: admin)
                #expect(answer.status == 422, "\(body)")
            }
            #expect(try await gateway.api(.POST, Self.admin + "tenant-limits/nobody", ["weight": 2], token: admin).status == 404)
            for (name, role) in [("user", Role.user), ("server_owner", .serverOwner), ("auditor", .auditor)] {
                let token = try await gateway.token(name, role)
                #expect(try await gateway.api(.POST, Self.admin + "tenant-limits/default", ["weight": 2], token: token).status == 403)
                #expect(try await gateway.api(.POST, Self.admin + "blocked-addresses/192.0.2.1", token: token).status == 403)
                let expected = role == .auditor ? 200 : 403
                for path in ["tenant-limits/default", "quotas/default", "blocked-addresses", "rate-limiting-performance", "tenant-fairness/default"] {
                    #expect(try await gateway.api(.GET, Self.admin + path, token: token).status == expected, "\(path) as \(name)")
                }
            }
        }
    }

    @Test func `an address with too many bad tokens is blocked, a valid token passes, and an administrator lifts it`() async throws {
        let settings = ["MREG_TRUSTED_PROXIES": "127.0.0.0/8", "MREG_FASTMCP_DDOS_DETECTION_THRESHOLD": "5"]
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let office = [("X-Forwarded-For", "203.0.113.9, 2001:db8:1:2::7")]
        try await RunningGateway.with(settings, folder: folder) { gateway in
            for _ in 0..<5 { #expect(try await gateway.mcp(Self.ping, token: "bad", headers: office).status == 401) }
            let blocked = try await gateway.mcp(Self.ping, token: nil, headers: [("X-Forwarded-For", "2001:db8:1:2:ffff::1")])
            #expect(blocked.status == 403)
            #expect(blocked.json?["code"]?.string == "blocked")
            #expect(blocked.headers.first(name: "Retry-After").flatMap { Int($0) } ?? 0 > 3590)
            // Neither who is named left of it, nor anybody else.
            #expect(try await gateway.mcp(Self.ping, token: nil, headers: [("X-Forwarded-For", "203.0.113.9")]).status == 401)
            // Seen for the first time, and again.
            let token = try await gateway.token("ada")
            for _ in 0..<2 { #expect(try await gateway.mcp(Self.ping, token: token, headers: office).status == 200) }
        }
        try await RunningGateway.with(settings, folder: folder) { gateway in
            #expect(try await gateway.mcp(Self.ping, token: nil, headers: office).status == 403)
            let admin = try await gateway.token("admin", .admin)
            let list = try await gateway.api(.GET, Self.admin + "blocked-addresses", token: admin)
            let entry = list.json?["blocked"]?.elements.first
            #expect(entry?["address"]?.string == "2001:db8:1:2::/64")
            #expect(entry?["reason"]?.string == "violations")
            #expect(try await gateway.api(.DELETE, Self.admin + "blocked-addresses/2001:db8:1:2::", token: admin).status == 204)
            #expect(try await gateway.api(.DELETE, Self.admin + "blocked-addresses/2001:db8:1:2::", token: admin).status == 404)
            #expect(try await gateway.mcp(Self.ping, token: nil, headers: office).status == 401)
            let rows = try await gateway.api(.GET, Self.admin + "audit", token: admin).json?["rows"]?.elements ?? []
            #expect(Set(["address.block", "address.lift"]).isSubset(of: rows.compactMap { $0["action"]?.string }))
        }
    }

    /// However many are made up beside it; after a restart nobody's token was seen before.
    @Test func `a token seen for the first time passes a block while a flood of made-up ones does not`() async throws {
        let settings = ["MREG_TRUSTED_PROXIES": "127.0.0.0/8", "MREG_FASTMCP_DDOS_DETECTION_THRESHOLD": "5"]
        try await RunningGateway.with(settings) { gateway in
            let office = [("X-Forwarded-For", "198.51.100.7")]
            let parts = try await gateway.token("eve").split(separator: ".")
            let forged = "\(parts[0]).eyJqdGkiOiIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAifQ.\(parts[2])"
            var statuses: Set<Int> = []
            for _ in 0..<150 { statuses.insert(try await gateway.mcp(Self.ping, token: forged, headers: office).status) }
            #expect(statuses == [401, 403])
            for user in ["ada", "bob"] {
                #expect(try await gateway.mcp(Self.ping, token: try await gateway.token(user), headers: office).status == 200)
            }
        }
    }

    @Test func `what a known account does wrong does not block its address`() async throws {
        let settings = ["MREG_TRUSTED_PROXIES": "127.0.0.0/8", "MREG_FASTMCP_DDOS_DETECTION_THRESHOLD": "5"]
        try await RunningGateway.with(settings) { gateway in
            let office = [("X-Forwarded-For", "198.51.100.7")]
            let token = try await gateway.token("ada")
            for _ in 0..<20 { #expect(try await gateway.mcp("{", token: token, headers: office).status == 400) }
            let admin = try await gateway.token("admin", .admin)
            let activity = try await gateway.api(.GET, Self.admin + "user-activity/ada", token: admin)
            #expect(activity.json?["bad_requests_last_hour"]?.integer == 20)
            // A client without a token is on its way to one.
            for _ in 0..<20 { #expect(try await gateway.mcp(Self.ping, token: nil, headers: office).status == 401) }
        }
    }

    @Test func `an administrator blocks an address, and not one that is never blocked`() async throws {
        try await RunningGateway.with(["MREG_BLOCK_ALLOWLIST": "192.0.2.0/24", "MREG_TRUSTED_PROXIES": "127.0.0.0/8"]) { gateway in
            let admin = try await gateway.token("admin", .admin)
            #expect(try await gateway.api(.POST, Self.admin + "blocked-addresses/198.51.100.9", ["seconds": 60], token: admin).status == 201)
            #expect(try await gateway.mcp(Self.ping, token: nil, headers: [("X-Forwarded-For", "198.51.100.9")]).status == 403)
            #expect(try await gateway.api(.POST, Self.admin + "blocked-addresses/192.0.2.9", token: admin).status == 409)
            #expect(try await gateway.api(.POST, Self.admin + "blocked-addresses/300.0.0.1", token: admin).status == 422)
            #expect(try await gateway.api(.POST, Self.admin + "blocked-addresses/198.51.100.9", ["seconds": 0], token: admin).status == 422)
        }
    }

    @Test func `a forwarding header is not believed of whoever is no declared proxy`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM": "2", "MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR": "1.0"]) { gateway in
            var statuses: [Int] = []
            for number in 0..<4 {
                statuses.append(try await gateway.mcp(Self.ping, token: nil, headers: [("X-Forwarded-For", "203.0.113.\(number)")]).status)
            }
            #expect(statuses == [401, 401, 429, 429])
            // Those who are known do not pay for it.
            #expect(try await gateway.mcp(Self.ping, token: try await gateway.token()).status == 200)
        }
    }

    @Test func `a person on the way to sign in is asked to wait by a page, not by a program's answer`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM": "1", "MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR": "1.0"]) { gateway in
            _ = try await gateway.mcp(Self.ping, token: nil)
            for (method, path) in [
                (.GET, "/authorize?client_id=x"), (.POST, "/authorize"), (.POST, "/consent"), (.GET, "/oauth/callback?state=x&code=y"),
                (.GET, "/connect/demo"), (.GET, "/connect/callback?state=x&code=y"),
            ] as [(HTTPMethod, String)] {
                let answer = try await gateway.send(method, path, headers: [("Content-Type", "application/x-www-form-urlencoded")], body: [])
                #expect(answer.status == 429, "\(path)")
                #expect((1...60).contains(answer.headers.first(name: "Retry-After").flatMap { Int($0) } ?? 0), "\(path)")
                #expect(answer.headers.first(name: "Content-Type") == "text/html; charset=utf-8", "\(path)")
                #expect(answer.headers.first(name: "Content-Security-Policy")?.contains("frame-ancestors 'none'") == true)
                #expect(answer.text.contains("then start again.") && !answer.text.contains("audit log"), "\(answer.text)")
            }
            // Programs get what they read.
            let answer = try await gateway.send(.POST, "/register", headers: [("Content-Type", "application/json")], body: Array("{}".utf8))
            #expect(answer.status == 429)
            #expect(answer.headers.first(name: "Content-Type") == "application/problem+json")
        }
    }

    @Test func `one user more than may be active is asked to come back`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_MAX_CONCURRENT_USERS": "2"]) { gateway in
            for user in ["a", "b", "a", "b"] { #expect(try await gateway.mcp(Self.ping, token: try await gateway.token(user)).status == 200) }
            let third = try await gateway.mcp(Self.ping, token: try await gateway.token("c"))
            #expect(third.status == 503)
            #expect((1...1800).contains(third.headers.first(name: "Retry-After").flatMap { Int($0) } ?? 0))
            #expect(try await gateway.api(.GET, Self.admin + "blocked-addresses", token: try await gateway.token("admin", .admin)).status == 200)
        }
    }

    @Test func `the reports say how fair it was, by the definitions in them`() async throws {
        try await RunningGateway.with { gateway in
            for user in ["a", "b"] { _ = try await gateway.mcp(Self.ping, token: try await gateway.token(user)) }
            let admin = try await gateway.token("admin", .admin)
            let report = try #require(try await gateway.api(.GET, Self.admin + "rate-limiting-performance", token: admin).json)
            #expect(report["fairness_efficiency"]?.integer == 1)
            #expect(report["tenant_satisfaction"]?.integer == 1)
            #expect(report["false_positive_rate"]?.integer == 0)
            #expect(report["algorithm_overhead"]?["decisions"]?.integer ?? 0 >= 3)
            let definitions = report["definitions"]?.members.map(\.name) ?? []
            #expect(definitions == ["fairness_efficiency", "algorithm_overhead", "false_positive_rate", "tenant_satisfaction"])
            let tenant = try await gateway.api(.GET, Self.admin + "tenant-fairness/default", token: admin)
            #expect(tenant.json?["granted"]?.integer ?? 0 >= 4)
        }
    }
}
