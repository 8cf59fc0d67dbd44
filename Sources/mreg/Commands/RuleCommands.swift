import ArgumentParser
import Gateway
import MCP

struct RuleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rule", abstract: "Say who may use which tools.",
        discussion: """
            What no rule allows is denied. The most specific rule decides: one about the user before one about the role before one about \
            everyone; then one about the tool before one about its server before one about every server; of equals, a denial. A new tenant \
            has one rule, that everyone may use everything; remove it to begin with nothing. Changes hold with the next request.
            """,
        subcommands: [List.self, Add.self, Remove.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the rules of a tenant.")

        @OptionGroup var instance: Instance
        @Option(help: "The tenant.") var tenant: String?

        func run() throws {
            let path = "/tool-rules" + (tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? "")
            let rules = try instance.request("GET", path)?["rules"]?.elements ?? []
            var table = TextTable(["RULE", "WHAT IT SAYS"])
            for rule in rules { table.add([rule["id"]?.text.description ?? "", rule["words"]?.string ?? ""]) }
            print(rules.isEmpty ? "There are no rules, so nobody may use any tool. Add one: mreg rule add --help" : table.text)
        }
    }

    struct Add: ParsableCommand {
        enum Effect: String, ExpressibleByArgument, CaseIterable { case allow, deny }

        static let configuration = CommandConfiguration(
            abstract: "Allow or deny the use of tools.",
            discussion: """
                  mreg rule add allow --role user --server weather
                  mreg rule add allow --user ada --server db --tool query
                  mreg rule add deny --everyone --server db --tool drop_table
                """)

        @Argument(help: "allow or deny.") var effect: Effect
        @Option(help: "The user it is about.") var user: String?
        @Option(help: "The role it is about: user, server_owner or admin.") var role: String?
        @Flag(help: "It is about everyone who uses tools.") var everyone = false
        @Option(help: "A server's alias.") var server: String?
        @Option(help: "A tool's own name on that server; every tool if not given.") var tool: String?
        @Flag(help: "It is about every tool of every server.") var everyServer = false
        @Option(help: "The tenant.") var tenant: String?
        @OptionGroup var instance: Instance

        func validate() throws {
            guard [user != nil, role != nil, everyone].count(where: { $0 }) == 1 else {
                throw ValidationError("Say whom it is about: one of --user NAME, --role ROLE and --everyone.")
            }
            guard (server != nil) != everyServer, tool == nil || server != nil else {
                throw ValidationError("Say what it is about: either --server ALIAS, with --tool NAME or without, or --every-server.")
            }
        }

        func run() throws {
            let body: JSONText = [
                "effect": .string(effect.rawValue), "user": user.map { .string($0) }, "role": role.map { .string($0) },
                "everyone": everyone ? .bool(true) : nil, "server": server.map { .string($0) }, "tool": tool.map { .string($0) },
                "every_server": everyServer ? .bool(true) : nil, "tenant": tenant.map { .string($0) },
            ]
            let rule = try instance.request("POST", "/tool-rules", body: body)
            print("Rule \(rule?["id"]?.integer ?? 0): \(rule?["words"]?.string?.withoutControls ?? "").")
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a rule.")

        @Argument(help: "Its number, as mreg rule list shows it.") var id: Int64
        @Option(help: "The tenant.") var tenant: String?
        @OptionGroup var instance: Instance

        func run() throws {
            let query = tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? ""
            _ = try instance.request("DELETE", "/tool-rules/\(id)\(query)")
            print("Rule \(id) is removed.")
        }
    }
}

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Say whether a user may use a tool, and which rule decides.")

    @Argument(help: "The user's name.") var user: String
    @Argument(help: "The tool, by the name that tools/list shows.") var tool: String
    @Option(help: "The tenant.") var tenant: String?
    @OptionGroup var instance: Instance

    func run() throws {
        let pairs = [("user", user), ("tool", tool)] + (tenant.map { [("tenant", $0)] } ?? [])
        let query = pairs.map { "\($0)=\(QueryValue.encoded($1))" }.joined(separator: "&")
        let answer = try instance.request("GET", "/explain?\(query)")
        print(answer?["because"]?.string?.withoutControls ?? "")
        // For scripts: what is denied ends with another status than what is allowed.
        if answer?["allowed"]?.bool != true { throw ExitCode(3) }
    }
}
