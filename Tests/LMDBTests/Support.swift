import Foundation

@testable import LMDB

/// Lends a new folder and removes it again.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "mreg-lmdb-\(UUID().uuidString)").path()
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
}

extension Environment {
    func set(_ text: String, for key: String) throws {
        try write { try $0.set(text, for: key) }
    }

    func text(for key: String) throws -> String? {
        try read { try $0.text(for: key) }
    }

    func increment(_ key: String) throws {
        try write { transaction in
            let number = try transaction.text(for: key).flatMap { Int($0) } ?? 0
            try transaction.set(String(number + 1), for: key)
        }
    }
}

extension WriteTransaction {
    func set(_ text: String, for key: String) throws {
        try Array(text.utf8).withUnsafeBytes { try put($0, for: Array(key.utf8)) }
    }

    func text(for key: String) throws -> String? {
        try value(for: Array(key.utf8)) { String(decoding: $0, as: UTF8.self) }
    }
}

extension Snapshot {
    func text(for key: String) throws -> String? {
        try value(for: Array(key.utf8)) { String(decoding: $0, as: UTF8.self) }
    }
}
