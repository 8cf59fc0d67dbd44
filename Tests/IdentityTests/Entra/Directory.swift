import Foundation
import Testing

/// A directory that `fake-az.py` keeps, with scripts run against it.
struct Directory {
    struct Run {
        let status: Int32
        let output: String
        let errors: String
        /// What az was asked in this run.
        let calls: [[String]]

        /// The calls that change something.
        var changes: [[String]] {
            calls.filter { call in
                call.starts(with: ["ad", "app", "delete"]) || call.contains("reset") || call.contains("create")
                    || call.contains("POST") || call.contains("PATCH") || call.contains("DELETE")
            }
        }
    }

    let folder: URL

    /// - Parameter applications: registrations that are there already, as JSON.
    init(
        tenant: String = "11111111-2222-4333-8444-555555555555", verified: [String] = ["gateway.example"], applications: String = "[]",
        login: String = "https://login.microsoftonline.com"
    ) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "entra-\(UUID().uuidString)")
        let programs = folder.appending(path: "bin")
        try FileManager.default.createDirectory(at: programs, withIntermediateDirectories: true)
        let state = """
            {"tenant": "\(tenant)", "login": "\(login)", "verified": \(verified), "applications": \(applications), "principals": [], "assignments": [],
             "users": {"ada@gateway.example": "aaaaaaaa-0000-4000-8000-000000000001"}}
            """
        try Data(state.utf8).write(to: folder.appending(path: "state.json"))
        let fake = #filePath.replacing("Directory.swift", with: "Fixtures/fake-az.py")
        let az = programs.appending(path: "az")
        try Data("#!/bin/sh\nexec '\(try Self.python.get())' -I -S '\(fake)' \"$@\"\n".utf8).write(to: az)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: az.path)
    }

    /// The interpreter itself, for what is called python3 may be a slow script that looks for it.
    private static let python = Result {
        let found = try run(["python3", "-c", "import sys; print(sys.executable)"], in: FileManager.default.temporaryDirectory)
        return String(found.1.split(separator: "\n").first ?? "python3")
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    /// Runs a script as an operator would, in the folder.
    func run(_ script: String, shell: String = "sh", environment: [String: String] = [:]) throws -> Run {
        try? FileManager.default.removeItem(at: folder.appending(path: "calls"))
        try Data(script.utf8).write(to: folder.appending(path: "entra.sh"))
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let own = ["PATH": "\(folder.path)/bin:\(path)", "FAKE_AZ": folder.path, "PAUSE": "0", "HOME": folder.path]
        let (status, output, errors) = try Self.run(
            [shell, "entra.sh"], in: folder, environment: own.merging(environment) { $1 })
        let calls = (try? String(contentsOf: folder.appending(path: "calls"), encoding: .utf8)) ?? ""
        return Run(
            status: status, output: output, errors: errors,
            calls: try calls.split(separator: "\n").map { try JSONDecoder().decode([String].self, from: Data($0.utf8)) })
    }

    static func run(_ command: [String], in folder: URL, environment: [String: String]? = nil) throws -> (Int32, String, String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = folder
        if let environment { process.environment = environment }
        // Into files: nobody has to read pipes at the same time.
        let outputs = ["output", "errors"].map { folder.appending(path: "\($0)-\(UUID().uuidString)") }
        defer { for output in outputs { try? FileManager.default.removeItem(at: output) } }
        for output in outputs { try Data().write(to: output) }
        process.standardOutput = try FileHandle(forWritingTo: outputs[0])
        process.standardError = try FileHandle(forWritingTo: outputs[1])
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let texts = try outputs.map { try String(contentsOf: $0, encoding: .utf8) }
        return (process.terminationStatus, texts[0], texts[1])
    }

    func text(of file: String) throws -> String { try String(contentsOf: folder.appending(path: file), encoding: .utf8) }

    func permissions(of file: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.appending(path: file).path)
        return try #require(attributes[.posixPermissions] as? NSNumber).intValue
    }

    /// The one registration there is, or a member of the state.
    func state() throws -> State { try JSONDecoder().decode(State.self, from: Data(contentsOf: folder.appending(path: "state.json"))) }

    struct State: Decodable {
        struct Application: Decodable {
            struct Named: Decodable {
                let name: String
            }

            struct Role: Decodable, Equatable {
                let id: String
                let value: String
            }

            struct Web: Decodable {
                let redirectUris: [String]
            }

            struct API: Decodable {
                let requestedAccessTokenVersion: Int?
                let oauth2PermissionScopes: [Role]
            }

            struct Claims: Decodable {
                let idToken: [Named]
                let accessToken: [Named]
            }

            struct Password: Decodable {
                let displayName: String
            }

            let appId: String
            let displayName: String
            let tags: [String]
            let identifierUris: [String]
            let groupMembershipClaims: String?
            let web: Web
            let api: API
            let appRoles: [Role]
            let optionalClaims: Claims
            let passwordCredentials: [Password]
        }

        struct Principal: Decodable {
            let appRoleAssignmentRequired: Bool
            let tags: [String]?
        }

        struct Assignment: Decodable, Equatable {
            let principalId: String
            let appRoleId: String
        }

        let applications: [Application]
        let principals: [Principal]
        let assignments: [Assignment]
    }
}
