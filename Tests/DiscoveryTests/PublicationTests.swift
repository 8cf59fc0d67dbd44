import Gateway
import Testing

@testable import Discovery

struct PublicationTests {
    @Test func `a server that is made public has its first version, and asking again changes nothing`() {
        var shelf = Shelf()
        shelf.follow([face("wiki", "Wiki", description: "Pages")], at: 5)
        #expect(shelf.servers.count == 1)
        #expect(shelf.servers[0].isListed && shelf.servers[0].statusChangedAt == at(5))
        let version = PublishedVersion(number: 0, origin: "https://mcp.example.com", title: "Wiki", description: "Pages", publishedAt: at(5))
        #expect(shelf.servers[0].versions == [version])
        #expect(Publication.changes(to: shelf.servers, faces: [face("wiki", "Wiki", description: "Pages")], origin: origin, at: at(6)) == [])
    }

    @Test func `whatever is changed becomes another version, and what was published stays as it was`() {
        var shelf = Shelf()
        shelf.follow([face("wiki", "One")], at: 1)
        shelf.follow([face("wiki", "Two")], at: 2)
        shelf.follow([face("wiki", "Two", description: "Three")], at: 3)
        shelf.origin = Origin("https://other.example")!
        shelf.follow([face("wiki", "Two", description: "Three")], at: 4)
        let versions = shelf.servers[0].versions
        #expect(versions.map(\.number) == [0, 1, 2, 3])
        #expect(versions.map(\.title) == ["One", "Two", "Two", "Two"])
        #expect(versions.map(\.description) == ["One", "Two", "Three", "Three"])
        #expect(versions.map(\.origin) == Array(repeating: "https://mcp.example.com", count: 3) + ["https://other.example"])
    }

    @Test func `a server that was gone for a while goes on counting, and needs no new version if it says the same`() {
        var shelf = Shelf()
        shelf.follow([face("wiki", "One")], at: 1)
        shelf.follow([], at: 2)
        #expect(!shelf.servers[0].isListed && shelf.servers[0].statusChangedAt == at(2))
        shelf.follow([face("wiki", "One")], at: 3)
        #expect(shelf.servers[0].isListed && shelf.servers[0].statusChangedAt == at(3) && shelf.servers[0].versions.count == 1)
        shelf.follow([], at: 4)
        shelf.follow([face("wiki", "Another server")], at: 5)
        #expect(shelf.servers[0].versions.map(\.number) == [0, 1])
    }

    @Test func `moments of one server rise though the clock was set back`() {
        var shelf = Shelf()
        shelf.follow([face("wiki", "One")], at: 100)
        shelf.follow([face("wiki", "Two")], at: 50)
        shelf.follow([], at: 50)
        let server = shelf.servers[0]
        #expect(server.versions[0].publishedAt < server.versions[1].publishedAt)
        #expect(server.versions[1].publishedAt < server.statusChangedAt)
    }

    @Test func `the oldest versions are forgotten, and their numbers are not used again`() {
        var shelf = Shelf()
        for number in 0..<Int64(Publication.mostVersions + 5) { shelf.follow([face("wiki", "Title \(number)")], at: number) }
        #expect(shelf.servers[0].versions.count == Publication.mostVersions)
        #expect(shelf.servers[0].versions.first?.number == 5)
        #expect(shelf.servers[0].versions.last?.title == "Title \(Publication.mostVersions + 4)")
    }

    @Test func `of those that are gone the ones gone for longest are forgotten, and none that is there`() {
        var shelf = Shelf()
        let most = Publication.mostUnlisted
        shelf.follow([face("kept")] + (0..<10).map { face("a\($0)") }, at: 1)
        shelf.follow([face("kept")], at: 2)
        shelf.follow([face("kept")] + (0..<most).map { face("b\($0)") }, at: 3)
        shelf.follow([face("kept")], at: 4)
        #expect(shelf.servers.count == most + 1)
        #expect(!shelf.servers.contains { $0.alias.description.hasPrefix("a") })
        #expect(shelf.servers.contains { $0.alias == alias("kept") && $0.isListed })
    }

    @Test func `a title that is too long for a server json is cut, and stands in for a description`() {
        let long = face("wiki", String(repeating: "é", count: 128))
        #expect(long.title.unicodeScalars.count == 100 && long.description == long.title)
    }

    @Test func `only what is public and switched on has a face`() {
        func record(_ isPublic: Bool, _ status: ServerRecord.Status) -> ServerRecord {
            ServerRecord(
                id: ServerID(1), tenant: home, owner: UserID(1), alias: alias("wiki"), title: "Wiki",
                transport: .http(endpoint: "https://a.example/"),
                status: status, isPublic: isPublic, era: .auto, tags: [], createdAt: at(1), updatedAt: at(1))
        }
        #expect(PublicFace(record(true, .active)) == face("wiki", "Wiki"))
        #expect(PublicFace(record(false, .active)) == nil)
        #expect(PublicFace(record(true, .disabled)) == nil)
    }
}
