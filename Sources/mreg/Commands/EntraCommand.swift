import ArgumentParser
import Gateway
import Identity

struct EntraCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "entra", abstract: "Set up the sign-in through Entra ID.", subcommands: [Plan.self])

    struct Plan: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a shell script that registers the gateway in Entra ID.",
            discussion: """
                The script needs az and nothing else. Read it, then run it; a second run changes nothing:
                  mreg entra plan --public-url https://gateway.example --admin ada@example.com > entra.sh
                  sh entra.sh
                docs/entra.md goes through it.
                """)

        @Option(help: "The origin clients see, as in MREG_PUBLIC_URL.") var publicUrl: String
        @Option(help: "What the registration is called (default: MCP Registry Gateway and the host).") var name: String?
        @Option(help: "A user who becomes administrator of the gateway: their name such as ada@example.com, or object id.") var admin: String?
        @Option(help: "A further redirect URI; may be repeated.") var redirectUri: [String] = []
        @Option(help: "Where the script writes the client secret.") var secretFile = "azure-client-secret"
        @Flag(help: "Print the script that takes it all away again.") var remove = false

        func run() throws { print(try script(), terminator: "") }

        func script() throws -> String {
            guard let origin = Origin(publicUrl) else {
                throw ValidationError("--public-url takes an http or https origin without path and slash, such as https://gateway.example.")
            }
            let plan: EntraPlan
            do throws(EntraPlan.Mistake) {
                plan = try EntraPlan(publicURL: origin, name: name, otherRedirectURIs: redirectUri, admin: admin, secretFile: secretFile)
            } catch { throw ValidationError(error.description) }
            return remove ? plan.removal() : plan.script()
        }
    }
}
