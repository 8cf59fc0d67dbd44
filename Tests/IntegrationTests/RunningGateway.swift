import FoundationEssentials
import Gateway
import Glibc
import Identity
import Logging
import MCP
import ServiceLifecycle
import Serving

@testable import mreg

/// The program that production starts, on a free port, with a folder of its own that is removed afterwards.
struct RunningGateway: Sendable {
    let running: Assembly.Running
    let stateDirectory: String
    let port: Int
    private let group: ServiceGroup

    /// Boots it, runs the body, and stops it as SIGTERM would.
    ///
    /// - Parameters:
    ///   - mode: evaluation's, with the HTTP demo server beside it, unless said otherwise.
    ///   - mode: in place of either.
    ///   - folder: kept if given; else a temporary one.
    static func with<Value: Sendable>(
        _ settings: [String: String] = [:], isEvaluation: Bool = true, mode: Assembly.Mode? = nil, folder: String? = nil,
        _ body: @Sendable (RunningGateway) async throws -> Value
    ) async throws -> Value {
        let directory = try folder ?? temporaryFolder()
        defer { if folder == nil { try? FileManager.default.removeItem(atPath: directory) } }
        var environment = settings
        environment["MREG_STATE_DIR"] = directory + "/state"
        environment["MREG_PORT"] = settings["MREG_PORT"] ?? "0"
        var logger = Logger(label: "test") { LogLines(label: $0, format: .text, logLevel: .error) }
        logger.logLevel = .error
        let mode = try mode ?? (isEvaluation ? try Evaluation.mode(isWithStdioDemo: false) : Assembly.Mode())
        let (listening, announce) = AsyncStream.makeStream(of: Assembly.Running.self)
        let assembly = try await Assembly(try Settings(environment: environment), mode: mode, environment: [:], logger: logger) {
            announce.yield($0)
        }
        let group = assembly.group(stoppingAt: [])
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { announce.finish() }
                try await group.run()
            }
            var first: Assembly.Running?
            for await running in listening {
                first = running
                break
            }
            guard let running = first, let port = running.origin.port else { throw Failed("the gateway did not start") }
            let gateway = RunningGateway(running: running, stateDirectory: directory + "/state", port: port, group: group)
            do {
                let value = try await body(gateway)
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
                return value
            } catch {
                await group.triggerGracefulShutdown()
                try? await tasks.waitForAll()
                throw error
            }
        }
    }

    func stop() async { await group.triggerGracefulShutdown() }

    var origin: String { running.origin.description }

    func token(_ user: String = "user", _ role: Role = .user) async throws -> String { try await running.token(user, role).revealed }

    /// Asks the operator's socket, off the threads that tasks run on.
    func control(_ method: String, _ path: String, _ body: JSONText? = nil) async throws -> JSON? {
        let directory = stateDirectory
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detach { continuation.resume(with: Result { try ControlSocket.request(method, path, body: body, stateDirectory: directory) }) }
        }
    }

    /// A folder that goes when all tests are over, if not before.
    static func temporaryFolder() throws -> String {
        let path = all.path + "/\(RequestID.random())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    private static let all: URL = {
        atexit { try? FileManager.default.removeItem(at: RunningGateway.folder) }
        return folder
    }()
    private static let folder = FileManager.default.temporaryDirectory.appending(path: "mreg-test-\(RequestID.random())")
}

struct Failed: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A thread for a call that blocks.
enum Thread {
    static func detach(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(body))
        pthread_create(
            &thread, nil,
            {
                Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body(); return nil
            }, box.toOpaque())
        pthread_detach(thread)
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
