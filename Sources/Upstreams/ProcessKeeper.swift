import Logging
import ServiceLifecycle
import Synchronization

/// Owns the tasks in which child processes live, and ends them all when the gateway stops.
package final class ProcessKeeper: Service {
    package static let most = 128

    private let starting: AsyncStream<StdioProcess>
    private let start: AsyncStream<StdioProcess>.Continuation
    private let running = Mutex<[ObjectIdentifier: StdioProcess]>([:])

    package init() { (starting, start) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.most)) }

    /// Runs a process until it ends.
    ///
    /// - Throws: `UpstreamFailure.unreachable` when there are too many already, or the gateway is stopping.
    func keep(_ process: StdioProcess) throws(UpstreamFailure) {
        let isAdmitted = running.withLock { running -> Bool in
            guard running.count < Self.most else { return false }
            running[ObjectIdentifier(process)] = process
            return true
        }
        guard isAdmitted else { throw .unreachable("\(Self.most) server processes are running already") }
        guard case .enqueued = start.yield(process) else {
            _ = running.withLock { $0.removeValue(forKey: ObjectIdentifier(process)) }
            throw .unreachable("the gateway is stopping")
        }
    }

    package func run() async throws {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                for await process in starting {
                    group.addTask {
                        await process.run()
                        _ = self.running.withLock { $0.removeValue(forKey: ObjectIdentifier(process)) }
                    }
                }
            }
        } onGracefulShutdown: {
            self.start.finish()
            self.closeAll()
        }
    }

    /// Asks all processes to end: what is still under way fails as lost when they do.
    package func closeAll() {
        for process in running.withLock({ Array($0.values) }) { process.close() }
    }
}
