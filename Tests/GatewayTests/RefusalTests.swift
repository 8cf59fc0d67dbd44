import Testing

@testable import Gateway

struct RefusalTests {
    static let unauthenticated: [Refusal] = [
        .unauthenticated(.missing), .unauthenticated(.malformed), .unauthenticated(.expired), .unauthenticated(.wrongAudience),
        .unauthenticated(.revoked), .unauthenticated(.unknown),
    ]
    static let others: [Refusal] = [
        .forbidden(needs: "the role admin"), .throttled(Throttle(.user, of: "ada", retryAfter: .seconds(3))), .blocked(retryAfter: .seconds(3)),
        .notFound("server 7"), .invalid("Because."), .conflict("Because."), .upstreamUnavailable(server: "demo", reason: "connection refused"),
        .outcomeUnknown(server: "demo", reason: "connection lost"), .auditUnavailable, .unrecorded, .overloaded("Because."),
        .overloaded("Because.", retryAfter: .seconds(3)),
    ]

    @Test func `scripts can tell refusals apart by their codes`() {
        #expect(Set(Self.unauthenticated.map(\.code)) == ["unauthenticated"])
        #expect(
            Self.others.map(\.code) == [
                "forbidden", "throttled", "blocked", "not_found", "invalid", "conflict", "upstream_unavailable", "outcome_unknown",
                "audit_unavailable",
                "audit_unavailable", "overloaded", "overloaded",
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

    @Test(arguments: Throttle.Limit.allCases)
    func `each limit says in a sentence whose it is, and the record keeps which it was`(limit: Throttle.Limit) {
        let refusal = Refusal.throttled(Throttle(limit, of: "ada", allows: Throttle.Allowance(5, in: .seconds(60)), retryAfter: .seconds(3)))
        #expect(refusal.sentence.contains("ada") == (limit != .global))
        #expect(refusal.sentence.first?.isUppercase == true)
        #expect(refusal.sentence.hasSuffix(" try again in 3 s."))
        #expect(refusal.reason == "throttled.\(limit.rawValue)")
        #expect(limit.rawValue.wholeMatch(of: /[a-z_]+/) != nil)
    }

    @Test func `no two limits are told in the same words`() {
        #expect(Set(Throttle.Limit.allCases.map { Throttle($0, of: "ada", retryAfter: .zero).sentence }).count == Throttle.Limit.allCases.count)
    }

    @Test func `a refusal tells when to try again, where that can be told`() {
        let waits = Self.others.map { ($0.code, $0.retryAfter) }
        #expect(waits.filter { $0.1 == .seconds(3) }.map(\.0) == ["throttled", "blocked", "overloaded"])
        #expect(waits.filter { $0.1 == nil }.count == waits.count - 3)
        #expect(Self.unauthenticated.allSatisfy { $0.retryAfter == nil })
        #expect(Refusal.blocked(retryAfter: .milliseconds(1)).sentence.contains(" for 1 s;"))
    }

    @Test func `a token that is none of ours is a forgery, one of ours that is no longer good is not`() {
        #expect(Self.unauthenticated.filter(\.isForgery) == [.unauthenticated(.malformed), .unauthenticated(.unknown)])
        #expect(!Self.others.contains { $0.isForgery })
    }

    @Test func `of all but limits the record keeps the code`() {
        for refusal in Self.unauthenticated + Self.others where refusal.code != "throttled" { #expect(refusal.reason == refusal.code) }
    }
}
