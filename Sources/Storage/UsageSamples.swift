import GRDB
package import Gateway
import Pacing
package import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension Database {
    /// Ends a minute: samples the pools and stores what the minute was like.
    package func sampleUsage(activeUsers: Int, cpuShare: Double, memoryBytes: Int) async throws {
        let pools = samplePools().map { metrics in
            UsageSample.Pool(
                name: metrics.name, size: metrics.size, ceiling: metrics.ceiling, inUsePeak: metrics.peakInUse,
                waitMilliseconds: Double(metrics.longestWait.microseconds) / 1000, timeouts: metrics.timeouts)
        }
        let text = String(decoding: try JSONEncoder().encode(pools), as: UTF8.self)
        let (at, disk, wal) = (now().microseconds, fileBytes, walBytes)
        try await write { db, _ in
            try db.execute(
                sql: """
                    INSERT OR REPLACE INTO usage_samples
                    (sampled_at, active_users, cpu_share, memory_bytes, disk_bytes, wal_bytes, pools) VALUES (?, ?, ?, ?, ?, ?, ?)
                    """, arguments: [at, activeUsers, cpuShare, memoryBytes, disk, wal, text])
        }
    }

    /// Samples since a moment, oldest first.
    package func usageSamples(since: Timestamp) async throws -> [UsageSample] {
        try await report { db in
            try Row.fetchAll(db, sql: "SELECT * FROM usage_samples WHERE sampled_at >= ? ORDER BY sampled_at", arguments: [since.microseconds])
                .map { row in
                    UsageSample(
                        at: Timestamp(microseconds: row["sampled_at"]), activeUsers: row["active_users"], cpuShare: row["cpu_share"],
                        memoryBytes: row["memory_bytes"], diskBytes: row["disk_bytes"], walBytes: row["wal_bytes"],
                        pools: (try? JSONDecoder().decode([UsageSample.Pool].self, from: Data((row["pools"] as String).utf8))) ?? [])
                }
        }
    }
}

extension Database {
    /// Bytes of each table and index, the largest first; empty where SQLite was built without `dbstat`.
    package func tableBytes() async throws -> [(name: String, bytes: Int)] {
        try await report { db in
            guard try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'dbstat')") ?? false else { return [] }
            return try Row.fetchAll(db, sql: "SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name ORDER BY bytes DESC")
                .map { ($0["name"], $0["bytes"]) }
        }
    }
}
