import Gateway
import MCP
import Pacing
import ServiceLifecycle
import Synchronization

/// Looks at replicas of which nothing was heard for a while, or that failed, so that no caller has to find out.
///
/// A look opens no session: a stateless server is asked what it is, without anybody's credential; of all others it is seen whether
/// they take a connection.
package struct HealthProber: Service {
    /// Looks at a time; what is due beyond that waits for the next second.
    private static let most = 16
    private static let pace = Duration.seconds(1)

    private let upstreams: @Sendable () -> [Upstream]

    package init(upstreams: @escaping @Sendable () -> [Upstream]) { self.upstreams = upstreams }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                let place = UnderWay()
                while true {
                    do { try await Task.sleep(for: Self.pace) } catch { break }
                    for (upstream, replica) in upstreams().flatMap({ upstream in upstream.dueReplicas.map { (upstream, $0) } })
                    where place.take(replica, most: Self.most) {
                        group.addTask {
                            await upstream.look(at: replica)
                            place.leave(replica)
                        }
                    }
                }
            }
        }
    }

    private final class UnderWay: Sendable {
        private let replicas = Mutex<Set<ObjectIdentifier>>([])

        func take(_ replica: Replica, most: Int) -> Bool {
            replicas.withLock { $0.count < most && $0.insert(ObjectIdentifier(replica)).inserted }
        }

        func leave(_ replica: Replica) { _ = replicas.withLock { $0.remove(ObjectIdentifier(replica)) } }
    }
}

extension Upstream {
    /// How each endpoint is doing; none for a program.
    package var replicaConditions: [ReplicaCondition] { replicas.all.map(\.condition) }

    var dueReplicas: [Replica] { replicas.all.filter(\.isProbeDue) }

    /// Finds out whether a replica is there, and lets its breaker know.
    func look(at replica: Replica) async {
        if revision?.era == .modern { await discover(at: replica) } else { await touch(replica) }
    }

    private func discover(at replica: Replica) async {
        let exchange = Exchange(id: connections.nextID(), loop: connections.loop, patience: .probe)
        let question = ModernRequest.discover(id: MessageID(exchange.id), client: client)
        let headers = ModernRequest.headers(method: "server/discover", name: nil)
        // What comes of it is the breaker's to hear; that nobody is let in without a credential is an answer.
        do {
            let post = HTTPConnection.Request.post(Outbound(body: question, headers: headers), to: replica.endpoint, nil)
            try await connections.send(exchange, post, at: replica)
            _ = try await exchange.response()
        } catch {}
    }

    private func touch(_ replica: Replica) async {
        guard let pass = try? replica.enter() else { return }
        do throws(UpstreamFailure) {
            try await connections.touch(replica.endpoint)
            replica.leave(pass, .reached)
        } catch {
            replica.leave(pass, .init(error))
        }
    }
}
