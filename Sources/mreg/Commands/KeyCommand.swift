import ArgumentParser
import Gateway
import MCP

struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "API keys, for programs that cannot sign in; and the keys that tokens are signed with.",
        discussion: "An API key acts as its user, and never does more than the user may.",
        subcommands: [Add.self, List.self, Rotate.self, Revoke.self, RotateSigning.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key for a user, and print it this once.",
            discussion: """
                For one server and one tool of another:
                  mreg key add build-bot --user bots --server git --tool tickets__create --days 30
                """)

        @Argument(help: "What it is for.") var name: String
        @Option(help: "As whom it acts.") var user: String
        @Option(help: ArgumentHelp("Only for this server; may be repeated.", valueName: "alias")) var server: [String] = []
        @Option(help: ArgumentHelp("Only for this tool, as tools/list names it; may be repeated.", valueName: "name")) var tool: [String] = []
        @Option(help: "mcp:tools, registry:read, registry:write, admin or account; may be repeated. mcp:tools if not given.") var scope: [String] = []
        @Option(help: "How long it is good for: 1 to 366.") var days = 90
        @Option(help: "Requests a minute, besides its user's own limit. No limit of its own if not given.") var perMinute: Int?
        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            func list(_ texts: [String]) -> JSONText? { texts.isEmpty ? nil : .array(texts.map { .string($0) }) }
            let members: [(String, JSONText?)] = [
                ("name", .string(name)), ("user", .string(user)), ("servers", list(server)), ("tools", list(tool)), ("scopes", list(scope)),
                ("expires_in_days", .number(days)), ("requests_per_minute", perMinute.map { .number($0) }), tenant.member,
            ]
            guard let key = try instance.request("POST", "/keys", body: .object(members)) else { return }
            print(json ? key.text.description : Self.text(key))
        }

        static func text(_ key: JSON) -> String {
            """
            \(key["key"]?.string ?? "")

            This is key \(key["id"]?.integer ?? 0), good until \(Moments.text(key["expires_at"])). It is shown this once.
            """
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the keys of a user: all but the keys themselves.")

        @Option(help: "Whose.") var user: String
        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            let keys = try instance.request("GET", "/keys" + tenant.query([("user", user)]))?["keys"]?.elements ?? []
            if json { return print(JSONText.array(keys.map(\.text))) }
            var table = TextTable(["ID", "NAME", "BEGINS", "STATUS", "SCOPES", "FOR", "A MINUTE", "UNTIL", "LAST USED"])
            for key in keys {
                let reach = ["servers", "tools"].flatMap { key[$0]?.elements.compactMap(\.string) ?? [] }
                let scopes = key["scopes"]?.elements.compactMap(\.string) ?? []
                table.add([
                    "\(key["id"]?.integer ?? 0)", key["name"]?.string ?? "", key["hint"]?.string ?? "", key["status"]?.string ?? "",
                    scopes.joined(separator: " "), reach.isEmpty ? "everything" : reach.joined(separator: " "),
                    key["requests_per_minute"]?.integer.map { "\($0)" } ?? "-", Moments.text(key["expires_at"]), Moments.text(key["last_used_at"]),
                ])
            }
            print(keys.isEmpty ? "\(user) has no keys." : table.text)
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key that takes another's place; the old one is good for 24 hours more.")

        @Argument(help: "The number of the key to be replaced.") var id: Int64
        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            guard let key = try instance.request("POST", "/keys/\(id)/rotate" + tenant.query()) else { return }
            print(json ? key.text.description : Add.text(key) + " Key \(id) ends in 24 hours.")
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Refuse a key from now on, and end what it is doing.")

        @Argument(help: "The key's number.") var id: Int64
        @OptionGroup var tenant: TenantChoice
        @OptionGroup var instance: Instance

        func run() throws {
            _ = try instance.request("DELETE", "/keys/\(id)" + tenant.query())
            print("Key \(id) is revoked.")
        }
    }

    struct RotateSigning: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate-signing", abstract: "Sign access tokens with a new key from now on.",
            discussion: """
                It happens by itself every ninety days. Nobody is signed out: what the former key signed is good until it ends, and both are \
                published at /oauth/jwks.json until then. The instance's own key goes on signing the record.
                """)

        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            guard let turn = try instance.request("POST", "/signing-keys/rotate") else { return }
            if json { return print(turn.text) }
            print(
                """
                Tokens are signed with the key \(turn["kid"]?.string ?? "") now.
                What \(turn["former_kid"]?.string ?? "") signed is good until it ends, at the latest at \(Moments.text(turn["former_until"])).
                """)
        }
    }
}
