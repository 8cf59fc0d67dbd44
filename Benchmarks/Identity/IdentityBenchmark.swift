import Access
import Crypto
import FoundationEssentials
import Gateway
import Glibc
import Identity
import Proof
import Storage

/// What it costs to know who calls and whether they may: process CPU time of each step, in microseconds, as one JSON line.
///
///     identity-benchmark FOLDER TOKENS DECISIONS
///
/// Tokens and users are real: signed by a key of the gateway's, looked up in the record of truth. Rules are those of a tenant
/// that has many.
@main
struct IdentityBenchmark {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let tokens = Int(arguments[2]), let decisions = Int(arguments[3]), (1...9000).contains(tokens) else {
            print("usage: identity-benchmark FOLDER TOKENS DECISIONS (at most 9000 tokens)")
            exit(2)
        }
        let bench = try await Bench(folder: arguments[1], tokens: tokens)
        let signature = try bench.oneSignature(rounds: 500)
        let digest = bench.oneDigest(rounds: 100_000)
        let firstSight = try await bench.firstSight()
        // What is in memory is looked at once before it counts.
        _ = try bench.known(tokens)
        let known = try bench.known(decisions)
        print(
            """
            {"tokens": \(tokens), "token_bytes": \(bench.headers[0][0].utf8.count - 7), "rules": \(bench.rules.all.count), "known_us": \(known), \
            "first_sight_us": \(firstSight), "es256_us": \(signature), "sha256_1k_us": \(digest)}
            """)
        try await bench.database.close()
    }
}

struct Bench {
    let database: Storage.Database
    let authenticator: Authenticator
    let policy = Policy()
    let rules: ToolRules
    let headers: [[String]]
    private let tools: [Tool]
    private let now = Timestamp(microseconds: 1_750_000_000_000_000)

    init(folder: String, tokens: Int) async throws {
        let now = now
        guard let key = RecordKey(RecordKey.randomBytes()), let instance = InstanceKey(InstanceKey.randomBytes()),
            let origin = Origin("https://gateway.example")
        else { fatalError("these are keys and an origin") }
        let database = try Storage.Database(path: folder + "/gateway.sqlite", key: key) { now }
        self.database = database
        authenticator = Authenticator(
            keys: TokenKeys(signing: try await .generate()), instance: instance,
            users: UserDirectory(find: { try await database.user($0) }, key: { try await database.key(hash: $0) })
        ) { origin }
        func audit(_ action: String) -> AuditRecord { AuditRecord(requestID: .random(), at: now, action: action) }
        let tenant = try await database.ensureTenant("default", audit: audit("tenant.create"))
        var headers: [[String]] = []
        for number in 0..<tokens {
            let user = try await database.ensureUser("user-\(number)@example.com", role: .user, of: tenant.id, audit: audit("user.create"))
            let token = try await authenticator.issue(
                to: user, for: Resource.allCases, client: "0123456789abcdef", session: SessionID(Int64(number + 1)), at: now)
            headers.append(["Bearer " + token.revealed])
        }
        self.headers = headers

        // Eight servers of twelve tools; rules about each server, some of its tools, and some people.
        let aliases = (0..<8).compactMap { ServerAlias("server\($0)") }
        tools = aliases.flatMap { alias in (0..<12).map { Tool("tool_\($0)", of: alias, exposedAs: "\(alias)__tool_\($0)") } }
        var statements = [ToolRule.Statement(.allow, .everyone, .everything)]
        for (place, alias) in aliases.enumerated() {
            statements.append(.init(.allow, .role(.user), .server(alias)))
            statements.append(.init(.deny, .role(.auditor), .server(alias)))
            for tool in 0..<4 { statements.append(.init(.allow, .everyone, .tool("tool_\(tool)", of: alias))) }
            statements.append(.init(.deny, .user(UserID(Int64(1_000_000 + place)), name: "somebody"), .server(alias)))
        }
        rules = ToolRules(statements.enumerated().map { ToolRule(ToolRuleID(Int64($0.offset + 1)), $0.element, createdAt: now) })
    }

    /// A call of a tool by somebody whose token was seen before: who it is, whether they may call tools, and this one.
    func known(_ count: Int) throws -> Double {
        var granted = 0
        let began = Self.cpu()
        for number in 0..<count {
            let (header, tool) = (headers[number &* 7919 % headers.count], tools[number % tools.count])
            guard let principal = try authenticator.recognize(header, for: .mcp, at: now) else { fatalError("the token was seen before") }
            try policy.require(.callTool(tool.exposed), of: principal)
            if try policy.grant(tool, to: principal, under: rules).principal.user == principal.user { granted += 1 }
        }
        let took = Self.cpu() - began
        precondition(granted == count, "everybody may")
        return took / Double(count)
    }

    /// The same by somebody who was not seen before: the signature is checked, and the user looked up.
    func firstSight() async throws -> Double {
        let began = Self.cpu()
        for (number, header) in headers.enumerated() {
            let tool = tools[number % tools.count]
            let principal = try await authenticator.verify(header, for: .mcp, at: now)
            try policy.require(.callTool(tool.exposed), of: principal)
            _ = try policy.grant(tool, to: principal, under: rules)
        }
        return (Self.cpu() - began) / Double(headers.count)
    }

    /// Of the same library, to compare with: one signature checked.
    func oneSignature(rounds: Int) throws -> Double {
        let (key, bytes) = (P256.Signing.PrivateKey(), Array(headers[0][0].utf8))
        let signature = try key.signature(for: bytes)
        let began = Self.cpu()
        var good = 0
        for _ in 0..<rounds where key.publicKey.isValidSignature(signature, for: bytes) { good += 1 }
        let took = Self.cpu() - began
        precondition(good == rounds)
        return took / Double(rounds)
    }

    /// One SHA-256 of 1 KiB.
    func oneDigest(rounds: Int) -> Double {
        var bytes = [UInt8](repeating: 7, count: 1024)
        let began = Self.cpu()
        for number in 0..<rounds {
            bytes[number & 1023] = SHA256.hash(data: bytes).withUnsafeBytes { $0[0] }
        }
        return (Self.cpu() - began) / Double(rounds)
    }

    /// Microseconds of all threads of this process, user and system.
    static func cpu() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
    }
}
