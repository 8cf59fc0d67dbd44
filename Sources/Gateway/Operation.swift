/// What a caller asks of an MCP endpoint, without the bytes that asked it.
package enum Operation: Hashable, Sendable {
    case initialize
    case ping
    case discover
    case listTools
    case callTool(String)

    /// The method as MCP names it.
    package var method: String {
        switch self {
        case .initialize: "initialize"
        case .ping: "ping"
        case .discover: "server/discover"
        case .listTools: "tools/list"
        case .callTool: "tools/call"
        }
    }

    /// What the operation acts on: the tool's exposed name, or nothing.
    package var target: String {
        switch self {
        case .callTool(let name): name
        case .initialize, .ping, .discover, .listTools: ""
        }
    }
}
