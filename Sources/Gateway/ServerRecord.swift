/// The name an owner gives a server: the prefix of its tools, and its place in `/servers/{alias}/mcp`.
///
/// One to twelve of `a-z`, `0-9` and single `-`, beginning and ending with a letter or digit, so that prefixed tool
/// names fit what model APIs accept.
package struct ServerAlias: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let description: String

    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        let isAlphanumeric: (UInt8) -> Bool = { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
        guard (1...12).contains(bytes.count), isAlphanumeric(bytes[0]), isAlphanumeric(bytes[bytes.count - 1]) else { return nil }
        guard bytes.allSatisfy({ isAlphanumeric($0) || $0 == 0x2D }), !text.contains("--") else { return nil }
        description = text
    }

    package static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

/// How the gateway reaches a server.
package enum Transport: Hashable, Sendable {
    /// Streamable HTTP at this absolute URL.
    case http(endpoint: String)
    /// A child process speaking JSON lines: an absolute path, its arguments, and variables added to a small
    /// allow-list. There is never a shell.
    case stdio(StdioCommand)

    package var name: String {
        switch self {
        case .http: "http"
        case .stdio: "stdio"
        }
    }

    /// Of a program.
    package var sealedNames: [String] {
        guard case .stdio(let command) = self else { return [] }
        return command.sealedNames
    }

    /// Of an HTTP server; nil also if its URL is none.
    package var httpEndpoint: Endpoint? {
        guard case .http(let text) = self else { return nil }
        return Endpoint(text)
    }
}

package struct StdioCommand: Hashable, Sendable {
    package let path: String
    package let arguments: [String]
    package let environment: [String: String]
    /// Names of further variables, whose values lie sealed in the vault.
    package let sealedNames: [String]
    /// One process for everybody. Only for servers that keep nothing between calls and hold nobody's credentials;
    /// otherwise each user gets a process of their own.
    package let isShared: Bool

    /// Of sealed variables, and of their names and values together.
    package static let mostSealed = 16
    package static let mostSealedBytes = 32 << 10

    package init(path: String, arguments: [String], environment: [String: String] = [:], sealedNames: [String] = [], isShared: Bool = false) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.sealedNames = sealedNames.sorted()
        self.isShared = isShared
    }

    /// The same program with other sealed variables.
    package func sealing(_ names: some Sequence<String>) -> Self {
        Self(path: path, arguments: arguments, environment: environment, sealedNames: Array(names), isShared: isShared)
    }
}

/// Which era an operator says a server speaks; `auto` asks it (ERA-4, ERA-7).
package enum EraChoice: String, Sendable, CaseIterable {
    case auto, modern, legacy
    /// With a handshake, over the transport of 2024-11-05 that streamable HTTP replaced; of URLs only.
    case sse
}

/// A server that a tenant registered.
package struct ServerRecord: Hashable, Sendable {
    package enum Status: String, Sendable, CaseIterable {
        case active, disabled
    }

    package let id: ServerID
    package let tenant: TenantID
    package let owner: UserID
    package let alias: ServerAlias
    package var title: String
    /// What it is for, in 1 to 100 characters; nil if its owner did not say.
    package var description: String?
    package var transport: Transport
    /// Of its endpoint beside its replicas: one of `ServerReplica.weights`.
    package var weight: Int
    /// Where else it can be asked, if it is reached by URL; at most `ServerReplica.most`.
    package var replicas: [ServerReplica]
    package var strategy: BalancingStrategy
    package var status: Status
    /// Whether everybody may know that it is there, signed in or not. Whom it serves is another matter.
    package var isPublic: Bool
    package var era: EraChoice
    package var tags: [String]
    package var credential: UpstreamCredential
    /// What it may ask users for.
    package var questions: Set<QuestionKind>
    package var createdAt: Timestamp
    package var updatedAt: Timestamp

    package init(
        id: ServerID, tenant: TenantID, owner: UserID, alias: ServerAlias, title: String, description: String? = nil, transport: Transport,
        weight: Int = 1, replicas: [ServerReplica] = [], strategy: BalancingStrategy = .roundRobin, status: Status, isPublic: Bool = false,
        era: EraChoice, tags: [String], credential: UpstreamCredential = .none, questions: Set<QuestionKind> = .everything, createdAt: Timestamp,
        updatedAt: Timestamp
    ) {
        self.id = id
        self.tenant = tenant
        self.owner = owner
        self.alias = alias
        self.title = title
        self.description = description
        self.transport = transport
        self.weight = weight
        self.replicas = replicas
        self.strategy = strategy
        self.status = status
        self.isPublic = isPublic
        self.era = era
        self.tags = tags
        self.credential = credential
        self.questions = questions
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

extension ServerRecord {
    /// Whether nothing differs that a conversation with the server depends on.
    package func isReached(like other: ServerRecord) -> Bool {
        (tenant, alias, transport, era, credential) == (other.tenant, other.alias, other.transport, other.era, other.credential)
            && (weight, replicas, strategy, questions) == (other.weight, other.replicas, other.strategy, other.questions)
    }
}

/// What somebody says of a server they register.
package struct ServerDraft: Sendable {
    package var alias: ServerAlias
    package var title: String
    package var description: String?
    package var transport: Transport
    package var weight: Int
    package var replicas: [ServerReplica]
    package var strategy: BalancingStrategy
    package var status: ServerRecord.Status
    package var isPublic: Bool
    package var era: EraChoice
    package var tags: [String]
    package var credential: UpstreamCredential
    package var questions: Set<QuestionKind>
    /// What the credential keeps to itself, on its way to the vault.
    package var secret: Secret<String>?
    /// The values of a program's sealed variables, on their way to the vault.
    package var sealedEnvironment: [String: Secret<String>]

    package init(
        alias: ServerAlias, title: String, description: String? = nil, transport: Transport, weight: Int = 1, replicas: [ServerReplica] = [],
        strategy: BalancingStrategy = .roundRobin, status: ServerRecord.Status = .active, isPublic: Bool = false, era: EraChoice = .auto,
        tags: [String] = [], credential: UpstreamCredential = .none, questions: Set<QuestionKind> = .everything, secret: Secret<String>? = nil,
        sealedEnvironment: [String: Secret<String>] = [:]
    ) {
        self.alias = alias
        self.title = title
        self.description = description
        self.transport = transport
        self.weight = weight
        self.replicas = replicas
        self.strategy = strategy
        self.status = status
        self.isPublic = isPublic
        self.era = era
        self.tags = tags
        self.credential = credential
        self.questions = questions
        self.secret = secret
        self.sealedEnvironment = sealedEnvironment
    }
}

/// What somebody changes of a server.
package struct ServerChange: Sendable {
    package var server: ServerRecord
    /// What a new credential keeps to itself, on its way to the vault.
    package var secret: Secret<String>?
    /// Values of a program's sealed variables, on their way to the vault; of those that are taken away, nil.
    package var sealedEnvironment: [String: Secret<String>?]

    package init(_ server: ServerRecord, secret: Secret<String>? = nil, sealedEnvironment: [String: Secret<String>?] = [:]) {
        self.server = server
        self.secret = secret
        self.sealedEnvironment = sealedEnvironment
    }

    /// What a program's sealed variables are with it.
    ///
    /// - Throws: `Refusal.invalid` if they are larger than they may be.
    package func sealed(over held: [String: Secret<String>]) throws(Refusal) -> [String: Secret<String>] {
        guard case .stdio(let command) = server.transport else { return [:] }
        let changed = held.merging(sealedEnvironment.compactMapValues { $0 }) { $1 }.filter { command.sealedNames.contains($0.key) }
        guard changed.reduce(0, { $0 + ($1.key + $1.value.revealed).utf8.count }) <= StdioCommand.mostSealedBytes else {
            throw .invalid("The sealed variables of one program hold at most \(StdioCommand.mostSealedBytes >> 10) KiB.")
        }
        return changed
    }
}

/// Which servers a list is to show; nil does not filter.
package struct ServerFilter: Hashable, Sendable {
    package var status: ServerRecord.Status?
    package var transport: String?
    package var tag: String?

    package init(status: ServerRecord.Status? = nil, transport: String? = nil, tag: String? = nil) {
        self.status = status
        self.transport = transport
        self.tag = tag
    }
}
