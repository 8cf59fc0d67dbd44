import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

struct AdminTests {
    private static let admin = "/api/v1/admin/"
    private static let reports = [
        "connection-pool-metrics", "performance-report/daily", "performance-report/weekly", "user-activity", "user-activity/user", "tenant-analytics",
        "tenant-analytics/default", "audit", "sessions",
    ]

    @Test(arguments: reports)
    func `a report is for auditors and admins, and asks everybody else to leave`(path: String) async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.mcp(Self.ping, token: try await gateway.token())
            for (name, role, status) in [("user", Role.user, 403), ("owner", .serverOwner, 403), ("auditor", .auditor, 200), ("admin", .admin, 200)] {
                let answer = try await gateway.api(.GET, Self.admin + path, token: try await gateway.token(name, role))
                #expect(answer.status == status, "\(path) for \(role)")
            }
            #expect(try await gateway.api(.GET, Self.admin + path, token: nil).status == 401)
        }
    }

    @Test(arguments: [
        "user-activity?hours=0", "user-activity?hours=many", "user-activity?hour=1", "audit?limit=101", "audit?cursor=-1", "audit?hours=1&hours=2",
        "sessions?active=maybe", "sessions?cursor=x", "tenant-analytics?hours=100000", "connection-pool-metrics?tenant=default",
    ])
    func `a parameter that means nothing is refused with a sentence`(path: String) async throws {
        try await RunningGateway.with { gateway in
            let answer = try await gateway.api(.GET, Self.admin + path, token: try await gateway.token("auditor", .auditor))
            #expect(answer.status == 422)
            #expect(answer.json?["detail"]?.string?.contains("“") == true)
        }
    }

    @Test func `the activity of users and tenants is what they did`() async throws {
        try await RunningGateway.with { gateway in
            let auditor = try await gateway.token("auditor", .auditor)
            for _ in 0..<3 { _ = try await gateway.mcp(Self.ping, token: try await gateway.token("ada")) }
            let users = try await gateway.api(.GET, Self.admin + "user-activity", token: auditor).json?["users"]?.elements
            let ada = try #require(users?.first { $0["user_id"]?.string == "ada" })
            // Three pings, three tokens, and being made.
            #expect(ada["active_sessions"]?.integer == 3)
            #expect(ada["requests"]?.integer ?? 0 >= 3)
            let tenants = try await gateway.api(.GET, Self.admin + "tenant-analytics", token: auditor).json?["tenants"]?.elements
            #expect(tenants?.first?["tenant_id"]?.string == "default")
            #expect(tenants?.first?["total_requests"]?.integer ?? 0 > 3)
            #expect(tenants?.first?["unique_users_exact"]?.bool == true)
            let one = try await gateway.api(.GET, Self.admin + "user-activity/ada", token: auditor).json
            #expect(one?["latest"]?.elements.contains { $0["action"]?.string == "ping" } == true)
            #expect(try await gateway.api(.GET, Self.admin + "user-activity/nobody", token: auditor).status == 404)
        }
    }

    @Test func `an auditor sees their own tenant only, and an admin who looks into another is on record there`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "acme"])
            let body: JSONText = ["user": "eve", "role": "auditor", "tenant": "acme"]
            let eve = try #require(try await gateway.control("POST", "/tokens", body)?["access_token"]?.string)
            let auditor = try await gateway.token("auditor", .auditor)
            for path in ["user-activity?tenant=acme", "tenant-analytics/acme", "audit?tenant=acme", "sessions?tenant=acme", "audit?tenant=none"] {
                #expect(try await gateway.api(.GET, Self.admin + path, token: auditor).status == 403, "\(path)")
            }
            let seen = try await gateway.api(.GET, Self.admin + "tenant-analytics", token: eve).json?["tenants"]?.elements
            #expect(seen?.allSatisfy { $0["tenant_id"]?.string == "acme" } == true)

            let admin = try await gateway.token("admin", .admin)
            #expect(try await gateway.api(.GET, Self.admin + "user-activity?tenant=acme", token: admin).status == 200)
            let rows = try await gateway.api(.GET, Self.admin + "audit", token: eve).json?["rows"]?.elements ?? []
            #expect(rows.contains { $0["action"]?.string == "report.user_activity" && $0["target"]?.string == "acme" })
        }
    }

    @Test(arguments: ["%FF", "%zz", "%", "%+1", "%C3", "acm%ff"])
    func `a tenant that cannot be read from the path is no tenant, not all of them`(name: String) async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "acme"])
            _ = try await gateway.control("POST", "/tokens", ["user": "alice", "tenant": "acme"])
            for role in [Role.auditor, .admin] {
                let answer = try await gateway.api(
                    .GET, Self.admin + "tenant-analytics/" + name, token: try await gateway.token(role.rawValue, role))
                #expect(answer.status == 404, "\(role)")
                #expect(answer.json?["tenants"] == nil, "\(role)")
            }
            // One that is encoded, and can be read, is itself.
            let auditor = try await gateway.token("auditor", .auditor)
            #expect(try await gateway.api(.GET, Self.admin + "tenant-analytics/def%61ult", token: auditor).status == 200)
            #expect(try await gateway.api(.GET, Self.admin + "tenant-analytics/%61cme", token: auditor).status == 403)
        }
    }

    @Test(arguments: ["tenant-analytics", "audit", "sessions"])
    func `an admin who looks into all tenants at once is on record`(path: String) async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let action = "report." + path.replacing("-", with: "_")
            func seen() async throws -> Int {
                let rows = try await gateway.api(.GET, Self.admin + "audit?tenant=default", token: admin).json?["rows"]?.elements ?? []
                return rows.count { $0["action"]?.string == action && $0["target"]?.string == "all tenants" && $0["outcome"]?.string == "ok" }
            }
            #expect(try await gateway.api(.GET, Self.admin + path, token: admin).status == 200)
            #expect(try await seen() == 1)
            // One's own tenant is no other, and what was refused was not seen.
            #expect(try await gateway.api(.GET, Self.admin + path + "?tenant=default", token: admin).status == 200)
            #expect(try await gateway.api(.GET, Self.admin + path + "?tenant=none", token: admin).status == 404)
            #expect(try await gateway.api(.GET, Self.admin + path, token: try await gateway.token("auditor", .auditor)).status == 200)
            #expect(try await seen() == 1)
        }
    }

    @Test func `what is changed takes no parameter that means nothing`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            #expect(try await gateway.api(.POST, Self.admin + "maintenance?x=1", token: admin).status == 422)
            #expect(try await gateway.api(.DELETE, Self.admin + "sessions/1?x=1", token: admin).status == 422)
            #expect(try await gateway.api(.POST, Self.admin + "users/admin/sign-out?x=1", token: admin).status == 422)
        }
    }

    @Test func `the audit log is read page by page`() async throws {
        try await RunningGateway.with { gateway in
            let auditor = try await gateway.token("auditor", .auditor)
            var ids: [Int64] = []
            var cursor: String?
            repeat {
                let path = Self.admin + "audit?limit=2" + (cursor.map { "&cursor=\($0)" } ?? "")
                let page = try await gateway.api(.GET, path, token: auditor).json
                ids += (page?["rows"]?.elements ?? []).compactMap { $0["id"]?.integer }
                cursor = page?["next_cursor"]?.string
            } while cursor != nil
            #expect(ids.count > 4)
            #expect(ids == ids.sorted(by: >))
            #expect(Set(ids).count == ids.count)
        }
    }

    // MARK: Sessions

    @Test func `a change is told without a time that nobody measured, and a call with its own`() async throws {
        try await RunningGateway.with { gateway in
            #expect(try await gateway.register("changed", "http://127.0.0.1:9/mcp", credential: ["mode": "none"]).status == 201)
            _ = try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, token: gateway.token())
            let auditor = try await gateway.token("auditor", .auditor)
            let rows = try await gateway.api(.GET, "/api/v1/admin/audit", token: auditor).json?["rows"]?.elements ?? []
            let change = try #require(rows.first { $0["action"]?.string == "server.create" && $0["target"]?.string == "changed" })
            let call = try #require(rows.first { $0["action"]?.string == "ping" })
            #expect(change["response_time_ms"]?.isNull == true)
            #expect(call["response_time_ms"]?.isNull == false)
            let lines = try await gateway.control("GET", "/reports/calls")?["lines"]?.elements ?? []
            #expect(lines.first { $0["target"]?.string == "changed" }?["p50_ms"]?.isNull == true)
            #expect(lines.first { $0["action"]?.string == "ping" }?["p50_ms"]?.isNull == false)
        }
    }

    @Test func `a session that is revoked is refused, another of the same user goes on`() async throws {
        try await RunningGateway.with { gateway in
            let (first, second) = (try await gateway.token("ada"), try await gateway.token("ada"))
            let admin = try await gateway.token("admin", .admin)
            _ = try await gateway.mcp(Self.ping, token: first)
            let listed = try await gateway.api(.GET, Self.admin + "sessions", token: admin).json?["sessions"]?.elements ?? []
            let session = try #require(listed.first { $0["user_id"]?.string == "ada" })
            #expect(session["activities"]?.elements.first?["action"]?.string == "ping")
            let path = Self.admin + "sessions/" + (session["id"]?.string ?? "")
            #expect(try await gateway.api(.DELETE, path, token: try await gateway.token("auditor", .auditor)).status == 403)
            #expect(try await gateway.api(.DELETE, path, token: admin).status == 204)

            #expect(try await gateway.mcp(Self.ping, token: first).status == 401)
            #expect(try await gateway.mcp(Self.ping, token: second).status == 200)
            #expect(try await gateway.api(.DELETE, Self.admin + "sessions/1", token: admin).status == 404)
            #expect(try await gateway.api(.DELETE, Self.admin + "sessions/x", token: admin).status == 404)
        }
    }

    @Test func `a revoked session stays revoked over a restart`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (token, port) = try await RunningGateway.with(folder: folder) { gateway in
            let token = try await gateway.token("ada")
            let admin = try await gateway.token("admin", .admin)
            _ = try await gateway.mcp(Self.ping, token: token)
            let sessions = try await gateway.api(.GET, Self.admin + "sessions", token: admin).json?["sessions"]?.elements ?? []
            let id = sessions.first { $0["user_id"]?.string == "ada" }?["id"]?.string ?? ""
            #expect(try await gateway.api(.DELETE, Self.admin + "sessions/" + id, token: admin).status == 204)
            return (token, gateway.port)
        }
        try await RunningGateway.with(["MREG_PORT": String(port)], folder: folder) { gateway in
            let status = try await gateway.mcp(Self.ping, token: token).status
            #expect(status == 401)
        }
    }

    @Test func `a user who is signed out everywhere signs in again at once`() async throws {
        try await RunningGateway.with { gateway in
            let old = try await gateway.token("ada")
            let admin = try await gateway.token("admin", .admin)
            #expect(try await gateway.mcp(Self.ping, token: old).status == 200)
            let answer = try await gateway.api(.POST, Self.admin + "users/ada/sign-out", token: admin)
            #expect(answer.json?["sessions_ended"]?.integer == 1)
            #expect(try await gateway.mcp(Self.ping, token: old).status == 401)
            #expect(try await gateway.mcp(Self.ping, token: try await gateway.token("ada")).status == 200)
            let rows = try await gateway.api(.GET, Self.admin + "audit", token: admin).json?["rows"]?.elements ?? []
            #expect(rows.contains { $0["action"]?.string == "user.sign_out" && $0["target"]?.string == "ada" })
            #expect(try await gateway.api(.POST, Self.admin + "users/ada/sign-out", token: try await gateway.token("ada")).status == 403)
        }
    }

    // MARK: Durability

    @Test func `strict puts a call on record before it is sent`() async throws {
        try await RunningGateway.with(["MREG_AUDIT_DURABILITY": "strict"]) { gateway in
            let call = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__echo","arguments":{"text":"x"}}}"#
            #expect(try await gateway.mcp(call, token: try await gateway.token()).status == 200)
            let rows =
                try await gateway.api(.GET, Self.admin + "audit", token: try await gateway.token("auditor", .auditor)).json?["rows"]?.elements ?? []
            let calls = rows.filter { $0["action"]?.string == "tools/call" }
            #expect(calls.map { $0["outcome"]?.string } == ["ok", "intended"])
            #expect(Set(calls.map { $0["request_id"]?.string }).count == 1)
        }
    }

    @Test func `a flood of bad tokens is a few rows, and every one is counted`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await RunningGateway.with(folder: folder) { gateway in
            for _ in 0..<200 {
                let status = try await gateway.mcp(Self.ping, token: "bad").status
                #expect(status == 401)
            }
        }
        try await RunningGateway.with(folder: folder) { gateway in
            let admin = try await gateway.token("admin", .admin)
            let rows = try await gateway.api(.GET, Self.admin + "audit", token: admin).json?["rows"]?.elements ?? []
            let refused = rows.filter { $0["reason"]?.string == "unauthenticated" }
            #expect(refused.count == 11)
            #expect(refused.compactMap { $0["count"]?.integer }.reduce(0, +) == 200)
        }
    }

    @Test func `nothing a caller calls a secret reaches a row`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let canary = "canary-4f1c09"
        let token = try await RunningGateway.with(folder: folder) { gateway in
            let token = try await gateway.token()
            let arguments = #"{"text":"\#(canary)","password":"\#(canary)"}"#
            for name in ["demo-http__echo", "nowhere__tool"] {
                _ = try await gateway.mcp(
                    #"{"jsonrpc":"2.0","id":"\#(canary)","method":"tools/call","params":{"name":"\#(name)","arguments":\#(arguments)}}"#, token: token
                )
            }
            _ = try await gateway.mcp(Self.ping, token: canary)
            return token
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/state") where name.hasPrefix("gateway") {
            let bytes = try #require(FileManager.default.contents(atPath: folder + "/state/" + name))
            #expect(bytes.firstRange(of: Data(canary.utf8)) == nil, "\(name)")
            #expect(bytes.firstRange(of: Data(token.utf8)) == nil, "\(name)")
        }
    }

    // MARK: Upkeep

    @Test func `maintenance and backups are asked for, done and on record`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            #expect(try await gateway.api(.POST, Self.admin + "maintenance", token: try await gateway.token("auditor", .auditor)).status == 403)
            let done = try await gateway.api(.POST, Self.admin + "maintenance", token: admin).json?["done"]?.elements ?? []
            #expect(!done.isEmpty)
            let copy = try #require(try await gateway.control("POST", "/backups"))
            let path = try #require(copy["path"]?.string)
            #expect(FileManager.default.fileExists(atPath: path))
            #expect(copy["audit_rows"]?.integer ?? 0 > 0)
            let rows = try await gateway.api(.GET, Self.admin + "audit", token: admin).json?["rows"]?.elements ?? []
            #expect(rows.contains { $0["action"]?.string == "maintenance.run" })
            #expect(rows.contains { $0["action"]?.string == "backup.create" })
        }
    }

    @Test func `a log that is missing after a crash is refused with the way out`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await RunningGateway.with(folder: folder) { _ in }
        let path = folder + "/state/gateway.sqlite"
        try Data().write(to: URL(filePath: path + ".open"))
        let error = await #expect(throws: OperatorError.self) { try await RunningGateway.with(folder: folder) { _ in } }
        #expect(error?.description.contains("mreg restore") == true)
        #expect(error?.description.contains("-wal") == true)
    }

    private static let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
}

/// What grows and shrinks, seen from outside.
struct PoolTests {
    @Test func `reports that come all at once make their pool grow, and each is answered`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_RATE_LIMIT_USER_RPM": "0"]) { gateway in
            let auditor = try await gateway.token("auditor", .auditor)
            func pool() async throws -> JSON? {
                try await gateway.api(.GET, "/api/v1/admin/connection-pool-metrics", token: auditor).json?["pools"]?.elements
                    .first { $0["name"]?.string == "analytics" }
            }
            let before = try #require(try await pool()?["size"]?.integer)
            for _ in 0..<20 where try await pool()?["grown"]?.integer == 0 {
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<40 {
                        group.addTask { try await gateway.api(.GET, "/api/v1/admin/tenant-analytics?hours=2000", token: auditor).status }
                    }
                    for try await status in group { #expect(status == 200) }
                }
            }
            let after = try #require(try await pool())
            #expect(after["grown"]?.integer ?? 0 > 0)
            #expect(after["size"]?.integer ?? 0 > before)
            #expect(after["size"]?.integer ?? 0 <= after["maximum"]?.integer ?? 0)
            #expect(after["waiters"]?.integer == 0)
        }
    }

    @Test func `with scaling switched off a pool has its size from the start`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_ENABLE_ADAPTIVE_CONNECTION_POOLING": "false", "MREG_POOL_ANALYTICS_SIZE": "3"]) { gateway in
            let pools = try await gateway.control("GET", "/reports/pools")?["pools"]?.elements ?? []
            #expect(pools.first { $0["name"]?.string == "analytics" }?["size"]?.integer == 3)
        }
    }
}
