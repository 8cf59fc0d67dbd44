import ArgumentParser
import FoundationEssentials
import Gateway
import MCP

/// Which instance a command speaks to.
struct Instance: ParsableArguments {
    @Option(help: "The instance's state directory (default: $MREG_STATE_DIR, else /var/lib/mcp-registry-gateway).") var stateDir: String?

    func validate() throws {
        if stateDir?.isEmpty ?? false { throw ValidationError("--state-dir is empty.") }
    }

    var path: String { stateDir ?? ProcessInfo.processInfo.environment["MREG_STATE_DIR"] ?? Settings().stateDirectory }

    /// - Parameter patience: seconds to wait for the answer.
    func request(_ method: String, _ path: String, body: JSONText? = nil, patience: Int = 60) throws -> JSON? {
        try ControlSocket.request(method, path, body: body, stateDirectory: self.path, patience: patience)
    }
}

struct ServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server", abstract: "Register MCP servers, and approve what they offer, as the operator of this host.",
        subcommands: [
            Add.self, List.self, Check.self, SealedVariables.self, Publish.self, Unpublish.self, Remove.self, Log.self, Tools.self, Approve.self,
        ])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register a server.",
            discussion: """
                A program on this host, which the gateway runs without a shell:
                  mreg server add files --env ROOT=/srv -- /usr/bin/mcp-files --read-only
                A server somewhere else:
                  mreg server add weather --endpoint https://weather.example/mcp
                One that runs in several places, which share the work:
                  mreg server add search --endpoint https://a.example/mcp --replica https://b.example/mcp=2 --strategy weighted
                One that wants a credential, which is read from a file and kept sealed:
                  mreg server add tickets --endpoint https://tickets.example/mcp --auth static --secret-file token.txt
                  mreg server add docs --endpoint https://docs.example/mcp --auth per_user
                """)

        @Argument(help: "1 to 12 of a-z, 0-9 and hyphens: the prefix of its tools' names.") var alias: String
        @OptionGroup var instance: Instance
        @Option(help: "A name for people.") var title: String?
        @Option(help: "What it is for, in at most 100 characters.") var description: String?
        @Flag(help: "Everybody may know that it is there: it is listed at /v0.1/servers.") var `public` = false
        @Option(help: "The tenant it belongs to.") var tenant: String?
        @Option(help: "Its URL, if it is not a program on this host.") var endpoint: String?
        @Option(help: "How much of the work its URL gets beside the others, 1 to 100; 1 unless said otherwise.") var weight: Int?
        @Option(help: "Another URL of the same, URL or URL=WEIGHT; may be repeated.") var replica: [String] = []
        @Option(help: "How they share the work: \(BalancingStrategy.allCases.map(\.rawValue).joined(separator: ", ")).") var strategy: String?
        @Option(help: "auto, modern, legacy or sse (HTTP with server-sent events, as of 2024-11-05).") var era = "auto"
        @Option(help: "A variable for the program, NAME=value; may be repeated.") var env: [String] = []
        @Option(help: "A variable for the program whose value is in a file and is kept sealed, NAME=FILE; may be repeated.") var secretEnv: [String] =
            []
        @Option(help: "A word to find it by; may be repeated.") var tag: [String] = []
        @Option(help: "What it may ask users for: elicitation, sampling, roots (all, unless said otherwise), or none; may be repeated.")
        var question: [String] = []
        @Option(help: "What it is shown: none, static, client_credentials, per_user or on_behalf_of.") var auth: String?
        @Option(help: "static: the header, Authorization unless said otherwise.") var header: String?
        @Option(help: "The file with the header's whole value (such as Bearer …), or with the client's secret.") var secretFile: String?
        @Option(help: "Of the gateway at the authorization server.") var clientID: String?
        @Option(help: "The authorization server's exact name.") var issuer: String?
        @Option(help: "client_credentials: where tokens are asked for, instead of --issuer.") var tokenEndpoint: String?
        @Option(help: "What to ask the authorization server for.") var scope: String?
        @Option(help: "client_credentials: what tokens are to be good for, if it is not the URL.") var resource: String?
        @Flag(help: "One process for all users: only for programs that keep nothing between calls.") var shared = false
        @Argument(parsing: .postTerminator, help: "The program and its arguments.") var command: [String] = []

        func validate() throws {
            guard command.isEmpty != (endpoint == nil) else { throw ValidationError("Name either --endpoint URL, or a program after --.") }
            guard env.allSatisfy({ $0.contains("=") && !$0.hasPrefix("=") }) else { throw ValidationError("--env takes NAME=value.") }
            guard auth != nil || credentialMembers.isEmpty && secretFile == nil else { throw ValidationError("Say with --auth what it is shown.") }
            guard endpoint == nil || (env.isEmpty && secretEnv.isEmpty && !shared) else {
                throw ValidationError("--env, --secret-env and --shared go with a program.")
            }
            guard secretEnv.allSatisfy(SecretFile.isAssignment) else { throw ValidationError("--secret-env takes NAME=FILE.") }
            guard endpoint != nil || (replica.isEmpty && strategy == nil && weight == nil) else {
                throw ValidationError("--weight, --replica and --strategy go with --endpoint.")
            }
            guard !question.contains("none") || question == ["none"] else { throw ValidationError("--question none goes with no other.") }
        }

        func run() throws {
            let variables = env.map(Self.pair).map { name, value -> (String, JSONText?) in (name, .string(value)) }
            let sealed = try secretEnv.map(SecretFile.variable)
            var members: [(String, JSONText?)] = [
                ("alias", .string(alias)), ("title", title.map { .string($0) }), ("description", description.map { .string($0) }),
                ("public", `public` ? .bool(true) : nil), ("tenant", tenant.map { .string($0) }), ("era", .string(era)),
                ("tags", .array(tag.map { .string($0) })),
                ("questions", question.isEmpty ? nil : .array(question.filter { $0 != "none" }.map { .string($0) })),
            ]
            if let endpoint {
                members += [("endpoint", .string(endpoint)), ("weight", weight.map { .number($0) }), ("strategy", strategy.map { .string($0) })]
                if !replica.isEmpty { members.append(("replicas", .array(replica.map(Self.replica)))) }
                if let auth { members.append(("credential", .object([("mode", .string(auth))] + credentialMembers + [("secret", try secret())]))) }
            } else {
                members += [
                    ("path", .string(command[0])), ("arguments", .array(command.dropFirst().map { .string($0) })),
                    ("environment", .object(variables)), ("secret_environment", sealed.isEmpty ? nil : .object(sealed)), ("shared", .bool(shared)),
                ]
            }
            guard let server = try instance.request("POST", "/servers", body: .object(members)) else { return }
            print(ServerCommand.told(server, alias, "is registered", "is registered, but cannot be asked yet"))
        }

        private var credentialMembers: [(String, JSONText?)] {
            [
                ("header", header), ("client_id", clientID), ("issuer", issuer), ("token_endpoint", tokenEndpoint), ("scope", scope),
                ("resource", resource),
            ].compactMap { name, value in value.map { (name, .string($0)) } }
        }

        private func secret() throws -> JSONText? {
            guard let secretFile else { return nil }
            return try SecretFile.text(secretFile)
        }

        fileprivate static func pair(_ text: String) -> (String, String) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), String(parts[1]))
        }

        /// A number after the last `=` is the weight; a URL whose query ends in one needs its weight written.
        static func replica(_ text: String) -> JSONText {
            guard let sign = text.lastIndex(of: "="), let weight = Int(text[text.index(after: sign)...]) else { return ["endpoint": .string(text)] }
            return ["endpoint": .string(String(text[..<sign])), "weight": .number(weight)]
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the registered servers.")

        @OptionGroup var instance: Instance
        @Option(help: "The tenant they belong to.") var tenant: String?

        func run() throws {
            let path = "/servers" + (tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? "")
            let servers = try instance.request("GET", path)?["servers"]?.elements ?? []
            var table = TextTable(["ALIAS", "TRANSPORT", "STATUS", "PUBLIC", "HEALTH", "ENDPOINTS UP", "REVISION", "TOOLS", "WAITING", "TITLE"])
            for server in servers {
                table.add(
                    ["alias", "transport", "status", "public", "health", "replicas", "revision", "tools", "tools_waiting", "title"].map { name in
                        name == "replicas"
                            ? Self.endpoints(server[name])
                            : server[name].flatMap { value in
                                value.string ?? value.bool.map { $0 ? "yes" : "no" } ?? (value.isNull ? "-" : value.text.description)
                            } ?? "-"
                    })
            }
            print(servers.isEmpty ? "No servers are registered. Register one: mreg server add --help" : table.text)
            for server in servers where ["resting", "failing"].contains(server["health"]?.string) {
                print("\n\(server["alias"]?.string ?? ""): \(server["last_failure"]?.string?.withoutControls ?? "")")
            }
            for server in servers {
                for cut in server["cut_lists"]?.elements ?? [] { print("\n\(server["alias"]?.string ?? ""): \(cut.string ?? "")") }
            }
        }

        private static func endpoints(_ replicas: JSON?) -> String {
            guard let all = replicas?.elements, let state = all.first?["state"], !state.isNull else { return "-" }
            return "\(all.count { $0["state"]?.string == "closed" }) of \(all.count)"
        }
    }

    /// How a server is doing, in one line.
    fileprivate static func told(_ server: JSON, _ alias: String, _ good: String, _ bad: String) -> String {
        if let failure = server["last_failure"]?.string { return "\(alias) \(bad): \(failure.withoutControls)" }
        let cuts = (server["cut_lists"]?.elements ?? []).compactMap(\.string).map { "; \($0)" }.joined()
        return "\(alias) \(good): \(server["tools"]?.integer ?? 0) tools, MCP \(server["revision"]?.string ?? "unknown")\(cuts)"
    }

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ask a server now what it offers.",
            discussion: "A program that was put to rest because it kept crashing is started again with it.")

        @Argument(help: "Its alias.") var alias: String
        @OptionGroup var instance: Instance
        @Option(help: "The tenant it belongs to.") var tenant: String?

        func run() throws {
            let query = tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? ""
            guard let server = try instance.request("POST", "/servers/\(QueryValue.encoded(alias))/check\(query)") else { return }
            let isActive = server["status"]?.string == ServerRecord.Status.active.rawValue
            print(isActive ? ServerCommand.told(server, alias, "answers", "cannot be asked") : "\(alias) is disabled.")
        }
    }

    struct SealedVariables: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "secret", abstract: "Give a program other sealed variables.",
            discussion: """
                  mreg server secret tickets API_TOKEN=token.txt        set, or replaced
                  mreg server secret tickets --remove OLD_TOKEN
                Values are read from files, kept sealed and shown to nobody but the program. Its processes end, and the next one has them.
                """)

        @Argument(help: "Its alias.") var alias: String
        @Argument(help: "NAME=FILE; may be repeated.") var variables: [String] = []
        @Option(help: "A variable it is to have no more; may be repeated.") var remove: [String] = []
        @OptionGroup var instance: Instance
        @Option(help: "The tenant it belongs to.") var tenant: String?

        func validate() throws {
            guard !(variables.isEmpty && remove.isEmpty) else { throw ValidationError("Name a variable: NAME=FILE, or --remove NAME.") }
            guard variables.allSatisfy(SecretFile.isAssignment) else { throw ValidationError("A variable is given as NAME=FILE.") }
        }

        func run() throws {
            let changes = try variables.map(SecretFile.variable) + remove.map { ($0, .null) }
            guard Set(changes.map(\.0)).count == changes.count else { throw OperatorError("A variable is named twice.") }
            let body: JSONText = ["secret_environment": .object(changes), "tenant": tenant.map { .string($0) }]
            let server = try instance.request("PATCH", "/servers/\(QueryValue.encoded(alias))", body: body)
            let names = server?["secret_environment"]?.elements.compactMap { $0.string?.withoutControls } ?? []
            print("Sealed variables of \(alias): \(names.isEmpty ? "none" : names.joined(separator: ", ")). Its next process has them.")
        }
    }

    struct Log: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print what a server's latest processes wrote to stderr.",
            discussion: "Of each process at most the last 64 KiB, without the secrets of its environment.")

        @Argument(help: "Its alias.") var alias: String
        @OptionGroup var instance: Instance
        @Option(help: "The tenant it belongs to.") var tenant: String?

        func run() throws {
            let query = tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? ""
            let processes = try instance.request("GET", "/servers/\(QueryValue.encoded(alias))/log\(query)")?["processes"]?.elements ?? []
            if processes.isEmpty { print("No process of \(alias) was started since the gateway was.") }
            for process in processes {
                let whose = process["user_id"]?.integer.map { "user \($0)" } ?? "the gateway"
                print("== started \(process["started_at"]?.string ?? "") for \(whose)")
                let lines = (process["stderr"]?.string ?? "").split(separator: "\n", omittingEmptySubsequences: false)
                print(lines.map { String($0).withoutControls }.joined(separator: "\n"))
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a server from the registry.")

        @Argument(help: "Its alias.") var alias: String
        @OptionGroup var instance: Instance
        @Option(help: "The tenant it belongs to.") var tenant: String?

        func run() throws {
            let query = tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? ""
            _ = try instance.request("DELETE", "/servers/\(QueryValue.encoded(alias))\(query)")
            print("\(alias) is no longer registered.")
        }
    }
}

struct TenantCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tenant", abstract: "Make a tenant: users, servers and limits of its own.", subcommands: [Add.self, Limits.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a tenant.")

        @Argument(help: "Its name.") var name: String
        @OptionGroup var instance: Instance

        func run() throws {
            _ = try instance.request("POST", "/tenants", body: ["name": .string(name)])
            print("The tenant \(name) exists. Give somebody in it a token: mreg token NAME --tenant \(name)")
        }
    }
}

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Print an access token for a user, good for an hour.",
        discussion: "The user is made if there is none of that name.")

    @Argument(help: "The user's name.") var user: String
    @OptionGroup var instance: Instance
    @Option(help: "user, server_owner, admin or auditor; the one the user has, or user, if not given.") var role: String?
    @Option(help: "The tenant the user belongs to.") var tenant: String?

    func run() throws {
        let body: JSONText = ["user": .string(user), "role": role.map { .string($0) }, "tenant": tenant.map { .string($0) }]
        print(try instance.request("POST", "/tokens", body: body)?["access_token"]?.string ?? "")
    }
}

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "What the record says.", subcommands: [Calls.self, Daily.self, Weekly.self, Pools.self, Pacing.self])

    struct Calls: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What was called, how it ended, and how long it took.")

        @OptionGroup var instance: Instance
        @Option(help: "How far to look back.") var hours = 24

        func run() throws {
            let lines = try instance.request("GET", "/reports/calls?hours=\(hours)")?["lines"]?.elements ?? []
            var table = TextTable(["SERVER", "ACTION", "TARGET", "COUNT", "OUTCOMES", "P50 MS", "P95 MS", "P99 MS"])
            for line in lines {
                let outcomes = (line["outcomes"]?.members ?? []).map { "\($0.name) \($0.value.text)" }.joined(separator: ", ")
                let fixed = ["p50_ms", "p95_ms", "p99_ms"].map { line[$0].flatMap { $0.isNull ? nil : $0.text.description } ?? "-" }
                let named = ["server", "action", "target"].map { line[$0]?.string ?? "" }
                table.add(named + [line["count"]?.text.description ?? "", outcomes] + fixed)
            }
            print(lines.isEmpty ? "Nothing was called in the last \(hours) hours." : table.text)
        }
    }
}

/// Values that are read from files, so that no command line shows them.
private enum SecretFile {
    static func isAssignment(_ text: String) -> Bool { text.contains("=") && !text.hasPrefix("=") }

    /// `NAME=FILE`.
    static func variable(_ text: String) throws -> (String, JSONText?) {
        let (name, file) = ServerCommand.Add.pair(text)
        return (name, try self.text(file))
    }

    /// Without the line break at its end.
    static func text(_ file: String) throws -> JSONText {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { throw OperatorError("\(file) cannot be read.") }
        return .string(text.hasSuffix("\n") ? String(text.dropLast()) : text)
    }
}

/// Lines up columns with two spaces between them.
struct TextTable {
    private var rows: [[String]]

    init(_ header: [String]) { rows = [header] }

    mutating func add(_ row: [String]) { rows.append(row.map(\.withoutControls)) }

    var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let padded = row.indices.map { row[$0] + String(repeating: " ", count: widths[$0] - row[$0].count) }.joined(separator: "  ")
            return String(padded.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }
}

enum QueryValue {
    /// Percent-encodes everything but letters, digits, `-`, `.` and `_` (RFC 3986's unreserved, less the tilde).
    static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "-._".utf8.contains(byte)
            let digits = String(byte, radix: 16, uppercase: true)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count == 1 ? "0" : "") + digits
        }.joined()
    }
}
