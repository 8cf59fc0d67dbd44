package import Gateway

/// Tasks (`io.modelcontextprotocol/tasks`): a server of the stateless era may answer a tool call with a handle, which its client
/// then asks after. A handle leads back to its server, and is good for the user whose call it was.
package struct TaskHandle: Hashable, Sendable {
    package let server: ServerID
    /// The name the caller called the tool by: asking after the task takes the same permission as calling it.
    package let tool: String
    /// The server's own id of the task.
    package let id: String

    package init(server: ServerID, tool: String, id: String) {
        self.server = server
        self.tool = tool
        self.id = id
    }

    package init?(_ bytes: [UInt8]) {
        guard let json = try? JSON(parsing: bytes), let server = json["server"]?.integer, let tool = json["tool"]?.string, let id = json["id"]?.string
        else { return nil }
        self.init(server: ServerID(server), tool: tool, id: id)
    }

    package var bytes: [UInt8] {
        let text: JSONText = ["server": .number(server.rawValue), "tool": .string(tool), "id": .string(id)]
        return text.bytes
    }

    /// The server's id in a result that is a handle; nil for any other result.
    package static func id(in result: JSON) -> String? {
        guard result["resultType"]?.string == "task", let id = result["taskId"]?.string, (1...1024).contains(id.utf8.count) else { return nil }
        return id
    }
}

extension Answers {
    /// A handle as its client gets it.
    package func task(_ result: JSON, as exposed: String) -> JSONText {
        let added = [(ModernKey.serverInfo, Optional(gateway.text))]
        let meta = result["_meta"].map { ModernAnswer.strippedMeta($0, adding: added) } ?? .object(added)
        return result.replacing([("taskId", .string(exposed)), ("_meta", meta)])
    }
}

extension ProtocolError {
    /// A server made a task for a client that did not say that it can ask after one.
    package static func tasksNotDeclared(in era: Revision.Era) -> ProtocolError {
        let sentence = "The tool answers with a task, and your client did not declare the extension for tasks."
        let data: JSONText = ["requiredCapabilities": ["extensions": [ClientCapabilities.Extension.tasks.rawValue: [:]]]]
        return switch era {
        case .modern: ProtocolError(code: -32021, message: sentence, data: data, place: .envelope)
        case .legacy: ProtocolError(code: -32603, message: sentence, data: data)
        }
    }

    package static let unknownTask = invalidParams("There is no such task of yours; it may have ended long ago.")
}
