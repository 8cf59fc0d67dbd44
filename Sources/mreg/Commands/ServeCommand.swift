import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import NIOCore
import ServiceLifecycle

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Run the gateway.")

    @Option(help: "The instance to run; overrides MREG_STATE_DIR.") var stateDir: String?
    @Option(help: "A file of KEY=value settings; the environment wins over it.") var settings = "/etc/mcp-registry-gateway/gateway.env"
    @Flag(help: "Only check the settings, and say which have no effect yet.") var check = false

    func validate() throws {
        if stateDir?.isEmpty ?? false { throw ValidationError("--state-dir is empty.") }
    }

    func run() async throws {
        let settings: Settings
        do throws(SettingsError) { settings = try readSettings() } catch { throw Failure(error.description) }
        try settings.requireServable()
        if check {
            print(settings.report())
            return
        }
        let logger = Program.logger(settings)
        if !settings.setWithoutEffect.isEmpty {
            logger.warning("settings without effect in this version", metadata: ["names": "\(settings.setWithoutEffect.joined(separator: " "))"])
        }
        try await Program.run(settings, mode: Assembly.Mode(), logger: logger) { running in
            print("listening on \(running.origin)")
            fflush(nil)
        }
    }

    private func readSettings() throws(SettingsError) -> Settings {
        var environment = ProcessInfo.processInfo.environment
        if let stateDir { environment["MREG_STATE_DIR"] = stateDir }
        let isNamed = settings != ServeCommand.defaultFile
        let file = isNamed || FileManager.default.fileExists(atPath: settings) ? try SettingsFile(reading: settings) : nil
        return try Settings(environment: environment, file: file)
    }

    private static let defaultFile = "/etc/mcp-registry-gateway/gateway.env"
}

extension Settings {
    /// What each setting alone does not show, and start-up refuses all the same: said by `--check` too.
    func requireServable() throws {
        guard listener.isLoopback else {
            throw Failure("MREG_HOST=\(listener.host): this version has no TLS of its own yet and listens on loopback only.")
        }
        _ = try issuer(callback: oauth.callbackURL)
        _ = try roleMap
    }
}

/// What ends the program: its sentence on stderr, and the status that tells a service manager not to try again.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// How the two ways of running the gateway run it.
enum Program {
    static func logger(_ settings: Settings) -> Logger {
        Logger(label: "mreg") { LogLines(label: $0, format: settings.log.format, logLevel: settings.log.level) }
    }

    static func run(
        _ settings: Settings, mode: Assembly.Mode, logger: Logger, onListening: @escaping @Sendable (Assembly.Running) async -> Void
    ) async throws {
        // Nothing the gateway makes is for anybody else on the machine.
        umask(0o077)
        SelfRestart.arm()
        do {
            let assembly = try await Assembly(
                settings, mode: mode, environment: ProcessInfo.processInfo.environment, logger: logger, onListening: onListening)
            try await assembly.group().run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw Failure("Port \(settings.listener.port) of \(settings.listener.host) is in use; choose another (--port, or MREG_PORT).")
        } catch let error as IOError where error.errnoCode == EACCES {
            throw Failure("Port \(settings.listener.port) of \(settings.listener.host) may not be used by this user.")
        }
    }
}
