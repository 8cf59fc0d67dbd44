import FoundationEssentials
import Gateway
import Glibc
import MCP

/// The way of the command line to a running gateway: HTTP over a socket in the state directory.
enum ControlSocket {
    private static let name = "control.sock"

    /// A path to bind the socket at; clears away the one of a former process.
    ///
    /// Socket paths end at 107 bytes and state directories need not, so the socket is reached through an open
    /// descriptor of its folder, which stays open as long as the process.
    static func bindable(_ stateDirectory: String) throws -> String {
        unlink("\(stateDirectory)/\(name)")
        return try short(stateDirectory)
    }

    private static func short(_ stateDirectory: String) throws -> String {
        let folder = open(stateDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw OperatorError("There is no state directory \(stateDirectory).") }
        return "/proc/self/fd/\(folder)/\(name)"
    }

    /// Sends one request to the gateway that holds the state directory.
    ///
    /// - Parameter patience: seconds to wait for the answer.
    /// - Returns: the answer's JSON; nil for none.
    /// - Throws: `OperatorError` with the gateway's sentence, or saying that none runs there.
    static func request(_ method: String, _ path: String, body: JSONText? = nil, stateDirectory: String, patience: Int = 60) throws -> JSON? {
        let answer = try exchange(method, path, body, stateDirectory, patience)
        guard let split = answer.firstRange(of: Array("\r\n\r\n".utf8)) else { throw OperatorError("The gateway hung up without an answer.") }
        let head = String(decoding: answer[..<split.lowerBound], as: UTF8.self)
        let status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        let json = try? JSON(parsing: Array(answer[split.upperBound...]), limits: JSON.Limits(depth: 64, nodes: 2_000_000))
        guard (200..<300).contains(status) else {
            throw OperatorError(json?["detail"]?.string?.withoutControls ?? "The gateway answered with status \(status).")
        }
        return json
    }

    private static func exchange(_ method: String, _ path: String, _ body: JSONText?, _ stateDirectory: String, _ patience: Int) throws -> [UInt8] {
        let connection = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(connection) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array((try? short(stateDirectory))?.utf8 ?? "".utf8)) }
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(connection, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 }
        }
        guard isConnected else {
            throw OperatorError("No gateway runs with the state directory \(stateDirectory); start it, or name another --state-dir.")
        }
        var timeout = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))

        let content = body?.bytes ?? []
        let head =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: \(content.count)\r\n\r\n"
        var rest = (Array(head.utf8) + content)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(connection, $0.baseAddress, $0.count) }
            guard count > 0 else { throw OperatorError("The gateway hung up.") }
            rest = rest.dropFirst(count)
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(connection, &buffer, buffer.count)
            guard count >= 0 else { throw OperatorError("The gateway did not answer within \(patience) s; it may still be at it.") }
            if count == 0 { return answer }
            answer += buffer[..<count]
        }
    }
}
