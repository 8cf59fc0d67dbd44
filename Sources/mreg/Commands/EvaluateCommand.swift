import ArgumentParser
import FoundationEssentials
import Gateway
import Glibc
import Logging

struct EvaluateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Try the gateway on this machine: no network, nothing to set up, two demo servers.",
        discussion: "Listens on loopback only, and lets anybody on this machine sign in as anybody.")

    @Option(help: "Where to keep what it learns; kept between starts.") var stateDir = "./evaluation"
    @Option(help: "The port to listen on; 0 takes any free one.") var port: UInt16 = 8001

    func validate() throws {
        if stateDir.isEmpty { throw ValidationError("--state-dir is empty.") }
    }

    func run() async throws {
        var environment = ProcessInfo.processInfo.environment
        environment["MREG_STATE_DIR"] = Self.absolute(stateDir)
        environment["MREG_HOST"] = "127.0.0.1"
        environment["MREG_PORT"] = String(port)
        environment["MREG_PUBLIC_URL"] = nil
        let settings: Settings
        do throws(SettingsError) { settings = Evaluation.raised(try Settings(environment: environment)) } catch { throw Failure(error.description) }
        let logger = Program.logger(settings)

        let mode = try Evaluation.mode(isWithStdioDemo: true)
        try await Program.run(settings, mode: mode, logger: logger) { running in
            do {
                let token = try await running.token("user", .user)
                print(Self.banner(running.origin, token, settings))
            } catch {
                logger.error("no token could be made", metadata: ["error": "\(error)"])
            }
            fflush(nil)
        }
    }

    private static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + (path.hasPrefix("./") ? String(path.dropFirst(2)) : path)
    }

    private static func banner(_ origin: Origin, _ token: Secret<String>, _ settings: Settings) -> String {
        let url = "\(origin)/mcp"
        let server = #"{"type": "http", "url": "\#(url)", "headers": {"Authorization": "Bearer \#(token.revealed)"}}"#
        let cursor = #"{"url": "\#(url)", "headers": {"Authorization": "Bearer \#(token.revealed)"}}"#
        return """
            listening on \(origin)

            MCP Registry Gateway \(Version.current), in evaluation: for this machine only, and anybody on it may sign in.
            State is kept in \(settings.stateDirectory). Each user may make \(settings.limits.user) calls a minute, \
            \(Int(Double(settings.limits.user) * settings.limits.burstFactor)) at once;
            raised for evaluation: \(settings.limits.anonymous) a minute from an address without a token, and \
            \(settings.limits.user * settings.limits.tenantMultiplier) for all users together. Ctrl-C stops it.

            Call a tool:

              curl -s \(url) -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\
                -H 'Authorization: Bearer \(token.revealed)' \\
                -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo__echo","arguments":{"text":"hello"}}}'

            VS Code, in .vscode/mcp.json:

              {"servers": {"mreg": \(server)}}

            Claude Code, in .mcp.json:

              {"mcpServers": {"mreg": \(server)}}

            Cursor, in .cursor/mcp.json:

              {"mcpServers": {"mreg": \(cursor)}}

            The token is of “user” and good for an hour. Others: POST \(origin)/oauth/login {"user_id": "admin"}
            (admin, server_owner, auditor and user have the roles of their names; any other name is a user).

            """
    }
}
