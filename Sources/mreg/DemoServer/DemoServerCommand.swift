import ArgumentParser
import Glibc
import Hummingbird
import Logging

struct DemoServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-server", abstract: "Run a small MCP server to try the gateway with.",
        discussion: "It speaks MCP 2024-11-05 to 2026-07-28, on standard input and output or on a port of 127.0.0.1.")

    enum Transport: String, EnumerableFlag {
        case stdio, http
    }

    @Flag(help: "Serve standard input and output, or HTTP.") var transport = Transport.stdio
    @Option(help: "With --http: the port, or 0 for any free one.") var port: UInt16?

    func validate() throws {
        if transport == .stdio && port != nil { throw ValidationError("--port goes with --http.") }
    }

    func run() async throws {
        switch transport {
        case .stdio: try await DemoServer.runStdio()
        case .http:
            var logger = Logger(label: "demo-server", factory: { StreamLogHandler.standardError(label: $0) })
            logger.logLevel = .notice
            let application = DemoServer.application(port: Int(port ?? 0), logger: logger) { port in
                print("listening on http://127.0.0.1:\(port)\(DemoServer.path)")
                // Whoever started us may wait for this line at the other end of a pipe.
                fflush(nil)
            }
            try await application.runService()
        }
    }
}
