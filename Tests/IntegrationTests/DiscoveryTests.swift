import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

struct DiscoveryTests {
    /// What VS Code asks a gallery for, from the probe of the base URL to the resolution of one server.
    @Test(arguments: ["/v0.1", "/v0", "/v0.1/v0.1", "/v0/v0.1"])
    func `an editor finds the public servers, with a base URL that has a version or not`(root: String) async throws {
        try await RunningGateway.with { gateway in
            let probe = try await gateway.send(.GET, "\(root)/servers?limit=1")
            #expect(probe.status == 200 && probe.json?["servers"]?.elements.count == 1)
            let list = try await gateway.send(.GET, "\(root)/servers?limit=50&version=latest&cursor=&search=")
            let entry = try #require(list.json?["servers"]?.elements.first?["server"])
            #expect(list.json?["metadata"]?["count"]?.integer == 1 && list.json?["metadata"]?["nextCursor"] == nil)
            #expect(entry["name"]?.string == "local.localhost/demo-http")
            #expect(entry["remotes"]?.elements.first?["url"]?.string == "\(gateway.origin)/servers/demo-http/mcp")
            let found = try await gateway.send(.GET, "\(root)/servers?limit=50&version=latest&search=demo%20server")
            #expect(found.body == list.body)
            for name in ["local.localhost%2Fdemo-http", "local.localhost/demo-http"] {
                let one = try await gateway.send(.GET, "\(root)/servers/\(name)/versions/latest")
                #expect(one.status == 200 && one.json?["server"]?.text == entry.text)
                #expect(try await gateway.send(.GET, "\(root)/servers/\(name)/versions/1.0.0").body == one.body)
                #expect(try await gateway.send(.GET, "\(root)/servers/\(name)/versions").json?["servers"]?.elements.count == 1)
            }
        }
    }

    @Test func `nothing is told of where the gateway reaches a server, or of one that is not public`() async throws {
        try await RunningGateway.with { gateway in
            let endpoint = try await gateway.demoEndpoint()
            let admin = try await gateway.token("admin", .admin)
            let body: JSONText = ["alias": "hidden", "title": "Hidden treasure", "endpoint": .string(endpoint)]
            #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: admin).json?["public"]?.bool == false)
            for path in ["/v0.1/servers?include_deleted=true", "/.well-known/ai-catalog.json", "/v0.1/servers/local.localhost%2Fdemo-http/versions"] {
                let text = try await gateway.send(.GET, path).text
                #expect(!text.contains(endpoint) && !text.contains("hidden") && !text.contains("Hidden"))
            }
            #expect(try await gateway.send(.GET, "/v0.1/servers/local.localhost%2Fhidden/versions/latest").status == 404)
            // To whoever has no business with it, one that is hidden and one that is not there look the same.
            let hidden = try await gateway.send(.GET, "/servers/hidden/mcp/server-card")
            let missing = try await gateway.send(.GET, "/servers/missing/mcp/server-card")
            #expect(hidden.status == 404 && missing.status == 404 && hidden.json?["detail"]?.string == missing.json?["detail"]?.string)
        }
    }

    @Test func `an owner publishes a server, each change becomes a version, and what is taken back is told to mirrors`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let latest = "/v0.1/servers/local.localhost%2Fmine/versions/latest"
        let first = try await RunningGateway.with(folder: folder) { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let body: JSONText = [
                "alias": "mine", "title": "Mine", "description": "What is mine", "public": true,
                "endpoint": .string(try await gateway.demoEndpoint()),
            ]
            let made = try await gateway.api(.POST, "/api/v1/servers", body, token: owner)
            #expect(made.status == 201 && made.json?["public"]?.bool == true && made.json?["description"]?.string == "What is mine")
            let path = try #require(made.headers.first(name: "location"))
            let first = try await gateway.send(.GET, latest)
            #expect(first.json?["server"]?["version"]?.string == "1.0.0" && first.json?["server"]?["description"]?.string == "What is mine")

            // What nobody sees is no change.
            #expect(try await gateway.api(.PATCH, path, ["tags": ["a"]], token: owner).status == 200)
            #expect(try await gateway.send(.GET, latest).body == first.body)
            #expect(try await gateway.api(.PATCH, path, ["description": .null], token: owner).json?["description"]?.isNull == true)
            let second = try await gateway.send(.GET, latest)
            #expect(second.json?["server"]?["version"]?.string == "1.0.1" && second.json?["server"]?["description"]?.string == "Mine")
            let kept = try await gateway.send(.GET, latest.replacing("latest", with: "1.0.0"))
            #expect(kept.json?["server"]?.text == first.json?["server"]?.text)

            #expect(try await gateway.api(.PATCH, path, ["status": "disabled"], token: owner).status == 200)
            #expect(try await gateway.send(.GET, latest).status == 404)
            #expect(try await gateway.api(.PATCH, path, ["status": "active"], token: owner).status == 200)
            #expect(try await gateway.send(.GET, latest).status == 200)
            #expect(try await gateway.api(.DELETE, path, token: owner).status == 204)
            #expect(try await gateway.send(.GET, latest).status == 404)
            return first
        }
        try await RunningGateway.with(folder: folder) { gateway in
            let since = try #require(first.json?["_meta"]?["io.modelcontextprotocol.registry/official"]?["publishedAt"]?.string)
            let mirror = try await gateway.send(.GET, "/v0.1/servers?updated_since=\(since)&search=mine").json?["servers"]?.elements ?? []
            // Another port is another URL, and what was said under the former stands.
            #expect(mirror.map { $0["server"]?["version"]?.string } == ["1.0.0", "1.0.1"])
            #expect(mirror.first?["server"]?.text == first.json?["server"]?.text)
            #expect(mirror.allSatisfy { $0["_meta"]?["io.modelcontextprotocol.registry/official"]?["status"]?.string == "deleted" })
            let moved = try await gateway.send(.GET, "/v0.1/servers/local.localhost%2Fdemo-http/versions/latest")
            #expect(moved.json?["server"]?["remotes"]?.elements.first?["url"]?.string == "\(gateway.origin)/servers/demo-http/mcp")
        }
    }

    @Test func `the operator publishes and takes back, and tenants with one alias have two names`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "other"])
            let endpoint = JSONText.string(try await gateway.demoEndpoint())
            _ = try await gateway.control("POST", "/servers", ["tenant": "other", "alias": "demo-http", "endpoint": endpoint, "public": true])
            func names() async throws -> [String] {
                let servers = try await gateway.send(.GET, "/v0.1/servers?version=latest").json?["servers"]?.elements ?? []
                return servers.compactMap { $0["server"]?["name"]?.string }
            }
            let (ours, theirs) = ("local.localhost/demo-http", "local.localhost/demo-http.t2")
            #expect(try await names() == [ours, theirs])
            _ = try await gateway.control("PATCH", "/servers/demo-http", ["public": false])
            #expect(try await names() == [theirs])
            #expect(try await gateway.send(.GET, "/servers/demo-http/mcp/server-card").json?["name"]?.string == theirs)
            _ = try await gateway.control("PATCH", "/servers/demo-http", ["public": true, "description": "Again"])
            #expect(try await names() == [ours, theirs])
            #expect(try await gateway.send(.GET, "/servers/demo-http/mcp/server-card").json?["description"]?.string == "Again")
            // A server called as the path calls versions is found all the same.
            _ = try await gateway.control("POST", "/servers", ["alias": "versions", "endpoint": endpoint, "public": true])
            for path in ["local.localhost/versions/versions", "local.localhost%2Fversions/versions"] {
                #expect(try await gateway.send(.GET, "/v0/servers/\(path)").json?["metadata"]?["count"]?.integer == 1)
                #expect(try await gateway.send(.GET, "/v0/servers/\(path)/latest").json?["server"]?["name"]?.string == "local.localhost/versions")
            }
        }
    }

    @Test func `who has a document already is told so, and asked to look again before long`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let id = try await gateway.api(.GET, "/api/v1/servers", token: admin).json?["servers"]?.elements.first?["id"]?.integer ?? 0
            let paths = [
                "/v0.1/servers", "/v0.1/servers/local.localhost%2Fdemo-http/versions/latest", "/servers/demo-http/mcp/server-card",
                "/.well-known/ai-catalog.json",
            ]
            var tags: [String] = []
            for path in paths + ["/mcp/server-card"] {
                let answer = try await gateway.send(.GET, path)
                let tag = try #require(answer.headers.first(name: "etag"))
                #expect(answer.headers.first(name: "cache-control")?.hasPrefix("public, max-age=") == true)
                for known in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
                    let again = try await gateway.send(.GET, path, headers: [("If-None-Match", known)])
                    #expect(again.status == 304 && again.body.isEmpty && again.headers.first(name: "etag") == tag)
                    #expect(again.headers.first(name: "access-control-allow-origin") == "*")
                }
                #expect(try await gateway.send(.GET, path, headers: [("If-None-Match", "\"other\"")]).status == 200)
                tags.append(tag)
            }
            #expect(Set(tags).count == tags.count)
            #expect(try await gateway.api(.PATCH, "/api/v1/servers/\(id)", ["title": "New"], token: admin).status == 200)
            for (path, tag) in zip(paths, tags) {
                #expect(try await gateway.send(.GET, path, headers: [("If-None-Match", tag)]).status == 200, "\(path)")
            }
        }
    }

    @Test func `pages of any origin may read what is public, and nothing else`() async throws {
        try await RunningGateway.with { gateway in
            let page = [("Origin", "https://github.com")]
            for path in [
                "/v0.1/servers", "/v0.1/servers/local.localhost%2Fdemo-http/versions/latest", "/v0.1/servers/no%2Fbody/versions",
                "/v0/servers?limit=x",
                "/mcp/server-card", "/servers/demo-http/mcp/server-card", "/.well-known/ai-catalog.json", "/.well-known/oauth-protected-resource/mcp",
                "/.well-known/oauth-protected-resource/servers/any/mcp", "/.well-known/oauth-authorization-server",
            ] {
                for headers in [page, []] {
                    let answer = try await gateway.send(.GET, path, headers: headers)
                    #expect(answer.status != 403 && answer.headers["access-control-allow-origin"] == ["*"], "\(path)")
                }
                let asked = try await gateway.send(.OPTIONS, path, headers: page + [("Access-Control-Request-Method", "GET")])
                #expect(asked.status == 204 && asked.headers.first(name: "access-control-allow-methods") == "GET, OPTIONS")
                #expect(asked.headers.first(name: "access-control-allow-headers")?.hasPrefix("Authorization, Content-Type") == true)
                #expect(asked.headers.first(name: "access-control-allow-origin") == "*")
            }
            for (method, path) in [
                (HTTPMethod.GET, "/api/v1/servers"), (.GET, "/health"), (.OPTIONS, "/mcp"), (.POST, "/v0.1/publish"),
                (.GET, "/servers/x/mcp/server-cards"),
            ] {
                let answer = try await gateway.send(method, path, headers: page)
                #expect(answer.status == 403 && answer.headers.first(name: "access-control-allow-origin") == nil, "\(path)")
            }
            // A name that was bound to this address is not ours, whoever asks.
            #expect(try await gateway.send(.GET, "/v0.1/servers", headers: page + [("Host", "evil.example")]).status == 421)
        }
    }

    @Test(arguments: [
        ("/v0.1/servers?limit=0", 400, "limit"), ("/v0.1/servers?limit=101", 400, "limit"), ("/v0.1/servers?cursor=x", 400, "cursor"),
        ("/v0.1/servers?updated_since=today", 400, "updated_since"), ("/v0.1/servers?include_deleted=1", 400, "include_deleted"),
        ("/v0.1/servers?search=%FF", 400, "UTF-8"), ("/v0.1/servers?limit=1&limit=2", 400, "more than once"),
        ("/v0.1/servers/local.localhost%2Fdemo-http/versions/9.9.9", 404, "version"), ("/v0.1/servers/no%2Fbody/versions", 404, "no/body"),
        ("/v0.1/servers/local.localhost%2Fdemo-http", 404, "versions/latest"), ("/v0.1/servers/local.localhost%252Fdemo-http/versions", 404, "%2F"),
        ("/v0/servers/..%2F..%2Fapi/versions", 404, "nothing"), ("/v0.1/v0.1/health", 404, "nothing"),
    ])
    func `what is wrong or not there is said in the registry's own form`(path: String, status: Int, word: String) async throws {
        try await RunningGateway.with { gateway in
            let answer = try await gateway.send(.GET, path)
            #expect(answer.status == status, "\(answer.text)")
            #expect(answer.json?["error"]?.string?.contains(word) == true, "\(answer.text)")
        }
    }

    @Test func `editors that ask for what is gone do not get their address blocked`() async throws {
        let settings = ["MREG_FASTMCP_DDOS_DETECTION_THRESHOLD": "3", "MREG_TRUSTED_PROXIES": "127.0.0.1"]
        try await RunningGateway.with(settings) { gateway in
            let headers = [("X-Forwarded-For", "203.0.113.9")]
            var statuses: Set<Int> = []
            for path in ["/v0.1/servers/no%2Fbody/versions/latest", "/servers/x/mcp/server-card"] {
                for _ in 0..<5 { statuses.insert(try await gateway.send(.GET, path, headers: headers).status) }
            }
            #expect(statuses == [404])
            // As it does for what is a mistake wherever it is asked.
            for _ in 0..<5 { statuses.insert(try await gateway.send(.GET, "/v0.1/servers?limit=0", headers: headers).status) }
            #expect(statuses == [404, 400, 403])
        }
    }

    @Test func `metadata of an endpoint is the same for every alias there could be`() async throws {
        try await RunningGateway.with { gateway in
            func document(_ alias: String) async throws -> (Int, String) {
                let answer = try await gateway.send(.GET, "/.well-known/oauth-protected-resource/servers/\(alias)/mcp")
                return (answer.status, answer.text.replacing(alias, with: "ALIAS"))
            }
            let (known, unknown) = (try await document("demo-http"), try await document("not-there"))
            #expect(known.0 == 200 && known == unknown)
            #expect(known.1.contains("\"\(gateway.origin)/servers/ALIAS/mcp\""))
            for alias in ["UPPER", "thirteen-long", "a--b", "-a", "a_b", "a%2Fb"] { #expect(try await document(alias).0 == 404) }
        }
    }

    @Test func `a caller discovers the tools they may use, and no others`() async throws {
        try await RunningGateway.with { gateway in
            let user = try await gateway.token()
            let all = try await gateway.api(.GET, "/api/v1/discovery/tools", token: user)
            let tools = all.json?["tools"]?.elements ?? []
            #expect(tools.compactMap { $0["name"]?.string } == (try await gateway.tools(user)).sorted())
            let echo = try #require(tools.first { $0["name"]?.string == "demo-http__echo" })
            #expect(echo["server"]?.string == "demo-http" && echo["title"]?.string == "Echo" && echo["description"]?.string?.isEmpty == false)
            #expect(echo.members.map(\.name) == ["name", "server", "title", "description"])

            let some = try await gateway.api(.GET, "/api/v1/discovery/tools?tools=demo-http__echo,demo-http__slow,demo-http__nope", token: user)
            #expect(some.json?["tools"]?.elements.compactMap { $0["name"]?.string } == ["demo-http__echo", "demo-http__slow"])
            var paged: [String] = []
            var cursor: String? = ""
            while let after = cursor {
                let page = try await gateway.api(.GET, "/api/v1/discovery/tools?limit=2" + (after.isEmpty ? "" : "&cursor=\(after)"), token: user)
                    .json
                paged += page?["tools"]?.elements.compactMap { $0["name"]?.string } ?? []
                cursor = page?["next_cursor"]?.string
            }
            #expect(paged == tools.compactMap { $0["name"]?.string })

            _ = try await gateway.control(
                "POST", "/tool-rules", ["effect": "deny", "user": "user", "server": "demo-http", "tool": "echo"])
            let left = try await gateway.api(.GET, "/api/v1/discovery/tools?tools=demo-http__echo", token: user)
            #expect(left.json?["tools"]?.elements.isEmpty == true)
            let other = try await gateway.api(.GET, "/api/v1/discovery/tools?tools=demo-http__echo", token: try await gateway.token("somebody"))
            #expect(other.json?["tools"]?.elements.count == 1)

            _ = try await gateway.control("POST", "/tenants", ["name": "other"])
            let them = try await gateway.control("POST", "/tokens", ["tenant": "other", "user": "them"])?["access_token"]?.string
            #expect(try await gateway.api(.GET, "/api/v1/discovery/tools", token: them).json?["tools"]?.elements.isEmpty == true)
            #expect(try await gateway.api(.GET, "/api/v1/discovery/tools?limit=0", token: user).status == 422)
            #expect(try await gateway.api(.GET, "/api/v1/discovery/resources", token: user).json?["resources"]?.elements.isEmpty == true)
        }
    }

    @Test(arguments: [
        #"{"description":""}"#, #"{"public":"yes"}"#, #"{"public":null}"#, #"{"description":5}"#,
        "{\"description\":\"\(String(repeating: "a", count: 101))\"}", #"{"description":"a\u0007"}"#,
    ])
    func `what is said of a server has to fit everywhere`(body: String) async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let id = try await gateway.api(.GET, "/api/v1/servers", token: admin).json?["servers"]?.elements.first?["id"]?.integer ?? 0
            let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer \(admin)")]
            #expect(try await gateway.send(.PATCH, "/api/v1/servers/\(id)", headers: headers, body: Array(body.utf8)).status == 422)
        }
    }
}
