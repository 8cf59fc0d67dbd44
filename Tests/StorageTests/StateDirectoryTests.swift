import Foundation
import Synchronization
import Testing

@testable import Storage

struct StateDirectoryTests {
    @Test func `the folder and what is in it are for their owner only`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            let directory = try StateDirectory(path)
            let modes = try ["", "/keys", "/tokens", "/backups", "/lock"].map { name in
                try #require(FileManager.default.attributesOfItem(atPath: path + name)[.posixPermissions] as? Int)
            }
            #expect(modes == [0o700, 0o700, 0o700, 0o700, 0o600])
            #expect(directory.path == path)
        }
    }

    @Test(arguments: [0o755, 0o770, 0o777])
    func `a folder that others can look into is closed or refused`(mode: Int) async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            let directory = try? StateDirectory(path)
            let found = try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
            #expect(directory == nil || found == 0o700)
        }
    }

    @Test func `a second holder is refused, and told who has it`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            let first = try StateDirectory(path)
            let error = #expect(throws: StateDirectory.Held.self) { _ = try StateDirectory(path) }
            #expect(error?.holder == "process \(getpid())")
            #expect(error?.description.contains(path) == true)
            #expect(error?.description.contains("process \(getpid())") == true)
            // A refused attempt does not take the lock away.
            #expect(throws: StateDirectory.Held.self) { _ = try StateDirectory(path) }
            withExtendedLifetime(first) {}
        }
    }

    @Test func `the folder is free again when its holder is gone`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            do { _ = try StateDirectory(path) }
            #expect(throws: Never.self) { _ = try StateDirectory(path) }
        }
    }

    @Test func `the folder is free again when it was released, whoever refers to it`() async throws {
        try await withTemporaryFolder { folder in
            let first = try StateDirectory(folder + "/state")
            first.release()
            #expect(throws: Never.self) { _ = try StateDirectory(folder + "/state") }
            withExtendedLifetime(first) {}
        }
    }

    @Test func `another process that has the folder is named, and its death frees it`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            do { _ = try StateDirectory(path) }
            let holder = try Holder(of: path + "/lock")
            let error = #expect(throws: StateDirectory.Held.self) { _ = try StateDirectory(path) }
            #expect(error?.holder == "process \(holder.process.processIdentifier)")
            holder.kill()
            let directory = try StateDirectory(path)
            let name = try String(contentsOfFile: path + "/lock", encoding: .utf8)
            #expect(name == "process \(getpid())")
            withExtendedLifetime(directory) {}
        }
    }

    @Test func `a holder that has not written its name yet is still a holder`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            do { _ = try StateDirectory(path) }
            let holder = try Holder(of: path + "/lock", writesName: false)
            let error = #expect(throws: StateDirectory.Held.self) { _ = try StateDirectory(path) }
            #expect(error?.holder == "its name is not known yet")
            holder.kill()
        }
    }

    @Test func `a lock that is a link is not followed`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            try Data("precious".utf8).write(to: URL(filePath: folder + "/target"))
            try FileManager.default.createSymbolicLink(atPath: path + "/lock", withDestinationPath: folder + "/target")
            #expect(throws: StateDirectory.Unusable.self) { _ = try StateDirectory(path) }
            #expect(try String(contentsOfFile: folder + "/target", encoding: .utf8) == "precious")
        }
    }

    @Test func `a path without a parent, or where a file stands, is unusable`() async throws {
        try await withTemporaryFolder { folder in
            let error = #expect(throws: StateDirectory.Unusable.self) { _ = try StateDirectory(folder + "/none/state") }
            #expect(error?.description == "\(folder)/none/state cannot be made: No such file or directory.")
            try Data().write(to: URL(filePath: folder + "/file"))
            #expect(throws: StateDirectory.Unusable.self) { _ = try StateDirectory(folder + "/file") }
            try FileManager.default.createDirectory(atPath: folder + "/state", withIntermediateDirectories: false)
            try Data().write(to: URL(filePath: folder + "/state/tokens"))
            #expect(throws: StateDirectory.Unusable.self) { _ = try StateDirectory(folder + "/state") }
        }
    }

    /// A descriptor closed twice closes, the second time, whatever another thread opened in between.
    @Test func `a refused attempt closes no descriptor but its own`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/state"
            let first = try StateDirectory(path)
            let lost = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { thread in
                for _ in 0..<20_000 {
                    if thread < 2 {
                        _ = try? StateDirectory(path)
                    } else {
                        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
                        sched_yield()
                        if close(descriptor) != 0 { lost.add(1, ordering: .relaxed) }
                    }
                }
            }
            #expect(lost.load(ordering: .relaxed) == 0)
            withExtendedLifetime(first) {}
        }
    }
}

/// A process that holds the lock of a state directory, as another mreg would.
private struct Holder {
    let process = Process()

    init(of lock: String, writesName: Bool = true) throws {
        let program = """
            import fcntl, os, struct, sys
            lock = os.open(sys.argv[1], os.O_RDWR)
            fcntl.fcntl(lock, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            os.ftruncate(lock, 0)
            if sys.argv[2] == 'named': os.pwrite(lock, b'process %d' % os.getpid(), 0)
            print('held', flush=True)
            sys.stdin.read()
            """
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", program, lock, writesName ? "named" : "unnamed"]
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = Pipe()
        try process.run()
        let answer = output.fileHandleForReading.readData(ofLength: 5)
        try #require(String(decoding: answer, as: UTF8.self) == "held\n")
    }

    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
