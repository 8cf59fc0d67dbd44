package import Gateway

/// What became of the calls of a period, by action and target: what `mreg report calls` prints.
package struct CallReport: Sendable {
    package struct Line: Sendable {
        package let action: String
        package let target: String
        package var count = 0
        package var outcomes: [AuditRecord.Outcome: Int] = [:]
        package var latency = LatencyHistogram()
    }

    /// The busiest first; equals by name.
    package let lines: [Line]

    package init(_ records: some Sequence<AuditRecord>) {
        var lines: [[String]: Line] = [:]
        // A row that announces a call is followed by the one that counts.
        for record in records where record.outcome != .intended {
            let key = [record.action, record.target]
            var line = lines[key] ?? Line(action: record.action, target: record.target)
            line.count += record.weight
            line.outcomes[record.outcome, default: 0] += record.weight
            if let time = record.responseTime { line.latency.record(time) }
            lines[key] = line
        }
        self.lines = lines.values.sorted { ($1.count, $0.action, $0.target) < ($0.count, $1.action, $1.target) }
    }
}
