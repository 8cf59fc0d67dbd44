import Gateway
package import Reports
import Synchronization

/// How many requests ended how, and how long they took, since the start.
///
/// Bounded by the methods there are: no user, tenant or tool is a label.
package final class CallMetrics: Sendable {
    package struct Label: Hashable, Sendable, Comparable {
        package let action: String
        package let outcome: String

        package static func < (left: Self, right: Self) -> Bool { (left.action, left.outcome) < (right.action, right.outcome) }
    }

    private let histograms = Mutex<[Label: LatencyHistogram]>([:])
    private static let mostLabels = 200

    package init() {}

    func count(_ record: AuditRecord) {
        let label = Label(action: record.action, outcome: record.outcome.rawValue)
        histograms.withLock { histograms in
            guard histograms[label] != nil || histograms.count < Self.mostLabels else { return }
            histograms[label, default: LatencyHistogram()].record(record.duration)
        }
    }

    package var snapshot: [(label: Label, latency: LatencyHistogram)] {
        histograms.withLock { $0 }.sorted { $0.key < $1.key }.map { (label: $0.key, latency: $0.value) }
    }
}
