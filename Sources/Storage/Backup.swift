import Dispatch
import GRDB
import GRDBSQLite
package import Gateway
import Glibc
package import Proof

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A copy of the database that was found to be whole.
package struct Backup: Sendable {
    package let path: String
    package let bytes: Int
    package let auditRows: Int
    package let lastRow: Int64
}

extension Database {
    /// Pages that are copied between two transactions: some two milliseconds.
    private static let pagesPerStep: Int32 = 512

    /// Copies the database while it is used, checks the copy, and gives it its name: a file under that name is whole.
    ///
    /// The copy is made by the connection that writes, a step between two transactions at a time, so that no reader holds
    /// the write-ahead log back and what is written meanwhile is in it.
    package func backUp(to path: String) async throws -> Backup {
        let partial = path + ".partial"
        try? FileManager.default.removeItem(atPath: partial)
        let copy = try BackupCopy(to: partial)
        do {
            while try await betweenTransactions({ db, _ in try copy.step(db, pages: Self.pagesPerStep) }) {}
        } catch {
            copy.finish()
            try? FileManager.default.removeItem(atPath: partial)
            throw error
        }
        // On the queue of the connection it was begun on.
        _ = try await betweenTransactions { _, _ in copy.finish() }
        let key = key
        // Reading every page takes long, and the threads that tasks run on are for those that do not block.
        let checked: Backup = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .utility).async { continuation.resume(with: Result { try Self.check(partial, key) }) }
        }
        try Files.sync(partial)
        try Files.rename(partial, path)
        return Backup(path: path, bytes: checked.bytes, auditRows: checked.auditRows, lastRow: checked.lastRow)
    }

    /// Whether a copy is whole: every page and index, and the chain of the audit log to its end.
    ///
    /// - Parameter key: nil checks the chain alone.
    /// - Throws: `Damaged` with what is wrong with it.
    package static func check(_ path: String, _ key: RecordKey?) throws -> Backup {
        do {
            // A copy is a file alone: without a write-ahead log beside it, it can be read as it is.
            let connection = try DatabaseQueue(path: path)
            defer { try? connection.close() }
            try connection.writeWithoutTransaction { db in
                let verdict = try String.fetchOne(db, sql: "PRAGMA integrity_check") ?? ""
                guard verdict == "ok" else { throw Damaged(description: "\(path) is damaged (\(verdict)).") }
                guard try Int64.fetchOne(db, sql: "PRAGMA application_id") == DatabaseChecks.mark else {
                    throw Damaged(description: "\(path) is not a gateway's database.")
                }
                try db.execute(sql: "PRAGMA journal_mode = DELETE")
            }
            let report = try AuditVerifier(path: path).verify(key: key)
            if let finding = report.finding { throw Damaged(description: "\(path): \(finding)") }
            let bytes = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
            return Backup(path: path, bytes: bytes ?? 0, auditRows: report.rows, lastRow: report.lastRow)
        } catch let error as DatabaseError {
            throw Damaged(description: "\(path) is not a usable database: \(error.message ?? "\(error.resultCode)").")
        }
    }
}

/// One `sqlite3_backup` under way. Used on the writer's queue alone.
private final class BackupCopy: @unchecked Sendable {
    private let destination: DatabaseQueue
    private var backup: OpaquePointer?

    init(to path: String) throws {
        destination = try DatabaseQueue(path: path)
        chmod(path, 0o600)
    }

    /// - Returns: whether there is more to copy.
    func step(_ db: GRDB.Database, pages: Int32) throws -> Bool {
        if backup == nil {
            backup = destination.inDatabase { sqlite3_backup_init($0.sqliteConnection, "main", db.sqliteConnection, "main") }
            guard backup != nil else { throw DatabaseError(resultCode: .SQLITE_ERROR, message: "the copy cannot be begun") }
        }
        let code = sqlite3_backup_step(backup, pages)
        switch code {
        case SQLITE_DONE: return false
        case SQLITE_OK, SQLITE_BUSY, SQLITE_LOCKED: return true
        default: throw DatabaseError(resultCode: ResultCode(rawValue: code), message: "the copy cannot be written")
        }
    }

    func finish() {
        if backup != nil { sqlite3_backup_finish(backup) }
        backup = nil
        try? destination.close()
    }
}

/// Which copies are kept: the latest of each of the last seven days that have one, and of each of the last four weeks.
package enum BackupRotation {
    package static let days = 7
    package static let weeks = 4

    /// - Parameter names: of files as `name(at:)` makes them; others are left alone.
    /// - Returns: those to delete.
    package static func surplus(_ names: [String]) -> [String] {
        let dated = names.compactMap { name in day(of: name).map { (name: name, day: $0) } }.sorted { $0.name > $1.name }
        var keptDays: Set<Int> = []
        var keptWeeks: Set<Int> = []
        var surplus: [String] = []
        for (name, day) in dated {
            let week = (day + 3) / 7
            let isDaily = keptDays.count < days && keptDays.insert(day).inserted
            let isWeekly = keptWeeks.count < weeks && keptWeeks.insert(week).inserted
            if !isDaily && !isWeekly { surplus.append(name) }
        }
        return surplus
    }

    /// `gateway-20261127T184500Z.sqlite`, which sorts as time does.
    package static func name(at moment: Timestamp) -> String {
        let text = moment.rfc3339.prefix(19).replacing("-", with: "").replacing(":", with: "")
        return "gateway-\(text)Z.sqlite"
    }

    /// Days since 1970; nil for another name.
    private static func day(of name: String) -> Int? {
        guard name.hasPrefix("gateway-"), name.hasSuffix("Z.sqlite"), name.utf8.count == "gateway-20261127T184500Z.sqlite".utf8.count else {
            return nil
        }
        let digits = name.dropFirst("gateway-".count).prefix(8)
        guard let date = Int(digits) else { return nil }
        // Days from civil (Hinnant), with March as the first month.
        let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100)
        let shifted = month <= 2 ? year - 1 : year
        let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let era = shifted / 400
        let ofEra = shifted - era * 400
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }
}

/// What has to be on disk before it is relied on.
package enum Files {
    package static func sync(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StateDirectory.Unusable(path, cannot: "opened") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw StateDirectory.Unusable(path, cannot: "flushed") }
    }

    /// Renames, and makes the new name last.
    package static func rename(_ old: String, _ new: String) throws {
        guard Glibc.rename(old, new) == 0 else { throw StateDirectory.Unusable(new, cannot: "named") }
        try sync(new.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/"))
    }
}
