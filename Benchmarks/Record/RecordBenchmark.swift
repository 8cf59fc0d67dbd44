import Audit
import FoundationEssentials
import Gateway
import Glibc
import Logging
import Proof
import Storage

/// Measures the record of truth as the program uses it: `record-benchmark FOLDER ROWS HOURS SECONDS`. Prints JSON lines.
///
/// The rows are those of `rows.py`, which writes them for PostgreSQL.
@main
struct RecordBenchmark {
    static let end: Int64 = 1_750_000_000_000_000
    static let users = 5_000
    static let tenants = 100

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let rows = Int(arguments[2]), let hours = Int(arguments[3]), let seconds = Int(arguments[4]) else {
            print("usage: record-benchmark FOLDER ROWS HOURS SECONDS")
            exit(2)
        }
        let path = arguments[1] + "/gateway.sqlite"
        guard let key = RecordKey(RecordKey.randomBytes()) else { exit(1) }
        let database = try Storage.Database(path: path, key: key) { Timestamp(microseconds: end) }
        let people = try await load(database, rows, hours)
        try await queries(database, people, rows)
        print(line("flush", flush(arguments[1])))
        try await commits(database, people, seconds)
        try await emptyInbox(database)
        for durability in [Durability.batched, .answered] { try await paced(database, people, durability, seconds) }
        print(line("flush", flush(arguments[1])))
        try await database.close()
    }

    struct People {
        var tenants: [TenantID] = []
        var users: [UserID] = []
    }

    // MARK: Load

    static func load(_ database: Storage.Database, _ count: Int, _ hours: Int) async throws -> People {
        var people = People()
        func audit(_ action: String) -> AuditRecord {
            AuditRecord(requestID: .random(), at: Timestamp(microseconds: end - Int64(hours) * 3_600_000_000), action: action)
        }
        for tenant in 0..<tenants { people.tenants.append(try await database.ensureTenant("t\(tenant)", audit: audit("tenant.create")).id) }
        for user in 0..<users {
            people.users.append(
                try await database.ensureUser("u\(user)", role: .user, of: people.tenants[user % tenants], audit: audit("user.create")).id)
        }
        try await database.writeSessions(
            (0..<users * 2).map { number in
                let moment = Timestamp(microseconds: end - Int64(number * 7919 % 86_400_000) * 1000)
                return Session(
                    id: SessionID(Int64(number + 1)), user: people.users[number / 2], tenant: people.tenants[number / 2 % tenants], startedAt: moment,
                    lastActivity: moment, client: "bench", era: "modern", requests: 1, errors: 0, isActive: number % 3 != 0, activities: [])
            })
        let before = database.fileBytes + database.walBytes
        let clock = ContinuousClock()
        let start = clock.now
        var generator = Rows(count: count, hours: hours, people: people)
        var batch: [AuditRecord] = []
        while let record = generator.next() {
            batch.append(record)
            if batch.count == 1000 {
                try await database.append(batch)
                batch.removeAll(keepingCapacity: true)
            }
        }
        try await database.append(batch)
        try await database.writeSums()
        let elapsed = clock.now - start
        _ = try await database.tidy()
        let sizes = try await database.tableBytes()
        let record = sizes.filter { $0.name.contains("audit") }.reduce(0) { $0 + $1.bytes }
        print(
            line(
                "load",
                [
                    "rows": Double(count), "rows_per_s": Double(count) / (elapsed / .seconds(1)), "bytes_per_row": Double(record) / Double(count),
                    "file_mib": Double(database.fileBytes - before) / 1_048_576,
                ]))
        for (name, bytes) in sizes where bytes > 1 << 20 { print(line("size \(name)", ["bytes_per_row": Double(bytes) / Double(count)])) }
        return people
    }

    // MARK: Queries

    static func queries(_ database: Storage.Database, _ people: People, _ rows: Int) async throws {
        var random = SplitMix(state: 7)
        let now = Timestamp(microseconds: end)
        var times: [Double] = []
        for _ in 0..<900 {
            let tenant = people.tenants[Int(random.next() % UInt64(tenants))]
            times.append(try await milliseconds { _ = try await database.userActivity(of: tenant, since: now.advanced(by: .seconds(-3600))) })
        }
        print(line("user activity 1 h", quantiles(times)))
        for (name, hours) in [("tenant analytics 24 h", 24), ("tenant analytics 24 h, cut at the half hour", 24)] {
            times = []
            let since = now.advanced(by: .seconds(-3600 * hours + (name.hasSuffix("hour") ? 1400 : 0)))
            for _ in 0..<45 { times.append(try await milliseconds { _ = try await database.tenantAnalytics(of: nil, since: since) }) }
            print(line(name, quantiles(times)))
        }
    }

    // MARK: Writing

    /// Sixty-four callers who each wait for their record to be on disk: as long as the inbox has room, and without end.
    static func commits(_ database: Storage.Database, _ people: People, _ seconds: Int) async throws {
        var rounds: [(rate: Double, times: [Double])] = []
        for round in 0..<3 {
            try await emptyInbox(database)
            rounds.append(try await rush(database, people, seed: round, rowsEach: 4000, seconds))
        }
        rounds.sort { $0.rate < $1.rate }
        var figures = quantiles(rounds[1].times)
        (figures["rows_per_s"], figures["slowest"], figures["fastest"]) = (rounds[1].rate, rounds[0].rate, rounds[2].rate)
        print(line("durable rows, 64 callers", figures))
        let sustained = try await rush(database, people, seed: 3, rowsEach: .max, 4 * seconds)
        figures = quantiles(sustained.times)
        figures["rows_per_s"] = sustained.rate
        print(line("durable rows, 64 callers, inbox full", figures))
    }

    static func rush(
        _ database: Storage.Database, _ people: People, seed: Int, rowsEach: Int, _ seconds: Int
    ) async throws -> (rate: Double, times: [Double]) {
        let trail = AuditTrail(sink: AuditSink { database.submit($0, $1) }, logger: quiet) { Timestamp(microseconds: end) }
        let clock = ContinuousClock()
        let start = clock.now
        let deadline = start + .seconds(seconds)
        let times = try await withThrowingTaskGroup(of: [Double].self) { group in
            for client in 0..<64 {
                group.addTask {
                    var random = SplitMix(state: UInt64(seed * 64 + client))
                    var times: [Double] = []
                    while clock.now < deadline, times.count < rowsEach {
                        let record = record(&random, people)
                        times.append(try await milliseconds { try await trail.record(record) })
                    }
                    return times
                }
            }
            return try await group.reduce(into: [Double]()) { $0 += $1 }
        }
        return (Double(times.count) / ((clock.now - start) / .seconds(1)), times)
    }

    /// Whatever reads the log has every row moved to its place.
    static func emptyInbox(_ database: Storage.Database) async throws {
        _ = try await database.auditRows(of: nil, since: Timestamp(microseconds: end), limit: 1)
    }

    /// Two thousand calls a second, evenly.
    static func paced(_ database: Storage.Database, _ people: People, _ durability: Durability, _ seconds: Int) async throws {
        let trail = AuditTrail(sink: AuditSink { database.submit($0, $1) }, durability: durability, logger: quiet) { Timestamp(microseconds: end) }
        let running = Task { try await trail.run() }
        let clock = ContinuousClock()
        let start = clock.now
        let times = try await withThrowingTaskGroup(of: [Double].self) { group in
            for client in 0..<20 {
                group.addTask {
                    var random = SplitMix(state: UInt64(client))
                    var times: [Double] = []
                    for number in 0..<(100 * seconds) {
                        // Each caller a hundred times a second, the callers between each other.
                        try await clock.sleep(until: start + .milliseconds(10 * number) + .microseconds(500 * client), tolerance: .zero)
                        let record = record(&random, people)
                        times.append(try await milliseconds { try await trail.record(record) })
                    }
                    return times
                }
            }
            return try await group.reduce(into: [Double]()) { $0 += $1 }
        }
        running.cancel()
        _ = await running.result
        var figures = quantiles(times)
        figures["calls_per_s"] = Double(times.count) / ((clock.now - start) / .seconds(1))
        print(line("\(durability.rawValue) at 2,000 calls/s", figures))
    }

    /// What a flush of 4 KiB costs on this disk.
    static func flush(_ folder: String) -> [String: Double] {
        let path = folder + "/flush"
        let file = open(path, O_CREAT | O_RDWR, 0o600)
        defer {
            close(file)
            unlink(path)
        }
        let page = [UInt8](repeating: 1, count: 4096)
        var times: [Double] = []
        for number in 0..<300 {
            pwrite(file, page, page.count, off_t(number % 64 * 4096))
            let start = ContinuousClock.now
            fdatasync(file)
            times.append((ContinuousClock.now - start) / .milliseconds(1))
        }
        return quantiles(times)
    }

    // MARK: Parts

    static let quiet = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }

    static func record(_ random: inout SplitMix, _ people: People) -> AuditRecord {
        let user = Int(random.next() % UInt64(users))
        return AuditRecord(
            requestID: RequestID(random.next()), at: Timestamp(microseconds: end), user: people.users[user], tenant: people.tenants[user % tenants],
            server: ServerID(1), action: "tools/call", target: "echo_1", duration: .microseconds(12_500), address: "10.0.0.1")
    }

    static func milliseconds(_ body: () async throws -> Void) async rethrows -> Double {
        let start = ContinuousClock.now
        try await body()
        return (ContinuousClock.now - start) / .milliseconds(1)
    }

    static func quantiles(_ values: [Double]) -> [String: Double] {
        let sorted = values.sorted()
        func at(_ share: Double) -> Double { sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))] }
        return ["p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "n": Double(values.count)]
    }

    static func line(_ name: String, _ figures: [String: Double]) -> String {
        let members = figures.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \(($0.value * 1000).rounded() / 1000)" }
        return "{\"test\": \"\(name)\", \(members.joined(separator: ", "))}"
    }
}

/// Steele, Lea and Flood's generator: the same numbers in any language.
struct SplitMix: Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func share() -> Double { Double(next()) / 18_446_744_073_709_551_616.0 }
}

/// The audit rows: evenly over the hours, a quarter of the users making half of the requests.
struct Rows {
    private static let methods = ["tools/list", "tools/call", "tools/call", "tools/call", "initialize", "ping", "resources/list", "prompts/list"]
    private var random = SplitMix(state: 1)
    private var number = 0
    private let count: Int
    private let span: Double
    private let people: RecordBenchmark.People

    init(count: Int, hours: Int, people: RecordBenchmark.People) {
        self.count = count
        span = Double(hours) * 3_600_000
        self.people = people
    }

    mutating func next() -> AuditRecord? {
        guard number < count else { return nil }
        let step = span / Double(count)
        let time = Int64(1_750_000_000_000) - Int64(span) + Int64(Double(number) * step + random.share() * step)
        let share = random.share()
        let user = Int(Double(RecordBenchmark.users) * share * share)
        let method = Self.methods[Int(random.next() & 7)]
        let draw = random.next() % 1000
        let status = draw < 985 ? 200 : draw < 990 ? 429 : draw < 992 ? 401 : 500
        let slow = random.share()
        let milliseconds = 2 + 400 * (slow * slow * slow) * (slow * slow * slow)
        number += 1
        return AuditRecord(
            requestID: RequestID(UInt64(number)), at: Timestamp(microseconds: time * 1000), user: people.users[user],
            tenant: people.tenants[user % RecordBenchmark.tenants], server: method == "tools/call" ? ServerID(1) : nil, action: method,
            target: method == "tools/call" ? "echo_\(user % 10)" : "", outcome: status == 200 ? .ok : status == 500 ? .failed : .refused,
            reason: status == 429 ? "throttled_earlier" : "", status: status, duration: .microseconds(Int64(milliseconds * 1000)), address: "10.0.0.1"
        )
    }
}
