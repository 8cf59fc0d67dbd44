import Forwarding
import Hummingbird
import Reports

/// `/metrics`: Prometheus' text format, for whoever asks from this machine.
struct MetricsPage: Sendable {
    let metrics: CallMetrics
    let gauges: @Sendable () -> [Gauge]

    func addRoutes(to router: Router<GatewayContext>) {
        router.get("/metrics") { request, context -> Response in
            guard context.isLocal(request) else {
                return .problem(.forbidden, code: "forbidden", "Metrics are answered to this machine only.", requestID: context.requestID)
            }
            return Response.text(text(), type: "text/plain; version=0.0.4; charset=utf-8")
        }
    }

    func text() -> String {
        let calls = metrics.snapshot
        var lines = ["# HELP mreg_requests_total MCP requests by method and outcome.", "# TYPE mreg_requests_total counter"]
        lines += calls.map { "mreg_requests_total{\(labels($0.label))} \($0.latency.count)" }
        lines += [
            "# HELP mreg_request_duration_seconds Time from the first look at a request to its record.",
            "# TYPE mreg_request_duration_seconds histogram",
        ]
        for call in calls {
            var below = 0
            for (bound, count) in zip(LatencyHistogram.bounds, call.latency.counts) {
                below += count
                lines.append("mreg_request_duration_seconds_bucket{\(labels(call.label)),le=\"\(Double(bound) / 1_000_000)\"} \(below)")
            }
            let total = call.latency.total.components
            lines += [
                "mreg_request_duration_seconds_bucket{\(labels(call.label)),le=\"+Inf\"} \(call.latency.count)",
                "mreg_request_duration_seconds_sum{\(labels(call.label))} \(Double(total.seconds) + Double(total.attoseconds) / 1e18)",
                "mreg_request_duration_seconds_count{\(labels(call.label))} \(call.latency.count)",
            ]
        }
        for gauge in gauges() {
            lines += ["# HELP \(gauge.name) \(gauge.help)", "# TYPE \(gauge.name) gauge", "\(gauge.name) \(gauge.value)"]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func labels(_ label: CallMetrics.Label) -> String { "method=\"\(label.action)\",outcome=\"\(label.outcome)\"" }
}

/// A number as it stands now.
package struct Gauge: Sendable {
    package let name: String
    package let help: String
    package let value: Double

    package init(name: String, help: String, value: Double) {
        self.name = name
        self.help = help
        self.value = value
    }
}
