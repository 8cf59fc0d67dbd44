package import Gateway

/// What became of the calls of a period, by server, action and target: what `mreg report calls` prints.
package struct CallReport: Sendable {
    package struct Line: Sendable {
        /// Whose it was; nil of what no server was asked for.
        package let server: ServerID?
        package let action: String
        package let target: String
        package var count = 0
        package var outcomes: [AuditRecord.Outcome: Int] = [:]
        package var latency = LatencyHistogram()
    }

    /// The busiest first; equals by name.
    package let lines: [Line]

    package init(_ records: some Sequence<AuditRecord>) {
        var lines: [Key: Line] = [:]
        // A row that announces a call is followed by the one that counts.
        for record in records where record.outcome != .intended {
            let key = Key(server: record.server, action: record.action, target: record.target)
            var line = lines[key] ?? Line(server: record.server, action: record.action, target: record.target)
            line.count += record.weight
            line.outcomes[record.outcome, default: 0] += record.weight
            if let time = record.responseTime { line.latency.record(time) }
            lines[key] = line
        }
        self.lines = lines.values.sorted {
            ($1.count, $0.action, $0.target, $0.server?.rawValue ?? 0) < ($0.count, $1.action, $1.target, $1.server?.rawValue ?? 0)
        }
    }

    /// The endpoints of two servers may have tools of one name.
    private struct Key: Hashable {
        let server: ServerID?
        let action: String
        let target: String
    }
}
