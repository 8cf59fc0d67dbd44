import Gateway
import Reports
import Storage

/// The daily and the weekly report, from the record.
struct RecordReports: Sendable {
    let database: Storage.Database
    let settings: Settings
    let now: @Sendable () -> Timestamp

    func daily() async throws -> DailyReport {
        let (hours, samples) = try await material(.seconds(86_400))
        return DailyReport(hours: hours, samples: samples, bounds: bounds, now: now())
    }

    func weekly() async throws -> WeeklyReport {
        let (hours, samples) = try await material(.seconds(WeeklyReport.days * 86_400))
        return WeeklyReport(hours: hours, samples: samples, bounds: bounds, now: now())
    }

    private func material(_ period: Duration) async throws -> ([HourTotals], [UsageSample]) {
        let since = now().advanced(by: .zero - period)
        return (try await database.hourTotals(since: since.seconds / 3600), try await database.usageSamples(since: since))
    }

    private var bounds: Bounds {
        Bounds(users: settings.sessions.maximumUsers, databaseBytes: settings.audit.maximumBytes, handles: settings.pools.handles.upperBound)
    }
}
