import Gateway
import Testing

@testable import FakeEntra

struct TroubleTests {
    @Test func `an error on demand comes as often as it was asked for`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        rig.fake.cause(.init(.error(.grantRevoked), at: .token, times: 2))
        #expect(try rig.refresh(token).failure == 50173)
        #expect(try rig.refresh(token).failure == 50173)
        #expect(try rig.refresh(token).status == 200)
    }

    @Test func `an error at the authorization endpoint goes back to the client`() throws {
        let rig = try Rig()
        rig.fake.cause(.init(.error(.directoryUnavailable), at: .authorize))
        let reply = try rig.authorize()
        #expect(reply.redirect["error"] == "temporarily_unavailable")
        #expect(try rig.authorize().status == 200)
    }

    @Test func `a demanded second factor comes with the claims to ask for`() throws {
        let rig = try Rig()
        rig.fake.cause(.init(.error(.secondFactorNeeded), at: .token))
        let reply = try rig.redeem(rig.code(for: "user"))
        #expect(reply.json?["suberror"] == "basic_action")
        #expect(reply.json?["claims"]?.string?.hasPrefix("{") == true)
    }

    @Test func `an endpoint can be busy, or slow, or silent, before or after it did what was asked`() throws {
        let rig = try Rig()
        rig.fake.cause(.init(.status(429, retryAfter: .milliseconds(1500)), at: .keys))
        let busy = try rig.send("GET", "/\(rig.tenant)/discovery/v2.0/keys")
        #expect(busy.status == 429)
        #expect(busy["retry-after"] == "2")

        rig.fake.cause(.init(.delay(.seconds(3600)), at: .metadata))
        guard case .reply(let slow, let delay) = rig.fake.answer(.init("GET", "/\(rig.tenant)/v2.0/.well-known/openid-configuration")) else {
            throw Failed("no reply")
        }
        #expect(slow.status == 200)
        #expect(delay == .seconds(60))

        let code = try rig.code(for: "user")
        rig.fake.cause(.init(.loseRequest, at: .token))
        rig.fake.cause(.init(.loseReply, at: .token))
        #expect(throws: Failed.self) { try rig.redeem(code) }
        #expect(throws: Failed.self) { try rig.redeem(code) }
        #expect(try rig.redeem(code).failure == 54005)
        #expect(rig.fake.requests.suffix(3).map(\.status) == [nil, nil, 400])
    }

    @Test func `an ID token's claims can be wrong`() throws {
        let rig = try Rig()
        rig.fake.cause(.init(.idToken(["nonce": "another", "tid": .null, "exp": 1]), at: .token))
        let identity = try claims(rig.signIn("user")["id_token"]?.string)
        #expect(identity["nonce"] == "another")
        #expect(identity["tid"] == nil)
        #expect(identity["exp"] == 1)
        #expect(try claims(rig.signIn("user")["id_token"]?.string)["nonce"] == "n-0S6")
    }

    @Test func `trouble is bounded`() throws {
        let rig = try Rig()
        for _ in 0..<150 { rig.fake.cause(.init(.status(503, retryAfter: nil), at: .metadata)) }
        let path = "/\(rig.tenant)/v2.0/.well-known/openid-configuration"
        let statuses = try (0..<101).map { _ in try rig.send("GET", path).status }
        #expect(statuses == Array(repeating: 503, count: 100) + [200])
    }

    // MARK: - By HTTP

    private func control(_ rig: Rig, _ path: String, _ body: String, headers: [(name: String, value: String)] = []) throws -> FakeEntra.Reply {
        try rig.send("POST", "/__fake/\(path)", headers: headers, body: Array(body.utf8))
    }

    @Test(arguments: [
        (#"{"endpoint":"token","error":"AADSTS50173","times":1}"#, 400), (#"{"endpoint":"token","status":503,"retry_after":7}"#, 503),
        (#"{"error":"AADSTS7000222"}"#, 401),
    ])
    func `trouble can be caused from outside`(body: String, status: Int) throws {
        let rig = try Rig()
        let code = try rig.code(for: "user")
        #expect(try control(rig, "trouble", body).status == 200)
        #expect(try rig.redeem(code).status == status)
        #expect(try rig.redeem(code).status == 200)
    }

    @Test(arguments: [
        "", "[]", "{", #"{"endpoint":"token"}"#, #"{"endpoint":"moon","status":503}"#, #"{"error":"AADSTS1"}"#, #"{"error":"50173"}"#,
        #"{"status":200}"#,
        #"{"status":503,"delay_ms":1}"#, #"{"delay_ms":60001}"#, #"{"drop":true}"#, #"{"status":503,"times":0}"#, #"{"id_token":"x"}"#,
        #"{"status":503.5}"#,
    ])
    func `what is not understood causes nothing`(body: String) throws {
        let rig = try Rig()
        #expect(try control(rig, "trouble", body).status == 400)
        #expect(try rig.authorize().status == 200)
    }

    @Test func `users and keys can be changed from outside`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        #expect(try control(rig, "users/user", #"{"roles":["auditor"]}"#).status == 200)
        #expect(try claims(rig.signIn("user")["access_token"]?.string)["roles"]?.strings == ["auditor"])
        #expect(try control(rig, "users/user", #"{"revoked":true}"#).status == 200)
        #expect(try rig.refresh(token).failure == 50173)
        #expect(try control(rig, "users/user", #"{"disabled":true}"#).status == 200)
        #expect(try rig.authorize(["prompt": "none", "login_hint": "user"]).failure == 50057)
        #expect(try control(rig, "users/nobody", "{}").status == 404)
        #expect(try control(rig, "users/user", #"{"rolls":[]}"#).status == 400)

        let kid = try control(rig, "rotate-keys", "{}").json?["kid"]?.string
        #expect(try header(rig.signIn("admin")["id_token"]?.string)["kid"]?.string == kid)
    }

    @Test func `web pages cannot cause trouble`() throws {
        let rig = try Rig()
        for header in [(name: "origin", value: "http://127.0.0.1"), (name: "sec-fetch-site", value: "none")] {
            #expect(try control(rig, "trouble", #"{"status":503}"#, headers: [header]).status == 403)
        }
    }

    @Test func `the last 100 requests are remembered, without secrets`() throws {
        let rig = try Rig()
        let code = try rig.code(for: "user")
        let tokens = try found(try rig.redeem(code).json)
        _ = try rig.refresh(try found(tokens["refresh_token"]?.string))
        _ = try rig.redeem(code)
        let reply = try rig.send("GET", "/__fake/requests")
        guard case .array(let requests)? = reply.json?["requests"] else { throw Failed("no requests") }
        #expect(requests.count == 4)
        #expect(requests[0]["parameters"]?["login_hint"] == "user")
        #expect(requests[1]["parameters"]?["grant_type"] == "authorization_code")
        #expect(requests[1]["authentication"] == "post")
        #expect(requests[3]["error"] == 54005)
        let secrets = [
            code, rig.registration.clientSecret.revealed, Rig.verifier, tokens["refresh_token"]?.string, tokens["access_token"]?.string, "s t&te",
            "n-0S6",
        ]
        for secret in secrets { #expect(!reply.text.contains(try found(secret))) }

        for _ in 0..<150 { _ = try rig.authorize() }
        #expect(rig.fake.requests.count == 100)
    }
}
