import Foundation
import Gateway
import Pacing
import Synchronization
import Testing

@testable import Storage

/// The hot state as admission uses it: several limits at once, over crashes, reboots and full maps.
struct AdmissionTests {
    let start = Moment(wall: Timestamp(microseconds: 1_800_000_000_000_000), boot: BootInstant(nanoseconds: 1_000_000_000_000))

    static func open(_ folder: String, boot: String = "boot 1", mapSize: Int = 1 << 20, share: FairShare? = nil) throws -> HotState {
        try HotState(path: folder + "/buckets", mapSize: mapSize, bootID: boot, share: share)
    }

    static func limit(_ perMinute: Int, burst: Double = 1) throws -> RateLimit { try #require(RateLimit(perMinute: perMinute, burst: burst)) }

    static func request(_ limits: (BucketKey, RateLimit)..., tenant: Int64 = 1) -> AdmissionRequest {
        AdmissionRequest(tenant: TenantID(tenant), claims: limits.map { AdmissionRequest.Claim($0.0, $0.1) })
    }

    @Test func `a refusal takes nothing from any bucket, and names the one that refused`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            let (global, tenant, user) = (try Self.limit(100), try Self.limit(50), try Self.limit(2))
            let request = Self.request((.global, global), (.tenant(TenantID(1)), tenant), (.user(UserID(1)), user))
            for _ in 0..<2 { _ = try state.admit(request, at: start) }
            for _ in 0..<10 {
                let verdict = try state.admit(request, at: start)
                #expect(verdict == .refused(.user, allows: Throttle.Allowance(2, in: user.timeToFill), retryAfter: .seconds(30)))
            }
            #expect(try state.bucket(.global, of: global, at: start.boot)?.remaining == 98)
            #expect(try state.bucket(.tenant(TenantID(1)), of: tenant, at: start.boot)?.remaining == 48)
        }
    }

    @Test func `from eight threads four buckets grant exactly what the smallest holds, and lose as much each`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            let (large, small) = (try Self.limit(100_000), try Self.limit(3333))
            let granted = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 8) { thread in
                let request = Self.request(
                    (.global, large), (.tenant(TenantID(1)), small), (.user(UserID(Int64(thread))), large),
                    (.server(TenantID(1), alias: "demo"), large))
                for _ in 0..<1000 {
                    if case .admitted? = try? state.admit(request, at: start) { granted.add(1, ordering: .relaxed) }
                }
            }
            #expect(granted.load(ordering: .relaxed) == 3333)
            #expect(try state.bucket(.global, of: large, at: start.boot)?.remaining == 100_000 - 3333)
            #expect(try state.bucket(.server(TenantID(1), alias: "demo"), of: large, at: start.boot)?.remaining == 100_000 - 3333)
        }
    }

    @Test func `quotas and windows are kept over a restart, and refused with the time of their end`() async throws {
        try await withTemporaryFolder { folder in
            var request = Self.request((.global, try Self.limit(1000)))
            request.quotas = [AdmissionRequest.QuotaClaim(.day, most: 3)]
            request.window = WindowLimit(most: 5, length: .seconds(300))
            for _ in 0..<3 { _ = try Self.open(folder).admit(request, at: start) }
            let state = try Self.open(folder)
            #expect(try state.quotaUsed(.day, of: TenantID(1), at: start.wall) == 3)
            let allowance = Throttle.Allowance(3, in: .seconds(86_400))
            #expect(
                try state.admit(request, at: start)
                    == .refused(.dailyQuota, allows: allowance, retryAfter: QuotaPeriod.day.remaining(at: start.wall)))
            request.quotas = []
            for _ in 0..<2 { #expect(try state.admit(request, at: start) != .admitted([])) }
            guard case .refused(.window, _, _) = try state.admit(request, at: start) else {
                Issue.record("the sixth request in five minutes was let in")
                return
            }
        }
    }

    @Test func `after a reboot what was taken before the checkpoint stays taken, and the time in between grants nothing`() async throws {
        try await withTemporaryFolder { folder in
            let (tenant, user) = (try Self.limit(100), try Self.limit(10))
            var request = Self.request((.tenant(TenantID(1)), tenant), (.user(UserID(7)), user), (.tool(TenantID(1), name: "demo__echo"), user))
            request.quotas = [AdmissionRequest.QuotaClaim(.month, most: 100)]
            var rows: [BucketRow] = []
            do {
                let state = try Self.open(folder)
                for _ in 0..<10 { _ = try state.admit(request, at: start) }
                rows = try state.checkpoint(from: [], count: 1000, at: start).rows
            }
            #expect(Set(rows.map(\.key)) == ["tenant:1", "user:7", "tool:1:demo__echo", "month_quota:1"])
            let later = Moment(wall: start.wall.advanced(by: .seconds(60)), boot: BootInstant(nanoseconds: 5))
            let state = try Self.open(folder, boot: "boot 2")
            #expect(!state.isRestored)
            try state.restore(rows, at: later)
            #expect(state.isRestored)
            #expect(try state.bucket(.user(UserID(7)), of: user, at: later.boot)?.remaining == 0)
            #expect(try state.bucket(.tenant(TenantID(1)), of: tenant, at: later.boot)?.remaining == 90)
            #expect(try state.quotaUsed(.month, of: TenantID(1), at: later.wall) == 10)
            #expect(try state.quotaUsed(.month, of: TenantID(1), at: later.wall.advanced(by: .seconds(40 * 86_400))) == 0)
        }
    }

    @Test func `a row of the checkpoint that makes no sense is left out`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            let end = start.wall.advanced(by: .seconds(600))
            let keys = [
                "", "user:", "user:x", "user:1:2", "tenant", "address:x", "server:1", "window:99999999999999999999", "violations:", "global:1",
            ]
            try state.restore(
                keys.map { BucketRow(key: $0, level: 1, expiresAt: end) } + [BucketRow(key: "user:1", level: -1, expiresAt: end)], at: start)
            #expect(state.count == 1)
        }
    }

    @Test func `a window of another length goes on from what was counted, and does not freeze`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            var request = Self.request((.global, try Self.limit(100_000)))
            let late = Moment(wall: start.wall, boot: BootInstant(nanoseconds: 36_000_000_000_000))
            request.window = WindowLimit(most: 5, length: .seconds(300))
            for _ in 0..<5 { _ = try state.admit(request, at: late) }
            request.window = WindowLimit(most: 5, length: .seconds(3600))
            guard case .refused(.window, _, let wait) = try state.admit(request, at: late) else {
                Issue.record("a longer window forgot what was counted")
                return
            }
            #expect(wait <= .seconds(7200))
            let later = Moment(wall: late.wall, boot: late.boot.advanced(by: wait))
            guard case .admitted = try state.admit(request, at: later) else {
                Issue.record("the wait was too short")
                return
            }
        }
    }

    // MARK: Room

    @Test func `strangers find no room first, and known users go on`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder, mapSize: 1 << 20)
            let limit = try Self.limit(20)
            var refused = 0
            for number in 0..<20_000 {
                let address = try #require(AddressPrefix(bytes: [10, UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)]))
                do { _ = try state.admit(Self.request((.address(address), limit)), at: start) } catch let refusal as Refusal {
                    #expect(refusal.retryAfter != nil)
                    refused += 1
                }
            }
            #expect(refused > 10_000)
            #expect(
                try state.countViolation(of: try #require(AddressPrefix("192.0.2.1")), in: WindowLimit(most: 9, length: .seconds(60)), at: start.boot)
                    == nil)
            for user in 1...1000 {
                let verdict = try state.admit(Self.request((.user(UserID(Int64(user))), limit)), at: start)
                guard case .admitted = verdict else {
                    Issue.record("user \(user) found no room")
                    return
                }
            }
        }
    }

    @Test func `what is over goes when there is no room, however full the map is`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder, mapSize: 1 << 20)
            let limit = try Self.limit(60)
            var count = 0
            while (try? state.admit(Self.request((.user(UserID(Int64(count))), limit)), at: start)) != nil { count += 1 }
            let later = Moment(wall: start.wall, boot: start.boot.advanced(by: .seconds(600)))
            var refused = 0
            for user in count..<count + 1000 {
                if (try? state.admit(Self.request((.user(UserID(Int64(user))), limit)), at: later)) == nil { refused += 1 }
            }
            #expect(refused < 10)
        }
    }

    @Test func `the map grows up to its bound, and what it holds stays`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder, mapSize: 32 << 20)
            let limit = try Self.limit(60)
            for user in 0..<100_000 { _ = try state.admit(Self.request((.user(UserID(Int64(user))), limit)), at: start) }
            #expect(state.count == 100_000)
            #expect(try state.bucket(.user(UserID(0)), of: limit, at: start.boot)?.remaining == 59)
            var status = stat()
            #expect(stat(folder + "/buckets/data.mdb", &status) == 0)
            #expect((9 << 20)...(32 << 20) ~= Int(status.st_size))
        }
    }

    @Test func `a file that was deleted is written anew with what it held`() async throws {
        try await withTemporaryFolder { folder in
            let limit = try Self.limit(5)
            let request = Self.request((.user(UserID(1)), limit))
            do {
                let state = try Self.open(folder)
                for _ in 0..<5 { _ = try state.admit(request, at: start) }
                try FileManager.default.removeItem(atPath: folder + "/buckets")
                guard case .refused = try state.admit(request, at: start) else {
                    Issue.record("deleting the file granted a request")
                    return
                }
                #expect(try state.mend() == .mended)
                #expect(try state.mend() == .sound)
            }
            guard case .refused = try Self.open(folder).admit(request, at: start) else {
                Issue.record("deleting the file granted a request after a restart")
                return
            }
        }
    }

    @Test func `a file that was cut off is told, without looking into it`() async throws {
        try await withTemporaryFolder { folder in
            let state = try Self.open(folder)
            #expect(truncate(folder + "/buckets/data.mdb", 4096) == 0)
            #expect(try state.mend() == .truncated)
            withExtendedLifetime(state) {}
        }
    }

    // MARK: Against a model

    /// Whatever happens - clocks that stand or run backward, crashes, limits that come into play together - nobody gets more
    /// than a full bucket and what time allows; and for each loss of the hot state, at most a bucket more.
    @Test(arguments: 0..<12)
    func `nobody is ever granted more than burst and rate allow`(seed: Int) async throws {
        try await withTemporaryFolder { folder in
            var random = Random(seed: UInt64(seed + 1))
            let limit = try Self.limit(60 + seed * 37, burst: 0.5)
            let tenant = try Self.limit(200, burst: 1)
            var granted: [Int64: Int64] = [:]
            var grantedToTenant: Int64 = 0
            var (boot, latest, losses) = (start.boot, start.boot, Int64(0))
            var rows: [BucketRow] = []
            var state = try Self.open(folder)
            for _ in 0..<4000 {
                switch random.next() % 100 {
                case 0: state = try reopened(state, folder)
                case 1:
                    losses += 1
                    state = try lost(state, folder, losses, rows, boot)
                case 2: rows = try state.checkpoint(from: [], count: 1000, at: moment(boot, random.next())).rows
                case 3: boot = BootInstant(nanoseconds: max(1, boot.nanoseconds - Int64(random.next() % 60_000_000_000)))
                case 4...30: boot = boot.advanced(by: .nanoseconds(Int64(random.next() % 2_000_000_000)))
                default:
                    let user = Int64(random.next() % 3 + 1)
                    latest = max(latest, boot)
                    let verdict = try state.admit(
                        Self.request((.tenant(TenantID(1)), tenant), (.user(UserID(user)), limit)), at: moment(boot, random.next()))
                    guard case .admitted = verdict else { continue }
                    granted[user, default: 0] += 1
                    grantedToTenant += 1
                }
                let elapsed = latest.nanoseconds - start.boot.nanoseconds
                for (_, count) in granted { #expect(count <= limit.capacity * (1 + losses) + elapsed * limit.perMinute / 60_000_000_000 + 1) }
                #expect(grantedToTenant <= tenant.capacity * (1 + losses) + elapsed * tenant.perMinute / 60_000_000_000 + 1)
            }
            #expect(grantedToTenant > 0)
        }
    }

    /// The wall clock jumps by years, and must not matter.
    private func moment(_ boot: BootInstant, _ jump: UInt64) -> Moment {
        Moment(wall: start.wall.advanced(by: .seconds(Int64(jump % 631_152_000) - 315_576_000)), boot: boot)
    }

    private func reopened(_ state: consuming HotState, _ folder: String) throws -> HotState {
        _ = consume state
        return try Self.open(folder)
    }

    private func lost(_ state: consuming HotState, _ folder: String, _ losses: Int64, _ rows: [BucketRow], _ boot: BootInstant) throws -> HotState {
        _ = consume state
        try FileManager.default.removeItem(atPath: folder + "/buckets")
        let fresh = try Self.open(folder)
        try fresh.restore(rows, at: Moment(wall: start.wall, boot: boot))
        return fresh
    }

    private struct Random {
        private var state: UInt64
        init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state >> 11
        }
    }
}
