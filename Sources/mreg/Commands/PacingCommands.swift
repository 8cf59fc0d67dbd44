import ArgumentParser
import MCP

struct BlockCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block", abstract: "Addresses that nobody may ask from without a valid token.", subcommands: [List.self, Add.self, Lift.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What is blocked, why, and for how long.")

        @OptionGroup var instance: Instance

        func run() throws {
            let answer = try instance.request("GET", "/blocked-addresses")
            let blocked = answer?["blocked"]?.elements ?? []
            guard !blocked.isEmpty else {
                return print("Nothing is blocked. \(answer?["threshold"]?.integer ?? 0) violations within an hour would block an address.")
            }
            var table = TextTable(["ADDRESS", "WHY", "SECONDS LEFT", "REFUSED"])
            for block in blocked {
                let numbers = ["seconds_left", "refused_requests"].map { block[$0]?.text.description ?? "" }
                table.add([block["address"]?.string ?? "", block["reason"]?.string ?? ""] + numbers)
            }
            print(table.text)
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Block an address; an IPv6 address stands for its /64.")

        @Argument(help: "An IPv4 or IPv6 address.") var address: String
        @Option(help: "For how long; as the settings say if not given.") var seconds: Int?
        @OptionGroup var instance: Instance

        func run() throws {
            let body: JSONText = ["address": .string(address), "seconds": seconds.map { .number($0) }]
            let block = try instance.request("POST", "/blocked-addresses", body: body)
            print("\(block?["address"]?.string ?? address) is blocked until \(block?["until"]?.string ?? "").")
        }
    }

    struct Lift: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lift a block, and forget what was counted.")

        @Argument(help: "The address.") var address: String
        @OptionGroup var instance: Instance

        func run() throws {
            _ = try instance.request("DELETE", "/blocked-addresses/\(QueryValue.encoded(address))")
            print("\(address) is no longer blocked.")
        }
    }
}

extension TenantCommand {
    struct Limits: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show or set what a tenant may ask.",
            discussion: """
                Rates are requests a minute; 0 stands for no limit, and “none” takes back what was set, so that the setting holds again. \
                What is set holds with the next request.
                """)

        @Argument(help: "The tenant's name.") var name: String
        @Option(help: "Its part of the gateway's capacity, in comparison with others: 1 to 1000.") var weight: String?
        @Option(help: "For all its users together.") var perMinute: String?
        @Option(help: "For each of its users.") var userPerMinute: String?
        @Option(help: "Requests a day.") var daily: String?
        @Option(help: "Requests a month.") var monthly: String?
        @Option(help: "For one user: NAME=RATE. May be repeated.") var user: [String] = []
        @Option(help: "For one server: ALIAS=RATE. May be repeated.") var server: [String] = []
        @Option(help: "For one tool: NAME=RATE. May be repeated.") var tool: [String] = []
        @OptionGroup var instance: Instance

        func run() throws {
            let changes: [(String, JSONText?)] = [
                ("weight", try Self.number(weight)), ("requests_per_minute", try Self.number(perMinute)),
                ("user_requests_per_minute", try Self.number(userPerMinute)), ("daily", try Self.number(daily)),
                ("monthly", try Self.number(monthly)), ("users", try Self.rates(user)), ("servers", try Self.rates(server)),
                ("tools", try Self.rates(tool)),
            ]
            let answer =
                changes.contains { $0.1 != nil }
                ? try instance.request("POST", "/limits", body: .object([("tenant", .string(name))] + changes))
                : try instance.request("GET", "/limits?tenant=\(QueryValue.encoded(name))")
            print(Self.text(answer))
        }

        private static func number(_ text: String?) throws -> JSONText? {
            guard let text else { return nil }
            if text == "none" { return .null }
            guard let number = Int64(text) else { throw ValidationError("“\(text)” is neither a whole number nor “none”.") }
            return .number(number)
        }

        private static func rates(_ pairs: [String]) throws -> JSONText? {
            guard !pairs.isEmpty else { return nil }
            return .object(
                try pairs.map { pair in
                    guard let end = pair.lastIndex(of: "="), end > pair.startIndex else { throw ValidationError("“\(pair)” is not NAME=RATE.") }
                    return (String(pair[..<end]), try number(String(pair[pair.index(after: end)...])))
                })
        }

        private static func text(_ answer: JSON?) -> String {
            let (limits, quotas) = (answer?["limits"], answer?["quotas"])
            func rate(_ name: String) -> String {
                let inForce = limits?["in_force"]?[name]?.integer.map { "\($0) a minute" } ?? "no limit"
                return limits?[name]?.isNull ?? true ? "\(inForce), as the settings say" : inForce
            }
            var table = TextTable(["LIMIT", "IN FORCE"])
            table.add(["weight", limits?["weight"]?.text.description ?? ""])
            table.add(["all users together", rate("requests_per_minute")])
            table.add(["each user", rate("user_requests_per_minute")])
            for (kind, name) in [("user", "users"), ("server", "servers"), ("tool", "tools")] {
                for member in limits?[name]?.members ?? [] {
                    table.add(["\(kind) \(member.name)", member.value.integer == 0 ? "no limit" : "\(member.value.text) a minute"])
                }
            }
            for (kind, name) in [("a day", "daily"), ("a month", "monthly")] {
                guard let quota = quotas?[name], let most = quota["limit"]?.integer else { continue }
                table.add([kind, "\(quota["used"]?.text.description ?? "0") of \(most) used, anew \(quota["begins_anew"]?.string ?? "")"])
            }
            return table.text
        }
    }
}

extension ReportCommand {
    struct Pacing: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "How fairly the gateway's capacity is divided, and what the limits cost.")

        @OptionGroup var instance: Instance
        @Flag(help: "Print JSON, with the definition of each figure.") var json = false

        func run() throws {
            guard let report = try instance.request("GET", "/reports/pacing") else { return }
            if json { return print(report.text.description) }
            func figure(_ name: String) -> String { report[name].map { $0.isNull ? "-" : $0.text.description } ?? "-" }
            let overhead = report["algorithm_overhead"]
            var figures = TextTable(["FIGURE", "LAST \(figure("window_seconds")) S"])
            for name in ["requests", "fairness_efficiency", "tenant_satisfaction", "false_positive_rate"] { figures.add([name, figure(name)]) }
            for share in ["p50", "p99"] { figures.add(["algorithm_overhead \(share), µs", overhead?[share]?.text.description ?? "-"]) }
            var tenants = TextTable(["TENANT", "WEIGHT", "GRANTED", "IDEAL", "TURNED AWAY", "OVER OWN LIMITS"])
            for line in report["tenants"]?.elements ?? [] {
                let numbers = ["weight", "granted", "ideal_share", "turned_away", "over_own_limits"].map { line[$0]?.text.description ?? "-" }
                tenants.add([line["tenant"]?.string ?? ""] + numbers)
            }
            print(figures.text + "\n\n" + tenants.text)
        }
    }
}
