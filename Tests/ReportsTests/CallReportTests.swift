import Gateway
import Testing

@testable import Reports

struct CallReportTests {
    static func records(_ action: String, _ target: String, _ outcomes: [AuditRecord.Outcome], took: Duration = .milliseconds(1)) -> [AuditRecord] {
        outcomes.map {
            AuditRecord(
                requestID: RequestID(1), at: Timestamp(microseconds: 0), action: action, target: target, outcome: $0, duration: took)
        }
    }

    static func text(_ report: CallReport) -> [String] { report.lines.map { "\($0.action) \($0.target) \($0.count)" } }

    @Test func `the busiest come first, equals by action and then by target`() {
        let calls = [
            ("tools/call", "b", 2), ("tools/call", "a", 2), ("ping", "", 2), ("tools/list", "", 3), ("tools/call", "c", 1), ("tools/call", "B", 2),
        ]
        let records = calls.flatMap { Self.records($0.0, $0.1, Array(repeating: .ok, count: $0.2)) }
        let expected = ["tools/list  3", "ping  2", "tools/call B 2", "tools/call a 2", "tools/call b 2", "tools/call c 1"]
        #expect(Self.text(CallReport(records)) == expected)
        #expect(Self.text(CallReport(records.reversed())) == expected)
    }

    @Test func `what is not timed is counted, and has no latency`() throws {
        let lines = CallReport(Self.records("server.change", "a", [.ok, .ok], took: .zero) + Self.records("ping", "", [.ok])).lines
        #expect(lines.map(\.count) == [2, 1])
        #expect(lines.first?.latency.percentile(0.5) == nil)
        #expect(lines.last?.latency.percentile(0.5) != nil)
    }

    @Test func `a line counts each outcome and its latencies`() throws {
        let records =
            Self.records("tools/call", "a", [.ok, .ok, .failed, .refused, .unknown, .cancelled])
            + Self.records("tools/call", "a", [.ok], took: .seconds(1))
        let line = try #require(CallReport(records).lines.first)
        #expect(line.outcomes == [.ok: 3, .failed: 1, .refused: 1, .unknown: 1, .cancelled: 1])
        #expect(line.latency.count == 7)
        #expect(line.latency.total == .milliseconds(1006))
    }

    @Test func `a row that stands for many counts as many, and one that announces a call not at all`() throws {
        var sum = Self.records("tools/call", "a", [.refused])[0]
        sum.weight = 290
        let line = try #require(CallReport([sum] + Self.records("tools/call", "a", [.intended, .ok])).lines.first)
        #expect(line.count == 291)
        #expect(line.outcomes == [.refused: 290, .ok: 1])
    }

    @Test func `action and target are not confused by what they contain`() {
        let records =
            Self.records("a b", "c", [.ok]) + Self.records("a", "b c", [.ok]) + Self.records("a\0", "b", [.ok]) + Self.records("a", "\0b", [.ok])
        #expect(CallReport(records).lines.count == 4)
    }

    @Test func `tools of one name at the endpoints of two servers are two`() {
        let records = [nil, 1, 2, 2].map { (id: Int64?) in
            var record = Self.records("tools/call", "echo", [.ok])[0]
            record.server = id.map { ServerID($0) }
            return record
        }
        let lines = CallReport(records).lines
        #expect(lines.map { $0.server?.rawValue } == [2, nil, 1])
        #expect(lines.map(\.count) == [2, 1, 1])
    }

    @Test func `no calls make no lines`() {
        #expect(CallReport([]).lines.isEmpty)
    }
}
