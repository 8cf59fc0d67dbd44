import Gateway
import Identity
import MCP

/// Seals what clients carry for the gateway: cursors, states of questions, ids of tasks and of streams. Live: AES-GCM under a key of the
/// instance, so that a restart strands nobody.
package struct StateSeal: Sendable {
    /// - Parameter binding: what it is for; it opens with the same one only.
    package var seal: @Sendable (_ plain: [UInt8], _ binding: [UInt8]) throws -> String
    /// Nil for what was not sealed here, or for something else.
    package var open: @Sendable (_ sealed: String, _ binding: [UInt8]) -> [UInt8]?

    package init(
        seal: @escaping @Sendable (_ plain: [UInt8], _ binding: [UInt8]) throws -> String,
        open: @escaping @Sendable (_ sealed: String, _ binding: [UInt8]) -> [UInt8]?
    ) {
        self.seal = seal
        self.open = open
    }
}

extension StateSeal {
    /// A cursor is good for whom it was given, on that list of that endpoint.
    static func cursorBinding(_ kind: ListKind, _ resource: Resource, _ principal: Principal) -> [UInt8] {
        JSONText.array(["cursor", .string(kind.rawValue), .string(resource.path), .number(principal.user.rawValue)]).bytes
    }

    /// A state is good for whom it was given, with the very request it was given for.
    static func stateBinding(_ incoming: Incoming, _ resource: Resource, _ principal: Principal) -> [UInt8] {
        JSONText.array([
            "state", .string(incoming.operation.method), .string(incoming.operation.target), .string(resource.path), .number(principal.user.rawValue),
            incoming.params?["arguments"]?.text ?? .null,
        ]).bytes
    }

    /// A stream was one of that session's.
    static func streamBinding(_ session: ClientSession, _ key: String) -> [UInt8] {
        JSONText.array(["stream", .string(session.id), .string(key)]).bytes
    }

    /// A task is asked after on the endpoint it was made on, by whoever made it.
    static func taskBinding(_ resource: Resource, _ principal: Principal) -> [UInt8] {
        JSONText.array(["task", .string(resource.path), .number(principal.user.rawValue)]).bytes
    }
}
