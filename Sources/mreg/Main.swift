import ArgumentParser

@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mreg",
        abstract: "The front door of a team's MCP servers.",
        discussion: "To try it without setting anything up: mreg evaluate",
        version: Version.current,
        subcommands: [
            ServeCommand.self, EvaluateCommand.self, ServerCommand.self, TenantCommand.self, UserCommand.self, ClientCommand.self,
            KeyCommand.self, TokenCommand.self, RuleCommand.self, ExplainCommand.self, BlockCommand.self, ReportCommand.self, AuditCommand.self,
            MaintainCommand.self,
            BackupCommand.self, RestoreCommand.self, DoctorCommand.self, EntraCommand.self, ClientConfigCommand.self, DemoServerCommand.self,
            VersionCommand.self,
        ])
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")
    func run() { print("mreg \(Version.current)") }
}

enum Version {
    static let current = "0.1.0"
}

/// What the operator did wrong, as it is printed: sentences, without a stack of types around them.
struct OperatorError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
