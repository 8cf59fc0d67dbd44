import FoundationEssentials
import Gateway
import Testing

@testable import Access

/// Every role against everything that can be asked, beside a table written by hand: `Golden/roles.txt`.
///
/// `yes` is allowed, `-` is forbidden, and `unseen` is told that there is no such thing.
struct RoleMatrixTests {
    @Test func `what each role may do is what the table says`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/roles.txt")
        let expected = Self.cells(in: try String(contentsOf: file, encoding: .utf8))
        let found = Self.rows()
        #expect(expected == found, "\(Comment(rawValue: Self.difference(from: expected, to: found)))")
    }

    @Test(arguments: Permission.allCases)
    func `a refusal names every role that would do, and no other`(permission: Permission) {
        let words = Set(permission.holders.split { !($0.isLetter || $0 == "_") }.map(String.init))
        let named = Role.allCases.filter { words.contains($0.rawValue) }
        #expect(named == Role.allCases.filter { $0.permissions.contains(permission) })
    }

    private static let policy = Policy()
    private static let me = UserID(1)
    private static let home = TenantID(1)

    /// One line for each question: the question, then the answer for each role.
    private static func rows() -> [[String]] {
        var rows = [Role.allCases.map(\.rawValue)]
        rows += Permission.allCases.map { permission in
            row("permission \(permission.rawValue)") { (principal) throws(Refusal) in try policy.require(permission, of: principal) }
        }
        let operations: [Operation] = [.initialize, .ping, .discover, .list(.tools), .callTool("demo__add")]
        rows += operations.map { operation in
            row("operation \(operation.method)") { (principal) throws(Refusal) in try policy.require(operation, of: principal) }
        }
        let servers: [(String, ServerRecord?)] = [
            ("own server", server(of: me, in: home)), ("a colleague's server", server(of: UserID(2), in: home)),
            ("another tenant's server", server(of: UserID(2), in: TenantID(2))), ("own server in another tenant", server(of: me, in: TenantID(2))),
        ]
        rows += servers.map { name, server in
            row("read \(name)") { (principal) throws(Refusal) in if let server { try policy.requireRead(server, by: principal) } }
        }
        rows += servers.map { name, server in
            row("write \(name)") { (principal) throws(Refusal) in if let server { try policy.requireWrite(server, by: principal) } }
        }
        rows += (servers + [("every server", nil)]).map { name, server in
            row("rule about \(name)") { (principal) throws(Refusal) in
                try policy.requireRuleChange(about: server, called: server?.alias, by: principal)
            }
        }
        return rows
    }

    private static func row(_ question: String, _ ask: (Principal) throws(Refusal) -> Void) -> [String] {
        [question]
            + Role.allCases.map { role in
                do throws(Refusal) {
                    try ask(Principal(user: me, name: "me", tenant: home, role: role))
                    return "yes"
                } catch {
                    switch error {
                    case .forbidden: return "-"
                    case .notFound: return "unseen"
                    default: return error.code
                    }
                }
            }
    }

    /// The table as rows of cells: the last words of a line are the answers, the words before them the question.
    private static func cells(in text: String) -> [[String]] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard words.count > Role.allCases.count else { return words.isEmpty ? nil : words }
            return [words.dropLast(Role.allCases.count).joined(separator: " ")] + words.suffix(Role.allCases.count)
        }
    }

    private static func difference(from expected: [[String]], to found: [[String]]) -> String {
        let changes = found.map { $0.joined(separator: "  ") }.difference(from: expected.map { $0.joined(separator: "  ") })
        let lines = changes.map { change in
            switch change {
            case .remove(_, let line, _): "- \(line)"
            case .insert(_, let line, _): "+ \(line)"
            }
        }
        return "roles.txt (-) and the program (+) differ:\n" + lines.joined(separator: "\n")
    }
}

func server(of owner: UserID, in tenant: TenantID, id: Int64 = 7) -> ServerRecord {
    let moment = Timestamp(microseconds: 0)
    return ServerRecord(
        id: ServerID(id), tenant: tenant, owner: owner, alias: ServerAlias("demo")!, title: "Demo",
        transport: .http(endpoint: "https://example.com/"),
        status: .active, era: .auto, tags: [], createdAt: moment, updatedAt: moment)
}
