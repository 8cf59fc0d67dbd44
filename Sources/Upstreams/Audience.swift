import MCP

/// Whoever waits for a request's answer: what can be asked of them meanwhile, and what they want to hear.
struct Audience: Sendable {
    let capabilities: ClientCapabilities
    let logLevel: LogLevel?
    let wantsProgress: Bool

    func wants(_ log: JSON) -> Bool {
        guard let logLevel, let level = log["level"]?.string.flatMap({ LogLevel(rawValue: $0) }) else { return false }
        return level >= logLevel
    }
}
