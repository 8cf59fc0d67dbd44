import ArgumentParser
import FoundationEssentials

/// Where a command that does without a running gateway reads its settings: as `mreg serve` does.
struct SettingsSource: ParsableArguments {
    static let defaultFile = "/etc/mcp-registry-gateway/gateway.env"

    @Option(help: "The instance; overrides MREG_STATE_DIR.") var stateDir: String?
    @Option(help: "A file of KEY=value settings; the environment wins over it.") var settings = Self.defaultFile

    func validate() throws {
        if stateDir?.isEmpty ?? false { throw ValidationError("--state-dir is empty.") }
    }

    func read(environment: [String: String] = ProcessInfo.processInfo.environment) throws(SettingsError) -> Settings {
        var environment = environment
        if let stateDir { environment["MREG_STATE_DIR"] = stateDir }
        let isThere = settings != Self.defaultFile || FileManager.default.fileExists(atPath: settings)
        return try Settings(environment: environment, file: isThere ? try SettingsFile(reading: settings) : nil)
    }
}
