import Gateway
import MCP
import Synchronization

/// Requests that wait at a server with a handshake while a stateless client is asked something.
///
/// Each belongs to the user who made it, and to that request alone: what opens the seal of its state is what it was made with.
/// Nobody need ever come back, so a parked request ends by itself, at the latest when its time at the server is over.
final class Parking: Sendable {
    static let most = 1024
    static let mostPerUser = 32
    /// How long a client may take to come back.
    static let longestStay = Duration.seconds(300)

    struct Parked: Sendable {
        let run: CallRun
        let pass: CallGate.Pass
        let ticket: Int
        let user: UserID
    }

    private struct State {
        var parked: [String: Parked] = [:]
        var timers: [String: Task<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// - Parameters:
    ///   - name: the name to come back with, used once.
    ///   - onExpiry: called if nobody came back in time; the request is still parked then.
    /// - Returns: false if there are too many already.
    func park(_ parked: Parked, as name: String, onExpiry: @escaping @Sendable () -> Void) -> Bool {
        // Owned by the table, which cancels it when the client is back.
        let timer = Task {
            do { try await Task.sleep(for: Self.longestStay) } catch { return }
            onExpiry()
        }
        let isAdmitted = state.withLock { state in
            guard state.parked.count < Self.most, state.parked.values.count(where: { $0.user == parked.user }) < Self.mostPerUser else {
                return false
            }
            state.parked[name] = parked
            state.timers[name] = timer
            return true
        }
        if !isAdmitted { timer.cancel() }
        return isAdmitted
    }

    /// The request of that name, which is parked no longer; nil if it is gone, or somebody else came for it first.
    func leave(_ name: String) -> Parked? {
        state.withLock { state in
            state.timers.removeValue(forKey: name)?.cancel()
            return state.parked.removeValue(forKey: name)
        }
    }

    var count: Int { state.withLock { $0.parked.count } }
}

/// What a client carries between being asked and coming back, under a seal.
enum CarriedState {
    /// The request waits under that name.
    case parked(String)
    /// The server remembers by this; whose it is must not have changed.
    ///
    /// - Parameter replica: which of its places asked, by number.
    case passed(server: ServerID, replica: Int?, state: String?)

    /// - Parameter end: from when on it is good no longer.
    func bytes(until end: Timestamp) -> [UInt8] {
        let text: JSONText =
            switch self {
            case .parked(let name): ["until": .number(end.seconds), "parked": .string(name)]
            case .passed(let server, let replica, let state):
                [
                    "until": .number(end.seconds), "server": .number(server.rawValue), "replica": replica.map { .number(Int64($0)) },
                    "state": state.map { .string($0) },
                ]
            }
        return text.bytes
    }

    init?(_ bytes: [UInt8], at now: Timestamp) {
        guard let json = try? JSON(parsing: bytes), let end = json["until"]?.integer, now.seconds < end else { return nil }
        if let name = json["parked"]?.string {
            self = .parked(name)
        } else if let server = json["server"]?.integer {
            self = .passed(server: ServerID(server), replica: json["replica"]?.integer.flatMap { Int(exactly: $0) }, state: json["state"]?.string)
        } else {
            return nil
        }
    }

    /// How long a client may take to come back to a stateless server.
    static let lifetime = Duration.seconds(3600)
}
