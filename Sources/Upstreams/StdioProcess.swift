import Gateway
import Logging
import MCP
import NIOCore
import Pacing
import Subprocess
import Synchronization

#if canImport(System)
    import System
#else
    import SystemPackage
#endif

/// A server that runs as a child process and speaks one JSON message per line.
///
/// Its own process group, no shell, a small environment. It ends when its stdin closes, else by SIGTERM, else by
/// SIGKILL, and its own children with it. What it writes to stderr is kept for who debugs.
final class StdioProcess: MessageTransport {
    /// How it ended.
    struct End: Sendable {
        let reason: String
        /// Whether it did so by itself before any caller asked it something.
        let isCrash: Bool
        /// Whether it was ended because it talked without end.
        let isFlood: Bool
    }

    private struct State {
        var isClosed = false
        var hasStarted = false
        /// Whether the gateway wanted it to end.
        var isDismissed = false
        /// Whether a caller asked it anything.
        var wasCalled = false
        /// Bytes that wait for the child to read them.
        var queuedBytes = 0
        /// Lines of noise since the last message.
        var garbage = 0
        var isFlood = false
        var complaint = ""
    }

    /// The environment of the gateway that a child may see, by name; everything else is the operator's to add.
    package static let inherited = ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG"]
    private static let largestLine = 16 << 20
    private static let mostPending = 256
    private static let mostQueuedBytes = 32 << 20
    private static let mostGarbage = 100
    private static let grace = Duration.seconds(2)

    private let command: StdioCommand
    private let environment: [String: String]
    private let diary: Diary
    private let loop: any EventLoop
    private let logger: Logger
    private let board: Switchboard
    private let bound: Chatter.Bound
    private let onEnd: @Sendable (End) -> Void
    private let gone = Question()
    private let state = Mutex(State())
    private let lastID = Atomic<Int64>(0)
    private let lines: AsyncStream<[UInt8]>
    private let line: AsyncStream<[UInt8]>.Continuation
    /// That the conversation is over, whoever ended it. A child that does not read holds up the writer, so closing the
    /// lines alone does not tell.
    private let over: AsyncStream<Void>
    private let end: AsyncStream<Void>.Continuation

    /// - Parameters:
    ///   - bound: of what it says and nobody waits for.
    ///   - onEnd: called once.
    init(
        _ command: StdioCommand, environment: [String: String], sealed: [String: Secret<String>], diary: Diary, loop: any EventLoop, logger: Logger,
        board: Switchboard, bound: Chatter.Bound = .standard, onEnd: @escaping @Sendable (End) -> Void
    ) {
        self.command = command
        self.environment = environment.filter { Self.inherited.contains($0.key) }.merging(command.environment) { $1 }
            .merging(sealed.mapValues(\.revealed)) { $1 }
        self.diary = diary
        self.loop = loop
        self.logger = logger
        self.board = board
        self.bound = bound
        self.onEnd = onEnd
        (lines, line) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1024))
        (over, end) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
    }

    // MARK: MessageTransport

    func exchange(patience: Exchange.Patience, for purpose: Exchange.Purpose) -> Exchange {
        Exchange(id: lastID.add(1, ordering: .relaxed).newValue, loop: loop, patience: patience, purpose: purpose)
    }

    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure) {
        do throws(UpstreamFailure) {
            guard board.add(exchange, most: Self.mostPending) else { throw .unreachable("\(Self.mostPending) calls to it are under way already") }
            // Asked when it was added: whoever closes fails all that were.
            if let complaint = state.withLock({ $0.isClosed ? $0.complaint : nil }) { throw .unreachable("its process has ended" + complaint) }
            exchange.onAbandon { self.cancel(exchange.id) }
            if exchange.audience != nil { state.withLock { $0.wasCalled = true } }
            try write(request.body)
        } catch {
            exchange.fail(error)
            throw error
        }
    }

    func notify(_ message: Outbound) async throws(UpstreamFailure) { try write(message.body) }

    /// Said already, when the exchange was abandoned.
    func tellCancelled(_ exchange: Exchange, headers: [(String, String)]) {}

    /// All it says comes the same way, for as long as it runs.
    func hear(headers: [(String, String)], onOpen: @escaping @Sendable () -> Void) async throws(UpstreamFailure) {
        onOpen()
        await gone.wait()
        throw .lost("its process ended")
    }

    func endSession(headers: [(String, String)]) async {}

    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Ends the conversation; `run` sees the child off.
    func close() {
        state.withLock { $0.isDismissed = $0.isDismissed || !$0.isClosed }
        shut()
    }

    private func shut() {
        state.withLock { $0.isClosed = true }
        line.finish()
        end.yield()
        gone.answered()
    }

    private func write(_ message: JSONText) throws(UpstreamFailure) {
        // A line break between tokens is legal JSON and would end the message early.
        let text = message.bytes.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 } + [0x0A]
        let isAdmitted = state.withLock { state -> Bool in
            guard state.queuedBytes + text.count <= Self.mostQueuedBytes else { return false }
            state.queuedBytes += text.count
            return true
        }
        guard isAdmitted else { throw .unreachable("it does not read what it is sent") }
        guard case .enqueued = line.yield(text) else {
            state.withLock { $0.queuedBytes -= text.count }
            throw .unreachable("it does not read what it is sent")
        }
    }

    private func cancel(_ id: Int64) {
        try? write(LegacyRequest.cancelled(MessageID(id), reason: "the caller went away or time ran out"))
    }

    // MARK: The life of the process

    /// Runs the child until it ends or the task is cancelled. Called once.
    func run() async {
        var options = PlatformOptions()
        options.processGroupID = 0
        var ending = "its process ended"
        do {
            let variables = environment.map { (Subprocess.Environment.Key(rawValue: $0.key), $0.value) }
            let result = try await Subprocess.run(
                .path(FilePath(command.path)), arguments: Arguments(command.arguments),
                environment: .custom(Dictionary(variables.compactMap { key, value in key.map { ($0, value) } }) { $1 }),
                platformOptions: options, input: .inputWriter, output: .sequence, error: .sequence
            ) { execution in
                self.state.withLock { $0.hasStarted = true }
                await self.converse(with: execution)
            }
            ending = "its process ended (\(result.terminationStatus))"
        } catch is CancellationError {
            ending = "the gateway is stopping"
        } catch {
            ending = "its process could not be run (\(error))"
        }
        finish(ending)
    }

    private typealias Child = Execution<CustomWriteInput, SequenceOutput, SequenceOutput>

    /// Carries lines both ways until the child has nothing more to say, or was asked to go; then sees it off.
    private func converse(with child: Child) async {
        let group = ProcessGroup(leader: child.processIdentifier.value)
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                for await text in self.lines {
                    do { _ = try await child.standardInputWriter.write(text) } catch { break }
                    self.state.withLock { $0.queuedBytes -= text.count }
                }
                try? await child.standardInputWriter.finish()
                self.end.yield()
            }
            tasks.addTask { await self.readErrors(child.standardError) }
            tasks.addTask {
                await self.readMessages(child.standardOutput)
                self.end.yield()
            }
            tasks.addTask {
                await group.leaderEnds()
                self.end.yield()
            }
            for await _ in self.over { break }
            // Out of words is out of service, whether or not the process lingers. Closing stdin asks it to leave.
            self.shut()
            await group.seeOff(grace: Self.grace)
            tasks.cancelAll()
        }
    }

    private func finish(_ ending: String) {
        // First, so that nobody who is told of the end starts it again before its pause.
        let (complaint, hasStarted, isCrash, isFlood) = state.withLock { state in
            (state.complaint, state.hasStarted, state.hasStarted && !state.isDismissed && !state.wasCalled, state.isFlood)
        }
        onEnd(End(reason: ending + complaint, isCrash: isCrash, isFlood: isFlood))
        line.finish()
        state.withLock { $0.isClosed = true }
        gone.answered()
        board.failAll(hasStarted ? .lost(ending + complaint) : .unreachable(ending))
        logger.log(level: isFlood ? .warning : .info, "a stdio server ended", metadata: ["server.command": "\(command.path)", "ending": "\(ending)"])
    }

    /// What it says and nobody waits for is read at a pace, so that it has to wait: on a full pipe it writes nothing.
    private func readMessages(_ output: SubprocessOutputSequence) async {
        var buffer: [UInt8] = []
        var chatter = Chatter(bound, at: NIODeadline.now().instant)
        do {
            for try await chunk in output {
                let bytes = chunk.withUnsafeBytes { Array($0) }
                var rest = bytes[...]
                while let end = rest.firstIndex(of: 0x0A) {
                    buffer.append(contentsOf: rest[..<end])
                    if !read(buffer) {
                        switch chatter.heard(buffer.count + 1, at: NIODeadline.now().instant) {
                        case .readOn: break
                        case .pause(let wait): try await Task.sleep(for: wait)
                        case .enough:
                            state.withLock { $0.isFlood = true }
                            return note("it talks without end, and nobody asked it to")
                        }
                    }
                    buffer.removeAll(keepingCapacity: true)
                    rest = rest[(end + 1)...]
                }
                buffer.append(contentsOf: rest)
                if buffer.count > Self.largestLine {
                    note("it wrote a line of more than \(Self.largestLine >> 20) MiB")
                    return
                }
                if state.withLock({ $0.garbage > Self.mostGarbage }) {
                    note("it writes things to stdout that are not MCP")
                    return
                }
            }
        } catch is CancellationError {
            // It was seen off meanwhile.
        } catch {
            note("its output could not be read")
        }
    }

    /// Banners and other noise on stdout are counted and passed over; many servers print some.
    ///
    /// - Returns: whether somebody waited for it.
    private func read(_ text: [UInt8]) -> Bool {
        if text.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { return false }
        guard let message = try? Message(parsing: text, limits: JSON.Limits(depth: 64, nodes: 2_000_000)) else {
            state.withLock { $0.garbage += 1 }
            return false
        }
        state.withLock { $0.garbage = 0 }
        return board.receive(message, .only)
    }

    private func readErrors(_ output: SubprocessOutputSequence) async {
        do {
            for try await chunk in output {
                for line in diary.append(chunk.withUnsafeBytes { Array($0) }) {
                    logger.debug("a stdio server wrote to stderr", metadata: ["server.command": "\(command.path)", "stderr": "\(line)"])
                }
            }
        } catch {
            // Stderr is for people; its end says nothing about the server.
        }
    }

    private func note(_ complaint: String) { state.withLock { $0.complaint = ": " + complaint } }
}
