import Gateway
import Testing

@testable import OAuth

struct PKCETests {
    static let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    static let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

    @Test func `the example of RFC 7636 holds`() throws {
        #expect(try CodeVerifier(Self.verifier).challenge.text == Self.challenge)
        #expect(try CodeChallenge(Self.challenge, method: "S256").isMet(by: CodeVerifier(Self.verifier)))
    }

    @Test func `another verifier does not meet it, whichever character is another`() throws {
        let challenge = try CodeChallenge(Self.challenge, method: "S256")
        for index in 0..<Self.verifier.utf8.count {
            var bytes = Array(Self.verifier.utf8)
            bytes[index] = bytes[index] == 0x41 ? 0x42 : 0x41
            #expect(try !challenge.isMet(by: CodeVerifier(String(decoding: bytes, as: UTF8.self))))
        }
        #expect(try !challenge.isMet(by: CodeVerifier(Self.challenge)))
    }

    @Test(arguments: [nil, "plain", "s256", "S512", "", " S256"] as [String?])
    func `there is one method`(_ method: String?) {
        let error = #expect(throws: OAuthError.self) { try CodeChallenge(Self.challenge, method: method) }
        #expect(error?.code == .invalidRequest)
    }

    @Test(
        arguments: [
            nil, "", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw cM",
        ] as [String?])
    func `a challenge is the base64url of 32 bytes`(_ text: String?) {
        #expect(throws: OAuthError.self) { try CodeChallenge(text, method: "S256") }
    }

    @Test func `a verifier has 43 to 128 characters of those that need no escape`() throws {
        _ = try CodeVerifier(String(repeating: "~", count: 43))
        _ = try CodeVerifier(String(repeating: "a", count: 128))
        for wrong in ["", "+", " ", "\0", "\u{e4}", "=", "%41"] {
            let text = wrong.isEmpty ? "" : String(repeating: "a", count: 50) + wrong
            #expect(throws: OAuthError.self) { try CodeVerifier(text) }
        }
        for length in [42, 129] { #expect(throws: OAuthError.self) { try CodeVerifier(String(repeating: "a", count: length)) } }
    }

    @Test func `the gateway's own verifiers are all different and good`() throws {
        let verifiers = (0..<100).map { _ in CodeVerifier.random() }
        #expect(Set(verifiers.map(\.text.revealed)).count == 100)
        for verifier in verifiers { #expect(try CodeVerifier(verifier.text.revealed).challenge == verifier.challenge) }
    }
}
