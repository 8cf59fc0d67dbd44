import Crypto
import Gateway
import Identity
import Synchronization
import Testing

struct IssuerKeysTests {
    static let keysURL = "\(IssuerRig.issuer)/keys"
    static let rotated: IDTokenText.Signer = { try await IssuerTestKeys.otherRSA.sign($0) }

    private func isUnknown(_ rig: IssuerRig, _ token: String) async -> Bool {
        do {
            _ = try await rig.signIn(token)
            return false
        } catch {
            return error.kind == .token(.unknownKey)
        }
    }

    // MARK: Which keys count

    struct Unusable: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let set: String
        init(_ description: String, _ keys: String...) {
            testDescription = description
            set = "{\"keys\":[\(keys.joined(separator: ","))]}"
        }
        init(_ description: String, text: String) {
            testDescription = description
            set = text
        }
    }

    @Test(arguments: [
        Unusable("for encryption", IssuerTestKeys.rsa.jwk(["use": "enc"])),
        Unusable("for another operation", String(IssuerTestKeys.rsa.jwk().dropLast()) + #","key_ops":["encrypt"]}"#),
        Unusable("for another algorithm", IssuerTestKeys.rsa.jwk(["alg": "RS512"])),
        Unusable("for an algorithm with a shared secret", IssuerTestKeys.rsa.jwk(["alg": "HS256"])),
        Unusable("a shared secret", #"{"kty":"oct","kid":"key-1","k":"c2VjcmV0","alg":"HS256"}"#),
        Unusable("a shared secret that says RS256", #"{"kty":"oct","kid":"key-1","k":"c2VjcmV0","alg":"RS256"}"#),
        Unusable("1024 bits", IssuerTestKeys.rsa.jwk(["n": IssuerTestKeys.weakModulus])),
        Unusable("2048 bits with zeroes before", IssuerTestKeys.rsa.jwk(["n": String(repeating: "A", count: 172) + IssuerTestKeys.weakModulus])),
        Unusable("an exponent of one", IssuerTestKeys.rsa.jwk(["e": "AQ"])),
        Unusable("an even exponent", IssuerTestKeys.rsa.jwk(["e": "AQAA"])),
        Unusable("16384 bits", IssuerTestKeys.rsa.jwk(["n": String(repeating: "_", count: 2731)])),
        Unusable("a published private half", IssuerTestKeys.rsa.jwk(["d": "AQAB"])),
        Unusable("no modulus", IssuerTestKeys.rsa.jwk(["n": nil])),
        Unusable("a modulus that is no base64", IssuerTestKeys.rsa.jwk(["n": "!!!"])),
        Unusable("a kid of 129 bytes", IssuerTestKeys.rsa.jwk(["kid": String(repeating: "k", count: 129)])),
        Unusable("a point beside the curve", JWKText.p256(IssuerTestKeys.p256, ["kid": "key-1", "y": String(repeating: "A", count: 43)])),
        Unusable("a curve nobody allows", JWKText.p256(IssuerTestKeys.p256, ["kid": "key-1", "crv": "secp256k1"])),
        Unusable("an unknown type", #"{"kty":"XYZ","kid":"key-1"}"#),
        Unusable("a key that is no object", "1"),
        Unusable("no keys at all", text: #"{"keys":[]}"#),
        Unusable("no list", text: #"{"keys":{}}"#),
        Unusable("one key bare", text: IssuerTestKeys.rsa.jwk()),
        Unusable("not JSON", text: "<html>"),
        Unusable("101 keys", text: "{\"keys\":[\(Array(repeating: IssuerTestKeys.rsa.jwk(), count: 101).joined(separator: ","))]}"),
        Unusable("more than 256 KiB", text: JWKText.set(IssuerTestKeys.rsa.jwk(["x5c": String(repeating: "A", count: 300_000)]))),
    ])
    func `a key set without a key that is fit is refused with a sentence`(_ unusable: Unusable) async throws {
        let rig = try IssuerRig.oidc()
        rig.publish(keys: unusable.set)
        let token = try await IDTokenText.oidc()
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.signIn(token) }
        #expect(failure?.kind == .configuration, "\(failure?.sentence ?? "")")
    }

    @Test func `an unfit key beside a fit one is passed over`() async throws {
        let rig = try IssuerRig.oidc()
        rig.publish(
            keys: JWKText.set(
                #"{"kty":"oct","kid":"key-1","k":"c2VjcmV0"}"#, IssuerTestKeys.otherRSA.jwk(["use": "enc"]), IssuerTestKeys.rsa.jwk(),
                IssuerTestKeys.otherRSA.jwk(["kid": "key-0"])))
        #expect(try await rig.signIn(IDTokenText.oidc()).subject == "ada")
    }

    @Test func `a token that names no key means the only one there is for its algorithm`() async throws {
        let token = try await IDTokenText.oidc(header: ["kid": nil])
        let one = try IssuerRig.oidc()
        #expect(try await one.signIn(token).subject == "ada")
        one.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(["kid": nil])))
        #expect(try await one.signIn(token).subject == "ada")

        let two = try IssuerRig.oidc()
        two.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(), IssuerTestKeys.otherRSA.jwk(["kid": "key-2"])))
        #expect(await isUnknown(two, token))
    }

    @Test func `a key without a name is tried for a named one only if there is no other`() async throws {
        let token = try await IDTokenText.oidc()
        let one = try IssuerRig.oidc()
        one.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(["kid": nil])))
        #expect(try await one.signIn(token).subject == "ada")

        let two = try IssuerRig.oidc()
        two.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(["kid": nil]), IssuerTestKeys.otherRSA.jwk(["kid": "key-2"])))
        #expect(await isUnknown(two, token))
    }

    @Test(arguments: [301, 302, 404, 500])
    func `keys that are answered with another status than 200 are none`(_ status: Int) async throws {
        let rig = try IssuerRig.oidc()
        rig.answer(Self.keysURL, status, JWKText.set(IssuerTestKeys.rsa.jwk()), [("location", "http://127.0.0.1:9/keys")])
        let token = try await IDTokenText.oidc()
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.signIn(token) }
        #expect(failure?.isWorthRepeating == (status == 500))
        #expect(rig.requests.allSatisfy { $0.endpoint.origin.description == IssuerRig.issuer })
    }

    // MARK: When they are fetched

    @Test func `an unknown kid has the keys fetched anew, once a minute however many ask`() async throws {
        let rig = try IssuerRig.oidc()
        _ = try await rig.signIn(IDTokenText.oidc())
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(), IssuerTestKeys.otherRSA.jwk(["kid": "key-2"])))
        let new = try await IDTokenText.oidc(header: ["kid": #""key-2""#], sign: Self.rotated)

        rig.pass(.seconds(59))
        #expect(await isUnknown(rig, new))
        #expect(rig.count("/keys") == 1)

        rig.pass(.seconds(1))
        #expect(try await rig.signIn(new).subject == "ada")
        #expect(rig.count("/keys") == 2)

        for number in 0..<200 {
            #expect(await isUnknown(rig, try await IDTokenText.oidc(header: ["kid": "\"made-up-\(number)\""])))
        }
        #expect(rig.count("/keys") == 2)
        #expect(try await rig.signIn(IDTokenText.oidc()).subject == "ada")
    }

    @Test func `an issuer whose keys have no names may change them too`() async throws {
        let rig = try IssuerRig.oidc()
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(["kid": nil])))
        _ = try await rig.signIn(IDTokenText.oidc(header: ["kid": nil]))
        rig.publish(keys: JWKText.set(IssuerTestKeys.otherRSA.jwk(["kid": nil])))
        rig.pass(.seconds(60))
        #expect(try await rig.signIn(IDTokenText.oidc(header: ["kid": nil], sign: Self.rotated)).subject == "ada")
        #expect(rig.count("/keys") == 2)
    }

    @Test(.timeLimit(.minutes(1)))
    func `those who wait for the keys at the same time wait for one fetch`() async throws {
        let rig = try IssuerRig.oidc()
        let (asked, ask) = AsyncStream<Void>.makeStream()
        let (released, release) = AsyncStream<Void>.makeStream()
        rig.gate(Self.keysURL) {
            ask.yield()
            for await _ in released {}
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { try await rig.issuer.check() } }
            for await _ in asked { break }
            release.finish()
            try await group.waitForAll()
        }
        #expect(rig.count("/keys") == 1)
        #expect(rig.count("/.well-known/openid-configuration") == 1)
    }

    @Test(.timeLimit(.minutes(1)))
    func `who asked first may leave, and the fetch goes on for the others`() async throws {
        let rig = try IssuerRig.oidc()
        let (asked, ask) = AsyncStream<Void>.makeStream()
        let (released, release) = AsyncStream<Void>.makeStream()
        rig.gate(Self.keysURL) {
            ask.yield()
            for await _ in released {}
        }
        let first = Task { try await rig.issuer.check() }
        for await _ in asked { break }
        first.cancel()
        async let second: Void = rig.issuer.check()
        release.finish()
        try await second
        #expect(rig.count("/keys") == 1)
    }

    @Test func `when the keys cannot be fetched anew the old ones stay, for a day`() async throws {
        let rig = try IssuerRig.oidc()
        _ = try await rig.signIn(IDTokenText.oidc())
        rig.fail(Self.keysURL, .unreachable("refused"))
        let made = try await IDTokenText.oidc(header: ["kid": #""made-up""#])
        rig.pass(.seconds(60))
        #expect(await isUnknown(rig, made))
        #expect(rig.count("/keys") == 2)
        #expect(try await rig.signIn(IDTokenText.oidc()).subject == "ada")

        // Garbage takes no key away either.
        rig.publish(keys: "garbage")
        rig.pass(.seconds(60))
        #expect(await isUnknown(rig, made))
        #expect(rig.count("/keys") == 3)
        #expect(rig.reports.map(\.isWorthRepeating) == [true, false])

        rig.pass(.seconds(3600 + 86_400 - 121))
        let later = ["iat": "1800089999", "exp": "1800093600"]
        #expect(try await rig.signIn(IDTokenText.oidc(claims: later)).subject == "ada")
        rig.pass(.seconds(1))
        await #expect(throws: IssuerFailure.self) { try await rig.signIn(IDTokenText.oidc(claims: later)) }

        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk()))
        rig.pass(.seconds(60))
        #expect(try await rig.signIn(IDTokenText.oidc(claims: later)).subject == "ada")
    }

    @Test(
        arguments: [
            (nil, 3600), ("max-age=86400, private", 86_400), ("public,max-age=600", 600), ("max-age=0", 300), ("no-store", 300),
            ("no-cache, max-age=900", 300),
            ("max-age=31536000", 86_400), ("max-age=99999999999999999999", 3600), ("max-age=-5", 3600), ("MAX-AGE=1200", 1200),
            ("s-maxage=7000", 3600),
        ] as [(String?, Int)])
    func `keys are fresh for as long as the issuer says, within bounds`(_ header: String?, _ seconds: Int) async throws {
        let rig = try IssuerRig.oidc()
        rig.publish(metadata: IssuerRig.metadata(), cacheControl: "max-age=86400")
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk()), cacheControl: header)
        try await rig.issuer.check()
        rig.pass(.seconds(seconds) - .nanoseconds(1))
        try await rig.issuer.check()
        #expect(rig.count("/keys") == 1)
        rig.pass(.nanoseconds(1))
        try await rig.issuer.check()
        #expect(rig.count("/keys") == 2)
    }

    @Test func `metadata that turns wrong later does not move the endpoints`() async throws {
        let rig = try IssuerRig.oidc()
        try await rig.issuer.check()
        rig.publish(metadata: IssuerRig.metadata(["token_endpoint": #""https://evil.example/token""#]))
        rig.pass(.seconds(7200))
        #expect(try await rig.issuer.metadata().tokenEndpoint.description == "https://issuer.example/token")
        rig.pass(.seconds(86_400))
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.issuer.metadata() }
        #expect(failure?.sentence.contains("token_endpoint") == true)
    }
}
