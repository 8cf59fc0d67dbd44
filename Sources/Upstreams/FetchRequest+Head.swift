import Gateway
import NIOHTTP1

extension FetchRequest {
    /// What stands in every request; how the body is framed and what becomes of the connection is no caller's choice.
    private static let reserved: Set<String> = [
        "host", "user-agent", "accept-encoding", "connection", "keep-alive", "proxy-connection", "content-length", "transfer-encoding", "te",
        "trailer",
        "upgrade", "expect",
    ]

    /// The head as it is written.
    ///
    /// - Throws: `FetchFailure.unreachable` if a header would not arrive as the one header it is: a name that is no token
    ///   (RFC 9110, section 5.6.2), a value with anything but visible ASCII, spaces and tabs. Neither is repeated in the reason.
    func head() throws(FetchFailure) -> HTTPRequestHead {
        var fields = HTTPHeaders([
            ("host", endpoint.authority), ("user-agent", "mcp-registry-gateway"), ("accept-encoding", "identity"), ("connection", "close"),
        ])
        if !body.isEmpty || method == .post { fields.add(name: "content-length", value: String(body.count)) }
        for (name, value) in headers {
            guard !name.isEmpty, name.utf8.allSatisfy(Self.isTokenByte) else { throw .unreachable("the name of a header for it is none") }
            guard value.utf8.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 }) else {
                throw .unreachable("the value of a header for it could not be written")
            }
            guard !Self.reserved.contains(name.lowercased()) else { throw .unreachable("a header for it is not the caller's to set") }
            fields.add(name: name, value: value)
        }
        return HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: method.rawValue), uri: endpoint.path, headers: fields)
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}
