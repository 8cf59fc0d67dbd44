import CLMDB
import Foundation
import Testing

@testable import LMDB

struct EnvironmentTests {
    @Test(arguments: [Environment.Durability.synced, .unsynced])
    func `what is written is read, and survives reopening`(durability: Environment.Durability) throws {
        try withTemporaryFolder { path in
            do {
                let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: durability)
                #expect(try environment.text(for: "a") == nil)
                try environment.set("one", for: "a")
                try environment.set("two", for: "b")
                try environment.set("three", for: "a")
                #expect(try environment.text(for: "a") == "three")
            }
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: durability)
            #expect(try environment.text(for: "a") == "three")
            #expect(try environment.text(for: "b") == "two")
            #expect(try environment.text(for: "c") == nil)
        }
    }

    @Test func `an unsynced environment takes its whole size when it is opened again`() throws {
        try withTemporaryFolder { path in
            _ = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .unsynced)
            _ = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .unsynced)
            var status = stat()
            #expect(stat(path + "/data.mdb", &status) == 0)
            #expect(status.st_size == 1 << 20)
            // With its blocks, so that a store through the map cannot meet a full disk.
            #expect(status.st_blocks * 512 >= 1 << 20)
        }
    }

    @Test func `the files are for their owner only`() throws {
        try withTemporaryFolder { path in
            _ = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .unsynced)
            let modes = try ["data.mdb", "lock.mdb"].map { name in
                try #require(FileManager.default.attributesOfItem(atPath: path + "/" + name)[.posixPermissions] as? Int)
            }
            #expect(modes == [0o600, 0o600])
        }
    }

    @Test(arguments: [Environment.Durability.synced, .unsynced])
    func `a write that throws changes nothing`(durability: Environment.Durability) throws {
        struct Stop: Error {}
        try withTemporaryFolder { path in
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: durability)
            try environment.set("old", for: "a")
            #expect(throws: Stop.self) {
                try environment.write { transaction in
                    try transaction.set("new", for: "a")
                    try transaction.set("new", for: "b")
                    #expect(try transaction.text(for: "a") == "new")
                    throw Stop()
                }
            }
            #expect(try environment.text(for: "a") == "old")
            #expect(try environment.text(for: "b") == nil)
            // The write lock was given back.
            try environment.set("next", for: "a")
            #expect(try environment.text(for: "a") == "next")
        }
    }

    @Test func `a snapshot keeps showing what it showed first`() throws {
        try withTemporaryFolder { path in
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .synced)
            try environment.set("old", for: "a")
            try environment.read { snapshot in
                try environment.set("new", for: "a")
                #expect(try snapshot.text(for: "a") == "old")
            }
            #expect(try environment.text(for: "a") == "new")
        }
    }

    @Test func `a read that throws gives its slot back`() throws {
        struct Stop: Error {}
        try withTemporaryFolder { path in
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 1, durability: .synced)
            let stopped = (0..<10).filter { _ in (try? environment.read { _ in throw Stop() }) == nil }
            #expect(stopped.count == 10)
            try environment.read { snapshot in
                _ = try snapshot.text(for: "a")
                #expect(throws: LMDBError(MDB_READERS_FULL)) { try environment.read { _ in } }
            }
        }
    }

    @Test(arguments: [Environment.Durability.synced, .unsynced])
    func `a full map refuses, keeps what it has, and goes on`(durability: Environment.Durability) throws {
        try withTemporaryFolder { path in
            _ = try Environment(path: path, mapSize: 64 << 10, readers: 4, durability: durability)
            let environment = try Environment(path: path, mapSize: 64 << 10, readers: 4, durability: durability)
            try environment.set("kept", for: "a")
            let page = String(repeating: "x", count: 3000)
            let error = #expect(throws: LMDBError.self) {
                try environment.write { transaction in
                    for number in 0..<100 { try transaction.set(page, for: "page \(number)") }
                }
            }
            #expect(error == .mapFull)
            #expect(error?.isDamage == false)
            #expect(try environment.text(for: "a") == "kept")
            #expect(try environment.text(for: "page 0") == nil)
            try environment.set("changed", for: "a")
            #expect(try environment.text(for: "a") == "changed")
        }
    }

    @Test(arguments: [("", false), ("k", true), (String(repeating: "k", count: 511), true), (String(repeating: "k", count: 512), false)])
    func `a key is 1 to 511 bytes`(key: String, isGood: Bool) throws {
        try withTemporaryFolder { path in
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .synced)
            if isGood {
                try environment.set("value", for: key)
                #expect(try environment.text(for: key) == "value")
            } else {
                #expect(throws: LMDBError(MDB_BAD_VALSIZE)) { try environment.set("value", for: key) }
            }
        }
    }

    @Test(arguments: ["", "a\0b", "é", String(repeating: "x", count: 100_000)])
    func `a value is any bytes, even none`(value: String) throws {
        try withTemporaryFolder { path in
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .synced)
            try environment.set(value, for: "a\0")
            #expect(try environment.text(for: "a\0") == value)
            #expect(try environment.text(for: "a") == nil)
        }
    }

    @Test(arguments: [Environment.Durability.synced, .unsynced])
    func `many threads count one counter exactly`(durability: Environment.Durability) throws {
        try withTemporaryFolder { path in
            _ = try Environment(path: path, mapSize: 1 << 20, readers: 16, durability: durability)
            let environment = try Environment(path: path, mapSize: 1 << 20, readers: 16, durability: durability)
            let perThread = durability == .synced ? 50 : 5000
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                for _ in 0..<perThread { _ = try? environment.increment("counter") }
            }
            #expect(try environment.text(for: "counter") == String(8 * perThread))
        }
    }

    @Test func `a folder that does not exist is an error, not damage`() throws {
        try withTemporaryFolder { path in
            let error = #expect(throws: LMDBError.self) {
                _ = try Environment(path: path + "/none", mapSize: 1 << 20, readers: 4, durability: .unsynced)
            }
            #expect(error?.code == ENOENT)
            #expect(error?.isDamage == false)
            #expect(error?.description.contains("No such file or directory") == true)
        }
    }
}

struct DamageTests {
    static let foreign = [
        Data("this is a letter, not a database\n".utf8), Data(count: 1), Data(count: 4096), Data(count: 8192), Data(count: 100_000),
        Data(repeating: 0xFF, count: 8192), Data("SQLite format 3\0".utf8) + Data(count: 8176),
    ]

    @Test(arguments: foreign, [Environment.Durability.synced, .unsynced])
    func `a foreign file is damage`(content: Data, durability: Environment.Durability) throws {
        try withTemporaryFolder { path in
            try content.write(to: URL(filePath: path + "/data.mdb"))
            let error = #expect(throws: LMDBError.self) {
                _ = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: durability)
            }
            #expect(error?.isDamage == true)
        }
    }

    @Test func `a file that lost its end is damage, not death`() async {
        await #expect(processExitsWith: .success) { try Self.readTruncated(.synced) }
        await #expect(processExitsWith: .success) { try Self.readTruncated(.unsynced) }
    }

    /// For a process of its own: a page that is mapped but not there kills its reader.
    private static func readTruncated(_ durability: Environment.Durability) throws {
        try withTemporaryFolder { path in
            do {
                let environment = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: .synced)
                try environment.write { transaction in
                    for number in 0..<1000 { try transaction.set(String(repeating: "x", count: 100), for: "key \(number)") }
                }
            }
            try #require(truncate(path + "/data.mdb", 8192) == 0)
            let error = #expect(throws: LMDBError.self) {
                _ = try Environment(path: path, mapSize: 1 << 20, readers: 4, durability: durability).text(for: "key 500")
            }
            #expect(error?.isDamage == true)
        }
    }

    @Test(arguments: [(LMDBError.invalid, true), (.corrupted, true), (.pageNotFound, true), (.versionMismatch, true), (.mapFull, false)])
    func `damage is what only throwing away cures`(error: LMDBError, isDamage: Bool) {
        #expect(error.isDamage == isDamage)
        #expect(error.description.hasPrefix("LMDB: "))
        #expect(error.description.hasSuffix("(\(error.code))"))
    }
}
