import Gateway
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// Turns the names of hosts into addresses, on threads of its own: a name that nobody answers for holds up nothing but
/// other names. Live, the system's resolver; in a test, a literal.
struct NameLookup: Sendable {
    let threads: NIOThreadPool
    /// Blocks, with the system's resolver for up to half a minute. Throws an `UpstreamFailure` that says why.
    var lookUp: @Sendable (_ host: String, _ port: Int) throws -> [SocketAddress]

    /// For names in the registry and in the settings.
    static let operators = NameLookup(threads: threads()) { try system($0, $1) }
    /// For names that anybody may send, so that theirs cannot hold up the operator's.
    static let strangers = NameLookup(threads: threads()) { try system($0, $1) }

    /// A look-up that has begun is waited for; one that has not ends with the task that waits for it.
    func addresses(of endpoint: Endpoint) async throws(UpstreamFailure) -> [SocketAddress] {
        do {
            return try await threads.runIfActive { [lookUp] in try lookUp(endpoint.host, endpoint.port) }
        } catch let failure as UpstreamFailure {
            throw failure
        } catch {
            throw .unreachable("its name could not be resolved")
        }
    }

    /// The same, waited for no longer than that. What has begun then goes on for nobody; what has not is not begun any more.
    func addresses(of endpoint: Endpoint, within patience: TimeAmount, on loop: any EventLoop) async throws(UpstreamFailure) -> [SocketAddress] {
        // Nobody has to be asked for an address.
        if let literal = try? SocketAddress(ipAddress: endpoint.host, port: endpoint.port) { return [literal] }
        let end = NIODeadline.now() + patience
        let found = loop.makePromise(of: [SocketAddress].self)
        let late = UpstreamFailure.unreachable("its name was not resolved in time")
        let timer = loop.scheduleTask(deadline: end) { found.fail(late) }
        threads.runIfActive(eventLoop: loop) { [lookUp] in
            guard NIODeadline.now() < end else { throw late }
            return try lookUp(endpoint.host, endpoint.port)
        }.whenComplete { outcome in
            timer.cancel()
            found.completeWith(outcome)
        }
        do { return try await found.futureResult.get() } catch {
            throw error as? UpstreamFailure ?? .unreachable("its name could not be resolved")
        }
    }

    private static func threads() -> NIOThreadPool {
        let pool = NIOThreadPool(numberOfThreads: 4)
        pool.start()
        return pool
    }

    /// Numbers in every spelling C allows (`0x7f.1`) are addresses to it too.
    static func system(_ host: String, _ port: Int) throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0 else { throw UpstreamFailure.unreachable("its name could not be resolved (\(String(cString: gai_strerror(code))))") }
        var found: [SocketAddress] = []
        var next = list
        while let entry = next {
            switch entry.pointee.ai_family {
            case AF_INET: entry.pointee.ai_addr.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { found.append(SocketAddress($0.pointee)) }
            case AF_INET6: entry.pointee.ai_addr.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { found.append(SocketAddress($0.pointee)) }
            default: break
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}
