import ArgumentParser
import Discovery
import Gateway
import MCP

struct ClientConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client-config", abstract: "Say what to write into a client so that it finds this gateway.",
        discussion: """
            For the endpoint that shows every server, or with --server for that of one, where tools have the server's own names. What is printed \
            holds no secret: clients sign in by themselves, or take an API key from where they keep it.
            """)

    @Argument(help: "vscode, claude, cursor or copilot.") var client: ClientConfiguration.Client
    @Option(help: "A server's alias.") var server: String?
    @Option(help: "The gateway's public URL, without asking the one that runs here.") var url: String?
    @Option(help: "The tenant the server belongs to.") var tenant: String?
    @OptionGroup var instance: Instance

    func validate() throws {
        if let server, ServerAlias(server) == nil {
            throw ValidationError("“\(server.withoutControls)” is no alias: 1 to 12 of a-z, 0-9 and hyphens.")
        }
        if let url, Origin(url) == nil { throw ValidationError("--url is scheme and host, such as https://mcp.example.com, and nothing behind it.") }
    }

    func run() throws {
        let alias = server.flatMap { ServerAlias($0) }
        guard let origin = try url.flatMap({ Origin($0) }) ?? asked(alias) else { throw OperatorError("The gateway does not say where it is.") }
        print(ClientConfiguration(at: origin, server: alias).text(for: client))
    }

    /// Where the running gateway says it is.
    ///
    /// - Throws: `OperatorError` also if it has no server of that alias.
    private func asked(_ alias: ServerAlias?) throws -> Origin? {
        let origin = try instance.request("GET", "/origin")?["origin"]?.string.flatMap { Origin($0) }
        guard let alias else { return origin }
        let servers = try instance.request("GET", "/servers" + (tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? ""))?["servers"]?.elements ?? []
        guard servers.contains(where: { $0["alias"]?.string == alias.description }) else {
            throw OperatorError("There is no server “\(alias)”; mreg server list shows which there are.")
        }
        return origin
    }
}

extension ClientConfiguration.Client: ExpressibleByArgument {}
