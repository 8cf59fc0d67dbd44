import Glibc
import Logging
import MCP
import NIOPosix
import Synchronization

extension DemoServer {
    /// Serves the client on standard input and output until it closes our input.
    static func runStdio(logger: Logger = Logger(label: "demo-server", factory: { StreamLogHandler.standardError(label: $0) })) async throws {
        // A client that stops reading is an error of a write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        logger.debug("serving standard input")
        try await StdioTransport().run()
    }
}

private final class StdioTransport: Sendable {
    private struct State {
        var conversation = DemoConversation()
        /// Finishing one stops the playing of that answer.
        var stops: [MessageID: AsyncStream<Never>.Continuation] = [:]
    }

    private let state = Mutex(State())
    private let pipes = Pipes()

    func run() async throws {
        // The threads are given back whichever way it ends; a pool dropped while running traps.
        do { try await serve() } catch {
            try await pipes.close()
            throw error
        }
        try await pipes.close()
    }

    private func serve() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var splitter = LineSplitter(longest: DemoServer.longestMessage)
            while true {
                let bytes = try await pipes.read()
                let lines = bytes.isEmpty ? splitter.finish().map { [$0] } ?? [] : splitter.feed(bytes)
                for line in lines {
                    switch state.withLock({ $0.conversation.receive(line) }) {
                    case .nothing: break
                    case .send(let message): try await pipes.write(message)
                    case .stop(let id): state.withLock { $0.stops[id] }?.finish()
                    case .play(let parts, let id):
                        let (stopped, stop) = AsyncStream<Never>.makeStream()
                        state.withLock { $0.stops[id] = stop }
                        group.addTask { try await self.play(parts, id: id, until: stopped) }
                    }
                }
                if bytes.isEmpty { break }
            }
            group.cancelAll()
        }
    }

    private func play(_ parts: [DemoAnswer.Part], id: MessageID, until stopped: AsyncStream<Never>) async throws {
        defer { state.withLock { $0.stops[id] = nil } }
        try await withThrowingTaskGroup { group in
            group.addTask {
                // Its place is free before the client can know of the answer, so 64 callers in turn never meet a full house.
                let finish = { self.state.withLock { $0.conversation.finished(id) } }
                do {
                    try await parts.play(sleep: { try await Task.sleep(for: $0) }, willRespond: finish, send: self.pipes.write)
                } catch is CancellationError {
                    finish()
                }
            }
            group.addTask { for await _ in stopped {} }
            try await group.next()
            group.cancelAll()
        }
    }
}

/// Standard input and output, one thread each: they may be pipes, files or terminals, and reading blocks.
private struct Pipes: Sendable {
    struct Failed: Error { let code: CInt }

    private let reader = NIOThreadPool(numberOfThreads: 1)
    private let writer = NIOThreadPool(numberOfThreads: 1)

    init() {
        reader.start()
        writer.start()
    }

    /// The next bytes of standard input; none at its end.
    func read() async throws -> [UInt8] {
        try await reader.runIfActive {
            try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
                var read: Int
                repeat { read = Glibc.read(STDIN_FILENO, buffer.baseAddress, buffer.count) } while read < 0 && errno == EINTR
                if read < 0 { throw Failed(code: errno) }
                count = read
            }
        }
    }

    /// Writes one line; lines of several tasks never mix, because one thread writes them.
    func write(_ message: JSONText) async throws {
        let line = message.bytes + [0x0A]
        try await writer.runIfActive {
            var rest = line[...]
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
                if written < 0 && errno != EINTR { throw Failed(code: errno) }
                rest = rest.dropFirst(max(0, written))
            }
        }
    }

    func close() async throws {
        try await reader.shutdownGracefully()
        try await writer.shutdownGracefully()
    }
}
