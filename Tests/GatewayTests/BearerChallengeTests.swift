import Gateway
import Testing

struct BearerChallengeTests {
    @Test(
        arguments: [
            (["Bearer"], nil, nil), (["bearer scope=\"a b\""], "a b", nil),
            (["Bearer error=\"insufficient_scope\", scope=\"a\""], "a", "insufficient_scope"),
            (["Basic realm=\"x, Bearer scope=\\\"evil\\\"\", Bearer scope=\"good\""], "good", nil),
            (["Basic realm=x", "Bearer scope=one"], "one", nil),
            (["Bearer scope=\"a\", Basic scope=\"b\""], "a", nil), (["Bearer scope = \"a\" , error = invalid_token"], "a", "invalid_token"),
            (["Bearer scope=\"a\", scope=\"b\", error=\"e\""], nil, "e"), (["Bearer scope=\"a\\\"b\""], "a\"b", nil),
            ([", , Bearer ,, scope=a"], "a", nil),
        ] as [([String], String?, String?)])
    func `a challenge is read whatever stands beside it`(values: [String], scope: String?, error: String?) throws {
        let challenge = try #require(BearerChallenge(values))
        #expect(challenge.scope == scope)
        #expect(challenge.error == error)
    }

    @Test(arguments: [[], [""], ["Basic realm=x"], ["Bearer scope=\"open"], ["Bearer scope=\"a\\"], [String(repeating: "a", count: 9000)], ["==="]])
    func `what is none, or broken, is none`(values: [String]) { #expect(BearerChallenge(values) == nil) }
}
