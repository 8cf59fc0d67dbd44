import Gateway
import Testing

@testable import FakeEntra

struct GraphTests {
    private func get(_ rig: Rig, _ path: String, _ token: String?, query: [String: String] = [:]) throws -> FakeEntra.Reply {
        try rig.send("GET", path, query: query, headers: token.map { [("authorization", "Bearer \($0)")] } ?? [])
    }

    private func post(_ rig: Rig, _ path: String, _ token: String?) throws -> FakeEntra.Reply {
        try rig.send(
            "POST", path, headers: token.map { [("authorization", "Bearer \($0)")] } ?? [], body: Array(#"{"securityEnabledOnly":true}"#.utf8))
    }

    private func appToken(_ rig: Rig) throws -> String {
        let reply = try rig.token(["grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"])
        return try found(reply.json?["access_token"]?.string)
    }

    @Test func `a user's groups come in pages`() throws {
        let rig = try Rig()
        let token = try rig.graphToken("many.groups")
        var ids: [String] = []
        var pages = 0
        var next: String? = "http://127.0.0.1/graph/v1.0/me/transitiveMemberOf"
        while let url = next, pages < 10 {
            let parts = url.dropFirst("http://127.0.0.1".count).split(separator: "?", maxSplits: 1)
            guard
                case .reply(let reply, _) = rig.fake.answer(
                    .init("GET", String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "", headers: [("authorization", "Bearer \(token)")]))
            else { throw Failed("no reply") }
            guard case .array(let groups)? = reply.json?["value"] else { throw Failed("no groups: \(reply.text)") }
            #expect(groups.allSatisfy { $0["@odata.type"] == "#microsoft.graph.group" && $0["displayName"]?.string != nil })
            ids += groups.compactMap { $0["id"]?.string }
            next = reply.json?["@odata.nextLink"]?.string
            pages += 1
        }
        #expect(pages == 3)
        #expect(Set(ids).count == 250 && ids.count == 250)
        #expect(ids == FakeEntra.Directory.evaluation().groups.map(\.id))
    }

    @Test func `the ids of a user's groups come at once, for the user and for an application`() throws {
        let rig = try Rig()
        let mine = try post(rig, "/graph/v1.0/me/getMemberObjects", rig.graphToken("many.groups"))
        #expect(mine.json?["value"]?.strings?.count == 250)
        let theirs = try post(rig, "/graph/v1.0/users/5e000000-0000-4000-8000-000000000005/getMemberObjects", appToken(rig))
        #expect(theirs.json?["value"] == mine.json?["value"])
        // Under a tenant too, for whoever puts the two together.
        #expect(try post(rig, "/\(rig.tenant)/graph/v1.0/me/getMemberObjects", rig.graphToken("user")).json?["value"]?.strings?.count == 1)
    }

    @Test func `who asks is told who they are`() throws {
        let rig = try Rig()
        let token = try rig.graphToken("auditor")
        #expect(try get(rig, "/graph/v1.0/me", token).json?["userPrincipalName"] == "auditor@evaluation.example")
        let info = try get(rig, "/graph/oidc/userinfo", token)
        #expect(info.json?["name"] == "Aki Auditor")
    }

    @Test func `without a token for Graph there is no answer`() throws {
        let rig = try Rig()
        let own = try rig.signIn("user")["access_token"]?.string
        let expired = try rig.graphToken("user")
        let disabled = try rig.graphToken("admin")
        for token in [nil, own, "a.b.c", try rig.fake.token(claims: ["aud": "https://graph.microsoft.com"])] {
            let reply = try get(rig, "/graph/v1.0/me", token)
            #expect(reply.status == 401)
            #expect(reply.json?["error"]?["code"] == "InvalidAuthenticationToken")
            #expect(reply["www-authenticate"] == "Bearer")
        }
        rig.fake.change("admin") { $0.isDisabled = true }
        #expect(try get(rig, "/graph/v1.0/me", disabled).status == 401)
        rig.clock.advance(.seconds(4500))
        #expect(try get(rig, "/graph/v1.0/me", expired).status == 401)
    }

    @Test func `a user's token with no more than the right to read oneself does not read others`() throws {
        let rig = try Rig()
        let token = try rig.graphToken("user")
        let other = "/graph/v1.0/users/5e000000-0000-4000-8000-000000000001/getMemberObjects"
        let reply = try post(rig, other, token)
        #expect(reply.status == 403)
        #expect(reply.json?["error"]?["code"] == "Authorization_RequestDenied")
        #expect(try post(rig, "/graph/v1.0/users/5e000000-0000-4000-8000-000000000003/getMemberObjects", token).status == 200)
        #expect(try post(rig, "/graph/v1.0/me/getMemberObjects", appToken(rig)).status == 400)
        #expect(try post(rig, "/graph/v1.0/users/nobody/getMemberObjects", appToken(rig)).status == 404)
    }

    @Test(arguments: ["0", "1000", "many"])
    func `a page has 1 to 999 groups`(top: String) throws {
        let rig = try Rig()
        #expect(try get(rig, "/graph/v1.0/me/transitiveMemberOf", rig.graphToken("user"), query: ["$top": top]).status == 400)
    }
}
