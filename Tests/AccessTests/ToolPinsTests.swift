import Gateway
import Testing

@testable import Access

struct ToolPinsTests {
    @Test func `a fingerprint is SHA-256 in lower-case digits, and comes back from them`() throws {
        let fingerprint = ToolFingerprint(of: Array("abc".utf8))
        #expect("\(fingerprint)" == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(ToolFingerprint("\(fingerprint)") == fingerprint)
        #expect(ToolFingerprint("\(fingerprint)".uppercased()) == fingerprint)
        for wrong in ["", "abc", "\(fingerprint)0", "\(fingerprint)".replacing("a", with: "g"), String(repeating: "\u{661}", count: 64)] {
            #expect(ToolFingerprint(wrong) == nil)
        }
        #expect(ToolFingerprint(bytes: [1, 2]) == nil)
    }

    @Test func `what was there at first sight is approved; what comes later is new, what differs is changed`() {
        let first = ToolPins().news(in: listing(["a": "1", "b": "1"]))
        #expect(first.isFirst)
        #expect(first.new.map(\.name) == ["a", "b"])
        #expect(ToolPins().news(in: ToolListing()).isEmpty)

        let pins = ToolPins([pin("a", "1", "1"), pin("b", "1", "1"), pin("c", "1", "1", isGone: true), pin("d", "1", "1")])
        let news = pins.news(in: listing(["a": "1", "b": "2", "c": "1", "e": "1"]))
        #expect(!news.isFirst)
        #expect(news.new.map(\.name) == ["e"])
        #expect(Set(news.changed.map(\.name)) == ["b", "c"])
        #expect(news.gone == ["d"])
        #expect(news.summary == "1 new (e), 2 changed (b, c), 1 gone (d)")
        #expect(pins.news(in: listing(["a": "1", "b": "1", "d": "1"])).isEmpty)
    }

    @Test(
        arguments: [
            // approved, seen, listed now; used under hold, under report
            ("1", "1", "1", true, true), ("1", "2", "2", false, true), ("1", "2", "1", true, true), (nil, "1", "1", false, true),
            // Listed, but not on disk yet.
            ("1", "1", "2", false, false), (nil, "1", "2", false, false), ("1", "2", "3", false, false),
        ] as [(String?, String, String, Bool, Bool)])
    func `only what was approved is used, or under the other policy what is on record`(
        approved: String?, seen: String, now: String, hold: Bool, report: Bool
    ) {
        let pins = ToolPins([pin("t", approved, seen)])
        #expect(pins.isUsed("t", mark(now), under: .hold) == hold)
        #expect(pins.isUsed("t", mark(now), under: .report) == report)
        for policy in ToolChangePolicy.allCases { #expect(!pins.isUsed("other", mark(now), under: policy)) }
    }

    @Test func `names are told apart by their bytes`() {
        let pins = ToolPins([pin("caf\u{E9}", "1", "1")])
        #expect(pins.isUsed("caf\u{E9}", mark("1"), under: .hold))
        #expect(!pins.isUsed("cafe\u{301}", mark("1"), under: .hold))
        var listing = ToolListing()
        #expect(listing.add("caf\u{E9}", []) != nil)
        #expect(listing.add("cafe\u{301}", []) != nil)
        #expect(listing.add("caf\u{E9}", [1]) == nil)
    }

    @Test func `a listing has bounds: so many tools, so long definitions, so much of them in all`() {
        var many = ToolListing()
        for number in 0..<ToolListing.most { #expect(many.add("t\(number)", [1]) != nil) }
        #expect(many.add("one more", [1]) == nil)
        var long = ToolListing()
        let largest = Array(repeating: UInt8(ascii: "x"), count: ToolListing.longestDefinition)
        #expect(long.add("fits", largest)?.definition?.utf8.count == ToolListing.longestDefinition)
        #expect(long.add("too long", largest + [1])?.definition == nil)
        for number in 0..<100 { long.add("t\(number)", largest) }
        #expect(long.tools.compactMap { $0.definition?.utf8.count }.reduce(0, +) == ToolListing.mostDefinitionBytes)
        #expect(long.tools.count == 102)
    }

    // MARK: Approving

    @Test func `what is approved is what was seen, all of it or nothing`() throws {
        let pins = ToolPins([pin("a", "1", "2"), pin("b", nil, "1"), pin("c", "1", "1"), pin("d", "1", "2", isGone: true)])
        let approved = try pins.approved(.tools([.init("a", mark("2")), .init("b", mark("1"), isIdempotent: true)]))
        #expect(approved == [pin("a", "2", "2"), ToolPin("b", approved: mark("1"), seen: mark("1"), isIdempotent: true)])
        for (name, text, expected) in [
            ("a", "1", ToolPins.Disapproval.differs("a", now: mark("2"))), ("a", "3", .differs("a", now: mark("2"))),
            ("d", "2", .gone("d")), ("e", "1", .unknown("e")),
        ] {
            #expect(throws: expected) { try pins.approved(.tools([.init("b", mark("1")), .init(name, mark(text))])) }
        }
    }

    @Test func `everything that waits is approved by a mark that fits nothing else`() throws {
        let pins = ToolPins([pin("a", "1", "2"), pin("b", nil, "1"), pin("c", "1", "1"), pin("d", "1", "2", isGone: true)])
        #expect(pins.waiting.map(\.name) == ["a", "b"])
        #expect(try pins.approved(.all(mark: pins.waitingMark)).map(\.name) == ["a", "b"])
        let others = [
            ToolPins([pin("a", "1", "3"), pin("b", nil, "1")]), ToolPins([pin("a", "1", "2")]), ToolPins([pin("a", "1", "2"), pin("bb", nil, "1")]),
            ToolPins([pin("a", "1", "2"), pin("b", nil, "1"), pin("e", nil, "1")]), ToolPins(),
        ]
        for other in others {
            #expect(throws: ToolPins.Disapproval.othersWait(mark: other.waitingMark)) { try other.approved(.all(mark: pins.waitingMark)) }
        }
        // What does not wait is of no account.
        #expect(ToolPins([pin("b", nil, "1"), pin("a", "1", "2"), pin("z", "1", "1")]).waitingMark == pins.waitingMark)
    }

    @Test func `that a tool may be called twice is said of one definition, and not of its successor`() throws {
        let marked = ToolPin("a", approved: mark("1"), seen: mark("2"), isIdempotent: true)
        let pins = ToolPins([marked])
        #expect(pins.isIdempotent("a", mark("1")))
        #expect(!pins.isIdempotent("a", mark("2")))
        #expect(try !pins.approved(.tools([.init("a", mark("2"))]))[0].isIdempotent)
        let same = ToolPins([ToolPin("a", approved: mark("1"), seen: mark("1"), isIdempotent: true)])
        #expect(try same.approved(.tools([.init("a", mark("1"))]))[0].isIdempotent)
        #expect(try !same.approved(.tools([.init("a", mark("1"), isIdempotent: false)]))[0].isIdempotent)
    }

    @Test func `who is told that a tool is held: whoever the rules let use it`() throws {
        let alias = try #require(ServerAlias("db"))
        let tool = Tool("drop", of: alias, exposedAs: "db__drop")
        let allowed = ToolRules([ToolRule(ToolRuleID(1), .init(.allow, .everyone, .everything), createdAt: Timestamp(microseconds: 0))])
        let policy = Policy()
        func person(_ role: Role) -> Principal { Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: role) }
        let held = policy.denial(ofHeld: tool, to: person(.user), under: allowed)
        #expect(held.decision == .held)
        #expect(policy.mayKnow(held, owner: UserID(9), person(.user)))
        #expect(held.refusal.sentence.contains("approve"))
        let hidden = policy.denial(ofHeld: tool, to: person(.user), under: ToolRules([]))
        #expect(hidden.decision == .noRule)
        #expect(!policy.mayKnow(hidden, owner: UserID(9), person(.user)))
        #expect(policy.mayKnow(hidden, owner: UserID(9), person(.admin)))
    }

    // MARK: Props

    private func mark(_ text: String) -> ToolFingerprint { ToolFingerprint(of: Array(text.utf8)) }

    private func pin(_ name: String, _ approved: String?, _ seen: String, isGone: Bool = false) -> ToolPin {
        ToolPin(name, approved: approved.map(mark), seen: mark(seen), isGone: isGone)
    }

    private func listing(_ tools: KeyValuePairs<String, String>) -> ToolListing {
        var listing = ToolListing()
        for (name, text) in tools { listing.add(name, Array(text.utf8)) }
        return listing
    }
}
