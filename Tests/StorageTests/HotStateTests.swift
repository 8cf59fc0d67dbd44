import Foundation
import Gateway
import Pacing
import Synchronization
import Testing

@testable import Storage

struct HotStateTests {
    let now = BootInstant(nanoseconds: 1_000_000_000_000)

    static func limit(_ perMinute: Int) throws -> RateLimit {
        try #require(RateLimit(perMinute: perMinute, burst: 1))
    }

    static func open(_ folder: String, boot: String = "boot 1", mapSize: Int = 1 << 20) throws -> HotState {
        try HotState(path: folder + "/buckets", mapSize: mapSize, bootID: boot)
    }

    @Test func `a user takes from their own bucket, and from no other`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            let limit = try Self.limit(2)
            #expect(try state.take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 1))
            #expect(try state.take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 0))
            #expect(try state.take(for: UserID(1), of: limit, at: now) == .throttled(retryAfter: .seconds(30)))
            #expect(try state.take(for: UserID(2), of: limit, at: now) == .admitted(remaining: 1))
            #expect(try state.take(for: UserID(-1), of: limit, at: now) == .admitted(remaining: 1))
            #expect(try state.take(for: UserID(256), of: limit, at: now) == .admitted(remaining: 1))
            #expect(try state.take(for: UserID(1), of: limit, at: now.advanced(by: .seconds(30))) == .admitted(remaining: 0))
        }
    }

    @Test(arguments: [1, 7777])
    func `eight threads are granted exactly what the bucket held`(capacity: Int) async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            let limit = try Self.limit(capacity)
            let granted = Atomic<Int>(0)
            let failed = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                for _ in 0..<2500 {
                    switch try? state.take(for: UserID(1), of: limit, at: now) {
                    case .admitted: granted.add(1, ordering: .relaxed)
                    case .throttled: break
                    case nil: failed.add(1, ordering: .relaxed)
                    }
                }
            }
            #expect(granted.load(ordering: .relaxed) == capacity)
            #expect(failed.load(ordering: .relaxed) == 0)
        }
    }

    @Test func `what was taken stays taken over a restart`() async throws {
        try await withTemporaryFolder { folder in
            let limit = try Self.limit(3)
            do { #expect(try Self.open(folder).take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 2)) }
            do { #expect(try Self.open(folder).take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 1)) }
            do { #expect(try Self.open(folder).take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 0)) }
            #expect(try Self.open(folder).take(for: UserID(1), of: limit, at: now) == .throttled(retryAfter: .seconds(20)))
        }
    }

    @Test func `times of another boot mean nothing, so buckets are full again`() async throws {
        try await withTemporaryFolder { folder in
            let limit = try Self.limit(2)
            do { #expect(try Self.open(folder, boot: "boot 1").take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 1)) }
            let early = BootInstant(nanoseconds: 1)
            do { #expect(try Self.open(folder, boot: "boot 2").take(for: UserID(1), of: limit, at: early) == .admitted(remaining: 1)) }
            #expect(try Self.open(folder, boot: "boot 2").take(for: UserID(1), of: limit, at: early) == .admitted(remaining: 0))
        }
    }

    @Test func `a folder that does not say its boot is thrown away`() async throws {
        try await withTemporaryFolder { folder in
            let limit = try Self.limit(2)
            do { _ = try Self.open(folder).take(for: UserID(1), of: limit, at: now) }
            try FileManager.default.removeItem(atPath: folder + "/buckets/boot-id")
            #expect(try Self.open(folder).take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 1))
        }
    }

    static let damage: [@Sendable (String) throws -> Void] = [
        { try Data("this is a letter, not a map".utf8).write(to: URL(filePath: $0)) },
        { try Data(count: 8192).write(to: URL(filePath: $0)) },
        { try Data().write(to: URL(filePath: $0)) },
        // The first two pages say where everything is; what they point at is gone.
        { if truncate($0, 8192) != 0 { throw POSIXError(.EIO) } },
    ]

    @Test(arguments: damage.indices)
    func `a damaged map is replaced by an empty one`(kind: Int) async throws {
        try await withTemporaryFolder { folder in
            let limit = try Self.limit(2)
            do {
                let state = try Self.open(folder)
                for user in 1...1000 { _ = try state.take(for: UserID(Int64(user)), of: limit, at: now) }
            }
            try Self.damage[kind](folder + "/buckets/data.mdb")
            let state = try Self.open(folder)
            #expect(try state.take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 1))
            #expect(try state.take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 0))
            try state.probe()
        }
    }

    @Test func `what is not its own is left alone`() async throws {
        try await withTemporaryFolder { folder in
            try Data("x".utf8).write(to: URL(filePath: folder + "/buckets"))
            #expect(throws: (any Error).self) { try Self.open(folder) }
            #expect(try String(contentsOfFile: folder + "/buckets", encoding: .utf8) == "x")
            try FileManager.default.removeItem(atPath: folder + "/buckets")
            try FileManager.default.createDirectory(atPath: folder + "/buckets", withIntermediateDirectories: false)
            try Data("x".utf8).write(to: URL(filePath: folder + "/buckets/thesis.txt"))
            #expect(try Self.open(folder).take(for: UserID(1), of: try Self.limit(2), at: now) == .admitted(remaining: 1))
            #expect(try String(contentsOfFile: folder + "/buckets/thesis.txt", encoding: .utf8) == "x")
        }
    }

    @Test func `the map takes its whole size at once`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder, mapSize: 2 << 20)
            var status = stat()
            #expect(stat(folder + "/buckets/data.mdb", &status) == 0)
            #expect(status.st_size == 2 << 20)
            #expect(status.st_blocks * 512 >= 2 << 20)
            withExtendedLifetime(state) {}
        }
    }

    @Test func `the folder is for its owner only`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            #expect(try FileManager.default.attributesOfItem(atPath: folder + "/buckets")[.posixPermissions] as? Int == 0o700)
            try state.probe()
        }
    }

    @Test func `when there is no room for another user, the gateway says so, and others go on`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder, mapSize: 64 << 10)
            let limit = try Self.limit(60_000)
            var refusal: Refusal?
            for user in 1...10_000 where refusal == nil {
                do { _ = try state.take(for: UserID(Int64(user)), of: limit, at: now) } catch { refusal = error as? Refusal }
            }
            #expect(refusal?.code == "overloaded")
            #expect(refusal?.sentence.contains("MREG_BUCKETS_MAP_BYTES") == true)
            #expect(try state.take(for: UserID(1), of: limit, at: now) == .admitted(remaining: 59_998))
        }
    }

    /// A bucket that nobody touched for 120 s is gone, so those who come and go leave room.
    @Test func `users who come and go for ever do not fill the map`() async throws {
        try await withTemporaryFolder { folder in
            // Ten thousand buckets at once would not fit.
            let state = try Self.open(folder, mapSize: 192 << 10)
            let limit = try Self.limit(60)
            var refusals = 0
            for user in 1...10_000 {
                let moment = now.advanced(by: .seconds(user))
                if (try? state.take(for: UserID(Int64(user)), of: limit, at: moment)) == nil { refusals += 1 }
            }
            #expect(refusals == 0)
        }
    }
}

extension HotState {
    /// Takes a token of one user's bucket, and of no other.
    func take(for user: UserID, of limit: RateLimit, at now: BootInstant) throws -> TokenBucket.Decision {
        let request = AdmissionRequest(tenant: TenantID(1), claims: [AdmissionRequest.Claim(.user(user), limit)])
        switch try admit(request, at: Moment(wall: Timestamp(microseconds: now.nanoseconds / 1000), boot: now)) {
        case .admitted(let budgets): return .admitted(remaining: budgets[0].remaining)
        case .refused(_, _, let wait): return .throttled(retryAfter: wait)
        }
    }
}
