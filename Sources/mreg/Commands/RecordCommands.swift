import ArgumentParser
import Gateway
import MCP

extension ReportCommand {
    struct Daily: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The last 24 hours: response times, errors, users, load.")

        @OptionGroup var instance: Instance
        @Flag(help: "Print JSON, with the formula of each figure.") var json = false

        func run() throws {
            guard let report = try instance.request("GET", "/reports/daily") else { return }
            if json { return print(report.text.description) }
            let window = report["avg_response_time"]?["window"]?.string?.withoutControls ?? ""
            print("Requests: \(report["total_requests"]?.integer ?? 0), \(window)\n\n" + FigureTable.text(report))
        }
    }

    struct Weekly: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "This week against the last, growth, and what to change.")

        @OptionGroup var instance: Instance
        @Flag(help: "Print JSON, with the formula of each figure.") var json = false

        func run() throws {
            guard let report = try instance.request("GET", "/reports/weekly") else { return }
            print(json ? report.text.description : FigureTable.text(report))
            if json { return }
            let opportunities = report["optimization_opportunities"]?.elements ?? []
            var table = TextTable(["WHAT", "EVIDENCE", "CHANGE"])
            for found in opportunities { table.add(["rule", "evidence", "setting"].map { found[$0]?.string ?? "" }) }
            print(opportunities.isEmpty ? "\nNo rule found anything to change." : "\n" + table.text)
        }
    }

    struct Pools: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "How full the database's handle pools are.")

        @OptionGroup var instance: Instance
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            guard let report = try instance.request("GET", "/reports/pools") else { return }
            if json { return print(report.text.description) }
            let columns = [
                ("POOL", "name"), ("SIZE", "size"), ("MIN", "minimum"), ("MAX", "maximum"), ("IN USE", "in_use"), ("WAITING", "waiters"),
                ("TIMEOUTS", "timeouts"), ("WAIT MS", "connection_wait_time"), ("HELD MS", "avg_connection_latency"), ("REUSED", "pool_efficiency"),
                ("GROWN", "grown"), ("SHRUNK", "shrunk"),
            ]
            var table = TextTable(columns.map(\.0))
            for pool in report["pools"]?.elements ?? [] { table.add(columns.map { FigureTable.text(of: pool[$0.1]) }) }
            print(table.text)
        }
    }
}

/// Figures as lines; those of a group are named after it.
private enum FigureTable {
    static func text(_ report: JSON) -> String {
        var table = TextTable(["FIGURE", "VALUE", "UNIT", "TARGET", "MET", "NOTE"])
        add(report, "", &table)
        return table.text
    }

    private static func add(_ json: JSON, _ prefix: String, _ table: inout TextTable) {
        for member in json.members where member.value.isObject {
            let name = prefix + member.name
            guard member.value["formula"] != nil else {
                add(member.value, name + ".", &table)
                continue
            }
            let met = member.value["met"]?.bool.map { $0 ? "yes" : "NO" } ?? "-"
            table.add(
                [name, text(of: member.value["value"]), member.value["unit"]?.string ?? "", text(of: member.value["target"]), met]
                    + [member.value["note"]?.string ?? ""])
        }
    }

    static func text(of value: JSON?) -> String {
        guard let value, !value.isNull else { return "-" }
        return value.string ?? value.text.description
    }
}

struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Users: who they are, their roles and their sessions.",
        subcommands: [List.self, Show.self, Add.self, SetRole.self, Disable.self, Enable.self, Sessions.self, SignOut.self])

    struct Sessions: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the active sessions.")

        @OptionGroup var instance: Instance
        @Option(help: "The tenant they belong to.") var tenant: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            guard let answer = try instance.request("GET", "/sessions" + (tenant.map { "?tenant=" + QueryValue.encoded($0) } ?? "")) else { return }
            if json { return print(answer.text.description) }
            let sessions = answer["sessions"]?.elements ?? []
            let columns = [
                ("USER", "user_id"), ("CLIENT", "client"), ("ERA", "era"), ("REQUESTS", "requests"), ("ERRORS", "errors"), ("SINCE", "started_at"),
                ("LAST", "last_activity"), ("SESSION", "id"),
            ]
            var table = TextTable(columns.map(\.0))
            for session in sessions { table.add(columns.map { session[$0.1].map { $0.string ?? $0.text.description } ?? "-" }) }
            print(sessions.isEmpty ? "Nobody is active." : table.text)
        }
    }

    struct SignOut: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sign-out", abstract: "End all sessions of a user; tokens they hold are refused from now on.")

        @Argument(help: "The user's name.") var user: String
        @OptionGroup var instance: Instance
        @Option(help: "The tenant the user belongs to.") var tenant: String?

        func run() throws {
            let answer = try instance.request(
                "POST", "/sign-outs", body: ["user": .string(user), "tenant": tenant.map { .string($0) }])
            let count = answer?["sessions_ended"]?.integer ?? 0
            print("\(user) is signed out everywhere: \(count) \(count == 1 ? "session" : "sessions") ended.")
        }
    }
}

struct MaintainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "maintain", abstract: "Do the housekeeping now: retention, expiry, statistics, indexes, free pages.",
        discussion: "The gateway does this by itself once a day, and makes a backup then.")

    @OptionGroup var instance: Instance

    func run() throws {
        let done = try instance.request("POST", "/maintenance", patience: 3600)?["done"]?.elements.compactMap(\.string) ?? []
        print(done.map { "- \($0)" }.joined(separator: "\n"))
    }
}

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Copy the database of the running gateway, and check the copy.",
        discussion: "Copies are kept in the state directory under backups/: the latest of each of 7 days and 4 weeks. The keys are not in them.")

    @OptionGroup var instance: Instance

    func run() throws {
        let answer = try instance.request("POST", "/backups", patience: 3600)
        print(
            "\(answer?["path"]?.string ?? "") holds \(answer?["audit_rows"]?.integer ?? 0) audit rows in \(answer?["bytes"]?.integer ?? 0) bytes, and is whole."
        )
    }
}
