import Gateway
import Reports
import Storage
struct RecordReports {
    let database: Storage.Database
    let settings: Settings
    let now: @Sendable () -> Timestamp
    func daily() async throws -> DailyReport { DailyReport() }
    func weekly() async throws -> WeeklyReport { WeeklyReport() }
}
