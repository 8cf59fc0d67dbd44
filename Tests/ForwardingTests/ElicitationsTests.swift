import Access
import Gateway
import Identity
import MCP
import Testing

@testable import Forwarding

struct ElicitationsTests {
    private let elicitations = Elicitations()

    private func session(of user: Int64) -> Listener {
        Listener(Interest(lists: []), principal: Principal(user: UserID(user), name: "user \(user)", tenant: TenantID(1), role: .user), only: nil)
    }

    private func asked(_ id: String, of user: Int64?, server: Int64 = 1) -> Elicitations.Asked {
        Elicitations.Asked(server: ServerID(server), user: user.map { UserID($0) }, id: ExactName(id))
    }

    private func told(_ asked: Elicitations.Asked) -> [String] { elicitations.complete(asked).map(\.name) }

    @Test func `who was shown it is told once, under the name they know`() {
        let ada = session(of: 1)
        let name = elicitations.name(of: asked("e", of: 1), shownTo: ada)
        #expect(name != "e")
        #expect(elicitations.name(of: asked("e", of: 1), shownTo: ada) == name)
        let complete = elicitations.complete(asked("e", of: 1))
        #expect(complete.map(\.name) == [name])
        #expect(complete.first?.listener === ada)
        #expect(told(asked("e", of: 1)).isEmpty)
        #expect(elicitations.count == 0)
    }

    @Test func `the same name of another server, or in another user's conversation, is another elicitation`() {
        let name = elicitations.name(of: asked("e", of: 1), shownTo: session(of: 1))
        let bobs = elicitations.name(of: asked("e", of: 2), shownTo: session(of: 2))
        #expect(name != bobs)
        #expect(told(asked("e", of: 1, server: 2)).isEmpty)
        #expect(told(asked("e", of: 3)).isEmpty)
        #expect(told(asked("é", of: 1)).isEmpty)
        #expect(told(asked("e", of: 2)) == [bobs])
        #expect(told(asked("e", of: 1)) == [name])
    }

    @Test func `in a conversation of everybody, all hear of it who were shown it`() {
        let names = (1...3).map { elicitations.name(of: asked("e", of: nil), shownTo: session(of: $0)) }
        _ = elicitations.name(of: asked("f", of: nil), shownTo: session(of: 4))
        #expect(Set(told(asked("e", of: nil))) == Set(names))
        #expect(elicitations.count == 1)
    }

    @Test func `two sessions of one user each have a name of their own`() {
        let (one, two) = (session(of: 1), session(of: 1))
        let names = [one, two].map { elicitations.name(of: asked("e", of: 1), shownTo: $0) }
        #expect(Set(names).count == 2)
        #expect(Set(told(asked("e", of: 1))) == Set(names))
    }

    @Test func `of one user the last are remembered, and of all so many that whoever has most loses some`() {
        for number in 0..<1000 { _ = elicitations.name(of: asked("e\(number)", of: 1), shownTo: session(of: 1)) }
        #expect(elicitations.count == Elicitations.mostPerUser)
        #expect(told(asked("e0", of: 1)).isEmpty)
        #expect(told(asked("e999", of: 1)).count == 1)
        for user in 2...5000 { _ = elicitations.name(of: asked("e", of: Int64(user)), shownTo: session(of: Int64(user))) }
        #expect(elicitations.count == Elicitations.most)
        #expect(told(asked("e", of: 5000)).count == 1)
    }

    @Test func `what a session was shown that is over goes first`() {
        let over = session(of: 1)
        for number in 0..<Elicitations.mostPerUser / 2 { _ = elicitations.name(of: asked("old \(number)", of: 1), shownTo: over) }
        over.end()
        let now = session(of: 1)
        let names = (0..<Elicitations.mostPerUser).map { elicitations.name(of: asked("new \($0)", of: 1), shownTo: now) }
        #expect(elicitations.count == Elicitations.mostPerUser)
        #expect(told(asked("new 0", of: 1)) == [names[0]])
        #expect(told(asked("old 1", of: 1)).isEmpty)
    }
}
