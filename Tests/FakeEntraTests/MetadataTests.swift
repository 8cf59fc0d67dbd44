import Gateway
import JWTKit
import Testing

@testable import FakeEntra

struct MetadataTests {
    @Test func `a tenant's metadata names its issuer and endpoints, and not that PKCE is served`() throws {
        let rig = try Rig()
        let reply = try rig.send("GET", "/\(rig.tenant)/v2.0/.well-known/openid-configuration")
        let metadata = try found(reply.json)
        #expect(reply.status == 200)
        #expect(metadata["issuer"]?.string == "http://127.0.0.1/\(rig.tenant)/v2.0")
        #expect(metadata["token_endpoint"]?.string == "http://127.0.0.1/\(rig.tenant)/oauth2/v2.0/token")
        #expect(metadata["jwks_uri"]?.string == "http://127.0.0.1/\(rig.tenant)/discovery/v2.0/keys")
        #expect(metadata["code_challenge_methods_supported"] == nil)
        #expect(metadata["subject_types_supported"]?.strings == ["pairwise"])
        #expect(metadata["tenant_region_scope"] == "WW")
    }

    @Test(arguments: ["common", "organizations"])
    func `metadata for every tenant leaves the tenant in its issuer open`(name: String) throws {
        let rig = try Rig()
        let metadata = try found(try rig.send("GET", "/\(name)/v2.0/.well-known/openid-configuration").json)
        #expect(metadata["issuer"] == "http://127.0.0.1/{tenantid}/v2.0")
        #expect(metadata["authorization_endpoint"]?.string == "http://127.0.0.1/\(name)/oauth2/v2.0/authorize")
        let keys = try found(try rig.send("GET", "/\(name)/discovery/v2.0/keys").json?["keys"])
        guard case .array(let all) = keys else { throw Failed("no keys") }
        #expect(all.map { $0["issuer"] } == ["http://127.0.0.1/{tenantid}/v2.0"])
    }

    @Test(arguments: [(nil, "http://127.0.0.1"), ("https://sts.windows.net", "https://sts.windows.net")])
    func `the issuer of v1 tokens stands in the older metadata, in the form that was chosen`(v1Issuer: String?, base: String) throws {
        let rig = try Rig(v1Issuer: v1Issuer)
        let metadata = try found(try rig.send("GET", "/\(rig.tenant)/.well-known/openid-configuration").json)
        #expect(metadata["issuer"]?.string == "\(base)/\(rig.tenant)/")
    }

    @Test func `an unknown tenant has no metadata`() throws {
        let reply = try Rig().send("GET", "/00000000-0000-0000-0000-000000000000/v2.0/.well-known/openid-configuration")
        #expect(reply.status == 400)
        #expect(reply.json?["error"] == "invalid_tenant")
        #expect(reply.failure == 90002)
    }

    @Test func `a rotated key stays published beside its successor, and a withdrawn one does not`() async throws {
        let rig = try Rig()
        let old = try found(try rig.signIn("user")["id_token"]?.string)
        try rig.fake.rotateKeys()
        let new = try found(try rig.signIn("user")["id_token"]?.string)
        #expect(try header(old)["kid"] != header(new)["kid"])
        let both = try await rig.keySet()
        _ = try await both.verify(old, as: AnyClaims.self)
        _ = try await both.verify(new, as: AnyClaims.self)

        try rig.fake.rotateKeys(overlap: false)
        let one = try await rig.keySet()
        await #expect(throws: (any Error).self) { try await one.verify(old, as: AnyClaims.self) }
        await #expect(throws: (any Error).self) { try await one.verify(new, as: AnyClaims.self) }
    }

    @Test func `keys have no algorithm of their own, as Entra's have none`() throws {
        let rig = try Rig()
        guard case .array(let keys)? = try rig.send("GET", "/\(rig.tenant)/discovery/v2.0/keys").json?["keys"] else { throw Failed("no keys") }
        #expect(keys.count == 1)
        #expect(keys[0]["kty"] == "RSA" && keys[0]["use"] == "sig" && keys[0]["alg"] == nil)
        #expect(keys[0]["kid"] == keys[0]["x5t"])
        #expect(keys[0]["e"] == "AQAB")
    }
}
