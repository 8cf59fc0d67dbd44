/// What a caller asks of an MCP endpoint, without the bytes that asked it.
package enum Operation: Hashable, Sendable {
    case initialize
    case ping
    case discover
    case list(ListKind)
    case callTool(String)
    case getPrompt(String)
    case readResource(String)
    /// For an argument of that prompt, or of that resource or template.
    case completePrompt(String)
    case completeResource(String)
    /// Of the session; the two before it too. Sessions are the older era's.
    case subscribe(String)
    case unsubscribe(String)
    case setLogLevel
    /// A stream of changes, of the newer era.
    case listen
    case getTask(String)
    case updateTask(String)
    case cancelTask(String)

    /// The method as MCP names it.
    package var method: String {
        switch self {
        case .initialize: "initialize"
        case .ping: "ping"
        case .discover: "server/discover"
        case .list(let kind): kind.method
        case .callTool: "tools/call"
        case .getPrompt: "prompts/get"
        case .readResource: "resources/read"
        case .completePrompt, .completeResource: "completion/complete"
        case .subscribe: "resources/subscribe"
        case .unsubscribe: "resources/unsubscribe"
        case .setLogLevel: "logging/setLevel"
        case .listen: "subscriptions/listen"
        case .getTask: "tasks/get"
        case .updateTask: "tasks/update"
        case .cancelTask: "tasks/cancel"
        }
    }

    /// What the operation acts on, by the name the caller knows it by; or nothing.
    package var target: String {
        switch self {
        case .callTool(let name), .getPrompt(let name), .completePrompt(let name): name
        case .readResource(let uri), .completeResource(let uri), .subscribe(let uri), .unsubscribe(let uri): uri
        case .getTask(let task), .updateTask(let task), .cancelTask(let task): task
        case .initialize, .ping, .discover, .list, .setLogLevel, .listen: ""
        }
    }
}
