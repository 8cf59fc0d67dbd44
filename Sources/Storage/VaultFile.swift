import Gateway
import Glibc
import LMDB
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The LMDB environment that tokens lie in: every commit synced, opened whole or not at all.
///
/// Beside the folder lies a file that says tokens were kept in it (`tokens.made`), so that a folder that was deleted or
/// exchanged is told from one of a first start.
///
/// The map grows twofold, up to a bound; a little more is kept for deletions, which need pages, too.
final class VaultFile: Sendable {
    static let firstBytes = 16 << 20
    static let mostBytes = 1 << 30
    private static let reserve = 4 << 20
    /// The first thing ever written.
    private static let nameKey = Array("vault".utf8)

    private let path: String
    private let environment: Environment
    private let mostBytes: Int
    private let gate = GrowthGate()
    private let mapSize: Mutex<Int>

    init(_ path: String, firstBytes: Int, mostBytes: Int) throws {
        self.path = path
        self.mostBytes = mostBytes
        try StateDirectory.prepare(path)
        let mark = VaultMark(path)
        let expected = try mark.read()
        if expected != nil, access(path + "/data.mdb", F_OK) != 0 { throw TokenVaultError.gone(path) }
        // One that had grown is not made smaller than what lies in it.
        let size = max(firstBytes, Self.fileSize(path))
        mapSize = Mutex(size)
        do {
            environment = try Environment(path: path, mapSize: size, readers: 126, durability: .synced)
            let name = try Self.name(of: environment, isExpected: expected != nil, path)
            if let expected {
                guard expected == name else { throw TokenVaultError.replaced(path) }
            } else {
                // The name before the mark: a mark without what it stands for would be a loss that never was.
                try Files.sync(path)
                try mark.write(name)
            }
        } catch let error as LMDBError {
            throw TokenVaultError(error, path)
        }
    }

    /// Of this environment and no other.
    private static func name(of environment: Environment, isExpected: Bool, _ path: String) throws -> String {
        if let found = try environment.read({ try $0.value(for: nameKey) { String(decoding: $0, as: UTF8.self) } }) { return found }
        guard !isExpected else { throw TokenVaultError.replaced(path) }
        return try environment.write { transaction in
            guard transaction.count == 0 else { throw TokenVaultError.replaced(path) }
            let name = RequestID.random().description + RequestID.random().description
            try Array(name.utf8).withUnsafeBytes { try transaction.put($0, for: nameKey) }
            return name
        }
    }

    private static func fileSize(_ path: String) -> Int {
        var status = stat()
        return stat(path + "/data.mdb", &status) == 0 ? Int(status.st_size) : 0
    }

    /// Lends a snapshot: a few microseconds, and never a wait for the disk that a writer waits for.
    func read<Value>(_ body: (borrowing Snapshot) throws -> Value) throws -> Value {
        do {
            return try gate.passing {
                try checkItIsThere()
                return try environment.read(body)
            }
        } catch let error as LMDBError {
            throw TokenVaultError(error, path)
        }
    }

    /// Lends the write transaction, and waits for the disk: not for an event loop. When the map is full it grows, and
    /// the closure runs again.
    ///
    /// - Parameter isDeletion: may use what is kept for deletions.
    func write<Value>(isDeletion: Bool = false, _ body: (borrowing WriteTransaction) throws -> Value) throws -> Value {
        do {
            while true {
                var size = 0
                do {
                    return try gate.passing {
                        size = mapSize.withLock { $0 }
                        try checkItIsThere()
                        return try environment.write(body)
                    }
                } catch let error as LMDBError where error == .mapFull {
                    try grow(from: size, to: isDeletion ? mostBytes + Self.reserve : mostBytes)
                }
            }
        } catch let error as LMDBError {
            throw TokenVaultError(error, path)
        }
    }

    /// Unless another has done so since the map had this size.
    private func grow(from size: Int, to most: Int) throws {
        try gate.alone {
            let next = min(size * 2, most)
            guard mapSize.withLock({ $0 == size }) else { return }
            guard next > size else { throw TokenVaultError.full(path, bytes: mostBytes) }
            try environment.grow(to: next)
            mapSize.withLock { $0 = next }
        }
    }

    /// What is written to a file that was deleted is gone at the next start.
    private func checkItIsThere() throws {
        guard case .whole = environment.fileState(mapSize: 0) else { throw TokenVaultError.gone(path) }
    }
}

/// Says, beside the folder, which environment it holds.
private struct VaultMark {
    private let path: String

    init(_ folder: String) { path = folder + ".made" }

    /// Nil if there is none.
    func read() throws -> String? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    func write(_ name: String) throws {
        let partial = path + ".partial"
        unlink(partial)
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw StateDirectory.Unusable(path, cannot: "written") }
        defer { close(descriptor) }
        let bytes = Array(name.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            throw StateDirectory.Unusable(path, cannot: "written")
        }
        try Files.rename(partial, path)
    }
}
