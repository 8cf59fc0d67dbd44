import Testing

@testable import Gateway

struct RefusalTests {
    static let unauthenticated: [Refusal] = [
        .unauthenticated(.missing), .unauthenticated(.malformed), .unauthenticated(.expired), .unauthenticated(.wrongAudience),
        .unauthenticated(.revoked), .unauthenticated(.unknown),
    ]
    static let others: [Refusal] = [
        .forbidden(needs: "the role admin"), .throttled(Throttle(.user, of: "ada", retryAfter: .seconds(3))), .notFound("server 7"),
        .invalid("Because."), .conflict("Because."), .upstreamUnavailable(server: "demo", reason: "connection refused"),
        .outcomeUnknown(server: "demo", reason: "connection lost"), .auditUnavailable, .overloaded("Because."),
    ]

    @Test func `scripts can tell refusals apart by their codes`() {
        #expect(Set(Self.unauthenticated.map(\.code)) == ["unauthenticated"])
        #expect(
            Self.others.map(\.code) == [
                "forbidden", "throttled", "not_found", "invalid", "conflict", "upstream_unavailable", "outcome_unknown", "audit_unavailable",
                "overloaded",
            ])
    }

    @Test(arguments: unauthenticated + others)
    func `a refusal is a sentence`(refusal: Refusal) {
        #expect(refusal.sentence.first?.isUppercase == true)
        #expect(refusal.sentence.hasSuffix("."))
        #expect(!refusal.sentence.contains("nil") && !refusal.sentence.contains("Optional"))
    }

    @Test func `each way of not being signed in has a sentence of its own`() {
        #expect(Set(Self.unauthenticated.map(\.sentence)).count == Self.unauthenticated.count)
    }

    @Test(arguments: others)
    func `a secret that strays into a refusal stays covered`(refusal: Refusal) {
        let secret = Secret("hunter2")
        let strayed: [Refusal] = [
            .forbidden(needs: "\(secret)"), .throttled(Throttle(.user, of: "\(secret)", retryAfter: .zero)), .notFound("\(secret)"),
            .invalid("\(secret)"),
            .conflict("\(secret)"), .upstreamUnavailable(server: "\(secret)", reason: "\(secret)"),
            .outcomeUnknown(server: "\(secret)", reason: "\(secret)"), .auditUnavailable, .overloaded("\(secret)"),
        ]
        #expect(strayed.filter { $0.code == refusal.code }.allSatisfy { !$0.sentence.contains("hunter2") && !"\($0)".contains("hunter2") })
    }

    @Test(
        arguments: [
            (Duration.zero, 1), (.nanoseconds(1), 1), (.seconds(1), 1), (.seconds(1) + .nanoseconds(1), 2), (.milliseconds(1999), 2),
            (.seconds(3600), 3600), (.seconds(-5), 1), (.milliseconds(-1500), 1),
        ] as [(Duration, Int64)])
    func `a wait is told in whole seconds that suffice`(wait: Duration, seconds: Int64) {
        #expect(wait.roundedUpSeconds == seconds)
        #expect(
            Refusal.throttled(Throttle(.user, of: "ada", retryAfter: wait)).sentence
                == "The user “ada” has used up their limit; try again in \(seconds) s.")
    }
}
