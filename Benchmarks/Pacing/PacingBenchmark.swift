import Foundation
import Gateway
import Pacing
import Storage
import Synchronization

/// Decisions of the hot state in one process: four buckets each (global, tenant, user, address), division of the global one
/// included. Prints one JSON line for each run.
///
///     pacing-benchmark FOLDER KEYS THREADS SECONDS
@main
struct PacingBenchmark {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count == 4, let keys = Int(arguments[2]), let threads = Int(arguments[3]), let seconds = Double(arguments[4]) else {
            fatalError("usage: pacing-benchmark FOLDER KEYS THREADS SECONDS")
        }
        let bench = try Bench(folder: arguments[1], keys: keys)
        try bench.fill()
        let (count, times) = bench.run(threads: threads, seconds: seconds)
        func microseconds(_ share: Double) -> Double { times.percentile(share).map { Double($0.components.attoseconds) / 1e12 } ?? 0 }
        print(
            """
            {"keys": \(keys), "threads": \(threads), "decisions": \(count), "per_second": \(Int(Double(count) / seconds)), \
            "p50_us": \(microseconds(0.5)), "p99_us": \(microseconds(0.99)), "p999_us": \(microseconds(0.999))}
            """)
    }
}

struct Bench: Sendable {
    let hotState: HotState
    let keys: Int
    private let perTenant = 100

    init(folder: String, keys: Int) throws {
        self.keys = keys
        let now = Self.now()
        var plan = PacingPlan()
        plan.global = 10_000_000
        hotState = try HotState(path: folder, mapSize: 1 << 30, bootID: "benchmark", share: plan.share(at: now.boot))
    }

    static func now() -> Moment {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        let boot = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
        return Moment(wall: Timestamp(microseconds: 1_700_000_000_000_000), boot: BootInstant(nanoseconds: boot))
    }

    /// A user's request: their bucket, their tenant's, everybody's, and one of an address.
    private func request(_ user: Int) -> AdmissionRequest {
        let tenant = TenantID(Int64(user / perTenant % 1000 + 1))
        guard let limit = RateLimit(perMinute: 10_000_000, burst: 2),
            let address = AddressPrefix(bytes: [
                10, UInt8(truncatingIfNeeded: user >> 16), UInt8(truncatingIfNeeded: user >> 8), UInt8(truncatingIfNeeded: user),
            ])
        else { fatalError("these are a limit and an address") }
        return AdmissionRequest(
            tenant: tenant,
            claims: [
                AdmissionRequest.Claim(.global, limit), AdmissionRequest.Claim(.tenant(tenant), limit),
                AdmissionRequest.Claim(.user(UserID(Int64(user))), limit), AdmissionRequest.Claim(.address(address), limit),
            ])
    }

    func fill() throws {
        for user in 0..<keys / 2 { _ = try hotState.admit(request(user), at: Self.now()) }
    }

    func run(threads: Int, seconds: Double) -> (Int, DecisionTimes) {
        let total = Atomic<Int>(0)
        let all = Mutex(DecisionTimes())
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            var times = DecisionTimes()
            var random = UInt64(thread + 1)
            let end = Self.now().boot.advanced(by: .nanoseconds(Int64(seconds * 1e9)))
            var now = Self.now()
            while now.boot < end {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                _ = try? hotState.admit(request(Int(random >> 33) % max(1, keys / 2)), at: now)
                let later = Self.now()
                times.note(.nanoseconds(later.boot.nanoseconds - now.boot.nanoseconds))
                now = later
            }
            total.add(times.count, ordering: .relaxed)
            all.withLock { $0.add(times) }
        }
        return (total.load(ordering: .relaxed), all.withLock { $0 })
    }
}
