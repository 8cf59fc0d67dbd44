package import Gateway

/// A tool of a server, as policy knows it.
package struct Tool: Hashable, Sendable {
    /// Its own name on its server, byte for byte.
    package let name: String
    package let server: ServerAlias
    /// The name that callers know it by.
    package let exposed: String

    package init(_ name: String, of server: ServerAlias, exposedAs exposed: String) {
        self.name = name
        self.server = server
        self.exposed = exposed
    }
}

/// The row id of a tool rule; never given twice.
package struct ToolRuleID: Hashable, Sendable, Comparable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// One sentence of a tenant's policy: who may, or may not, use which tools.
package struct ToolRule: Hashable, Sendable {
    package enum Subject: Hashable, Sendable {
        /// Everyone whose role uses tools.
        case everyone
        case role(Role)
        case user(UserID, name: String)
    }

    package enum Object: Hashable, Sendable {
        case everything
        case server(ServerAlias)
        /// By its own name there. A server of that alias need not exist yet.
        case tool(String, of: ServerAlias)

        package var server: ServerAlias? {
            switch self {
            case .everything: nil
            case .server(let alias), .tool(_, of: let alias): alias
            }
        }

        package var tool: String? { if case .tool(let name, of: _) = self { name } else { nil } }
    }

    package enum Effect: String, Sendable, CaseIterable {
        case allow, deny
    }

    /// What a rule says, before it has a number.
    package struct Statement: Hashable, Sendable {
        package let subject: Subject
        package let object: Object
        package let effect: Effect

        package init(_ effect: Effect, _ subject: Subject, _ object: Object) {
            self.subject = subject
            self.object = object
            self.effect = effect
        }
    }

    package let id: ToolRuleID
    package let statement: Statement
    package let createdAt: Timestamp

    package init(_ id: ToolRuleID, _ statement: Statement, createdAt: Timestamp) {
        self.id = id
        self.statement = statement
        self.createdAt = createdAt
    }

    /// Rules that a tenant can have.
    package static let most = 1000
    /// Characters of a tool's name that a rule can hold.
    package static let longestToolName = 256
}

extension ToolRule.Statement {
    /// What it says, as part of a sentence.
    package var words: String {
        let who =
            switch subject {
            case .everyone: "everyone"
            case .role(let role): "the role \(role.rawValue)"
            case .user(_, let name): "the user “\(name.cut(64).withoutControls)”"
            }
        let what =
            switch (object, effect) {
            case (.everything, .allow): "every tool of every server"
            case (.everything, .deny): "any tool of any server"
            case (.server(let alias), .allow): "every tool of “\(alias)”"
            case (.server(let alias), .deny): "any tool of “\(alias)”"
            case (.tool(let name, of: let alias), _): "the tool “\(name.cut(128).withoutControls)” of “\(alias)”"
            }
        return "\(who) \(effect == .allow ? "may" : "may not") use \(what)"
    }
}
