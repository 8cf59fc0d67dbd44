import ArgumentParser
import FoundationEssentials
import Gateway
import MCP

/// Which tenant a command means.
struct TenantChoice: ParsableArguments {
    @Option(help: "The tenant, if it is not the default one.") var tenant: String?

    /// As a query, with others.
    func query(_ others: [(String, String)] = []) -> String {
        let pairs = others + (tenant.map { [("tenant", $0)] } ?? [])
        return pairs.isEmpty ? "" : "?" + pairs.map { "\($0)=\(QueryValue.encoded($1))" }.joined(separator: "&")
    }

    var member: (String, JSONText?) { ("tenant", tenant.map { .string($0) }) }
}

extension UserCommand {
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the users of a tenant.")

        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            var users: [JSON] = []
            var after: String? = ""
            while let last = after {
                let page = try instance.request("GET", "/users" + tenant.query([("after", last)]))
                users += page?["users"]?.elements ?? []
                after = page?["next"]?.string
            }
            if json { return print(JSONText.array(users.map(\.text))) }
            var table = TextTable(["USER", "ROLE", "GIVEN BY", "STATUS", "LAST SIGN-IN", "NAME"])
            for user in users {
                table.add([
                    user["user"]?.string ?? "", user["role"]?.string ?? "", user["role_from"]?.string ?? "",
                    user["disabled_at"]?.string == nil ? "active" : "disabled", Moments.text(user["signed_in_at"]),
                    user["identity"]?["display_name"]?.string ?? "",
                ])
            }
            print(users.isEmpty ? "The tenant has no users." : table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a user: role, identity, and the clients that may act for them.")

        @Argument(help: "The user's name or number.") var user: String
        @OptionGroup var tenant: TenantChoice
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var instance: Instance

        func run() throws {
            guard let found = try instance.request("GET", "/users/\(QueryValue.encoded(user))" + tenant.query()) else { return }
            if json { return print(found.text) }
            var table = TextTable([found["user"]?.string ?? "", "user \(found["id"]?.integer ?? 0)"])
            let source = found["role_from"]?.string == "issuer" ? "as the issuer says" : "given by the operator"
            table.add(["role", "\(found["role"]?.string ?? ""), \(source)"])
            table.add(["status", found["disabled_at"]?.string.map { "disabled since \(Moments.text($0))" } ?? "active"])
            if let identity = found["identity"], identity.isObject {
                table.add(["called", identity["display_name"]?.string ?? ""])
                table.add(["issuer", identity["issuer"]?.string ?? ""])
                table.add(["subject", identity["subject"]?.string ?? ""])
            } else {
                table.add(["identity", "none at an issuer"])
            }
            table.add(["made", Moments.text(found["created_at"])])
            table.add(["last sign-in", Moments.text(found["signed_in_at"])])
            table.add(["API keys", "\(found["keys"]?.integer ?? 0) good"])
            let clients = found["clients"]?.elements ?? []
            var allowed = TextTable(["CLIENT", "ALLOWED SINCE", "LAST TOKENS", "SIGN-INS", "ID"])
            for client in clients {
                allowed.add([
                    client["name"]?.string ?? "", Moments.text(client["since"]), Moments.text(client["last_at"]),
                    "\(client["sign_ins"]?.integer ?? 0)", client["client_id"]?.string ?? "",
                ])
            }
            print(table.text + (clients.isEmpty ? "\n\nNo client may act for them." : "\n\n" + allowed.text))
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a user, for a program to act as.",
            discussion: "People need not be made: they are users from their first sign-in at the issuer.")

        @Argument(help: "A name that the tenant has not.") var name: String
        @Option(help: "user, server_owner, admin or auditor.") var role = "user"
        @OptionGroup var tenant: TenantChoice
        @OptionGroup var instance: Instance

        func run() throws {
            let body: [(String, JSONText?)] = [("name", .string(name)), ("role", .string(role)), tenant.member]
            _ = try instance.request("POST", "/users", body: .object(body))
            print("The user \(name) exists, with the role \(role). Give it a key: mreg key add NAME --user \(name)")
        }
    }

    struct SetRole: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "role", abstract: "Give a user a role; it stays, whatever the issuer says from now on.",
            discussion: "user calls tools, server_owner registers servers too, admin may do everything, auditor reads and calls nothing.")

        @Argument(help: "The user's name.") var user: String
        @Argument(help: "user, server_owner, admin or auditor.") var role: String
        @OptionGroup var tenant: TenantChoice
        @OptionGroup var instance: Instance

        func run() throws {
            let path = "/users/\(QueryValue.encoded(user))/role" + tenant.query()
            let changed = try instance.request("POST", path, body: ["role": .string(role)])
            print("\(changed?["user"]?.string ?? user) has the role \(role) from now on.")
        }
    }

    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let nobody in as a user: ends sessions, running calls, tokens and keys at once.")

        @Argument(help: "The user's name.") var user: String
        @OptionGroup var tenant: TenantChoice
        @OptionGroup var instance: Instance

        func run() throws {
            _ = try instance.request("POST", "/users/\(QueryValue.encoded(user))/disable" + tenant.query())
            print("\(user) is disabled, and signed out everywhere.")
        }
    }

    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a disabled user in again.", discussion: "They sign in anew; keys from before stay refused.")

        @Argument(help: "The user's name.") var user: String
        @OptionGroup var tenant: TenantChoice
        @OptionGroup var instance: Instance

        func run() throws {
            _ = try instance.request("POST", "/users/\(QueryValue.encoded(user))/enable" + tenant.query())
            print("\(user) may sign in again.")
        }
    }
}

/// Moments as tables show them: to the second, in UTC.
enum Moments {
    static func text(_ json: JSON?) -> String { json?.string.map { text($0) } ?? "-" }

    /// - Parameter text: as RFC 3339 writes it, with a fraction.
    static func text(_ text: String) -> String { text.prefix { $0 != "." }.replacing("T", with: " ") + "Z" }
}
