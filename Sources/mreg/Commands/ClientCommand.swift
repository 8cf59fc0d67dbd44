import ArgumentParser
import FoundationEssentials
import Gateway
import MCP

struct ClientCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client", abstract: "OAuth clients: make those that cannot register themselves, and revoke any.",
        subcommands: [Add.self, List.self, Rotate.self, Revoke.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a client, and print its secret this once.",
            discussion: """
                A program that acts by itself, as a user (client credentials):
                  mreg client add nightly-report --user reports --scope mcp:tools
                An application that asks its users, with a secret:
                  mreg client add portal --redirect-uri https://portal.example/callback
                With redirect URIs and --user it may do both. Only the secret's SHA-256 is kept.
                """)

        @Argument(help: "What people read when it asks them: 1 to 80 characters.") var name: String
        @Option(help: "As whom it acts by itself.") var user: String?
        @Option(help: "What it may ask for at most, such as mcp:tools; may be repeated. By itself mcp:tools if not given.") var scope: [String] = []
        @Option(help: "Where users are sent back to; may be repeated.") var redirectUri: [String] = []
        @Option(
            help: ArgumentHelp(
                "How it proves who it is: client_secret_basic, client_secret_post, private_key_jwt, or none for a public client.",
                discussion: "A secret is if nothing is said, and a key if its keys are named.", valueName: "method"))
        var auth: String?
        @Option(help: ArgumentHelp("Its public keys, a JSON Web Key Set.", valueName: "file")) var jwks: String?
        @Option(help: ArgumentHelp("Where it publishes them.", valueName: "url")) var jwksUri: String?
        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func validate() throws {
            guard user != nil || !redirectUri.isEmpty else {
                throw ValidationError("Name --user, as whom it acts by itself, or --redirect-uri, where users are sent back to, or both.")
            }
        }

        func run() throws {
            let keys = try jwks.map(Self.keySet)
            let members: [(String, JSONText?)] = [
                ("name", .string(name)), ("user", user.map { .string($0) }), ("scopes", .array(scope.map { .string($0) })),
                ("redirect_uris", .array(redirectUri.map { .string($0) })), ("auth", auth.map { .string($0) }),
                ("jwks", keys.map { .string($0) }), ("jwks_uri", jwksUri.map { .string($0) }), tenant.member,
            ]
            guard let client = try instance.request("POST", "/clients", body: .object(members)) else { return }
            if json { return print(client.text) }
            print("\(name.withoutControls) is a client of this gateway.\n\n" + Self.text(client))
        }

        /// In one line, as it is kept.
        private static func keySet(_ path: String) throws -> String {
            guard let data = FileManager.default.contents(atPath: path) else { throw OperatorError("\(path) cannot be read.") }
            guard let json = try? JSON(parsing: Array(data)), json["keys"] != nil else {
                throw OperatorError("\(path) holds no JSON Web Key Set, an object with “keys”.")
            }
            return json.text.description.split { $0.isNewline || $0 == "\t" }.joined(separator: " ")
        }

        static func text(_ client: JSON) -> String {
            var table = TextTable(["client_id", client["client_id"]?.string ?? ""])
            guard let secret = client["client_secret"]?.string else { return table.text }
            table.add(["client_secret", secret])
            return table.text + "\n\nThe secret is shown this once. Whoever has it is the client."
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the clients that were made or allowed something, latest used first.",
            discussion: """
                KIND says how it is known: operator, by you; registered, by itself; document, by what it publishes at the address \
                that is its id. What a client calls itself is its own word, unless it is yours.
                """)

        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            let clients = try instance.request("GET", "/clients")?["clients"]?.elements ?? []
            if json { return print(JSONText.array(clients.map(\.text))) }
            var table = TextTable(["NAME", "KIND", "ACTS AS", "MADE", "LAST USED", "ID"])
            for client in clients {
                table.add([
                    client["name"]?.string ?? "", client["kind"]?.string ?? "", client["acts_as"]?.string ?? "-",
                    Moments.text(client["created_at"]), Moments.text(client["last_used_at"]), client["client_id"]?.string ?? "",
                ])
            }
            print(clients.isEmpty ? "No client was made or allowed anything yet." : table.text)
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a client of yours a new secret; the old one is good for 24 hours more.",
            discussion: """
                Only the last secret before the new one is good besides it. Access tokens the client holds are good until they end, within \
                the hour, either way.
                """)

        @Argument(help: "The client's id.") var id: String
        @Flag(help: "Refuse the old secret from now on: somebody else may have it.") var atOnce = false
        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            let body: [(String, JSONText?)] = [("client_id", .string(id)), ("at_once", atOnce ? true : nil), tenant.member]
            guard let client = try instance.request("POST", "/clients/rotate", body: .object(body)) else { return }
            if json { return print(client.text) }
            let end = client["former_secret_until"]?.string == nil ? "is refused from now on" : "ends in 24 hours"
            print(Add.text(client) + " The old secret \(end).")
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Refuse a client from now on, with everything that was allowed it.",
            discussion: "Its tokens and running calls end at once, for all users. It cannot be taken back.")

        @Argument(help: "The client's id.") var id: String
        @OptionGroup var tenant: TenantChoice
        @OptionGroup var instance: Instance

        func run() throws {
            let body: [(String, JSONText?)] = [("client_id", .string(id)), tenant.member]
            _ = try instance.request("POST", "/clients/revoke", body: .object(body))
            print("The client is revoked.")
        }
    }
}
