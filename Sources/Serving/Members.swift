import Discovery
package import Gateway
import MCP
package import OAuth

/// The members of a JSON object somebody sent, read one by one with an error that names the member.
package struct Members {
    private let json: JSON

    package init(_ body: [UInt8], known: Set<String>) throws(Refusal) {
        do { json = try JSON(parsing: body) } catch { throw .invalid(error.sentence) }
        guard json.isObject else { throw .invalid("The body is a JSON object.") }
        if let stranger = json.members.first(where: { !known.contains($0.name) }) {
            throw .invalid("\"\(stranger.name.cut(64))\" is not known here; known are \(known.sorted().joined(separator: ", ")).")
        }
    }

    package func string(_ name: String, longest: Int = 128) throws(Refusal) -> String? {
        guard let value = json[name] else { return nil }
        // Counted as SQLite counts: a character of Swift's may hold any number of them.
        guard let text = value.string, (1...longest).contains(text.unicodeScalars.count), !text.hasControls else {
            throw .invalid("\"\(name)\" is a string of 1 to \(longest) characters without control characters.")
        }
        return text
    }

    func bool(_ name: String) throws(Refusal) -> Bool? {
        guard let value = json[name] else { return nil }
        guard let bool = value.bool else { throw .invalid("\"\(name)\" is true or false.") }
        return bool
    }

    /// Whether any of these is there.
    func has(_ names: Set<String>) -> Bool { names.contains { json[$0] != nil } }

    enum Change<Value: Sendable>: Sendable {
        case set(Value)
        /// `null`: as if it had never been set.
        case clear
    }

    /// A whole number, or null.
    func integer<Value: FixedWidthInteger & Sendable>(_ name: String, in range: ClosedRange<Value>) throws(Refusal) -> Change<Value>? {
        try json[name].map { value throws(Refusal) in try Self.integer(value, "\"\(name)\"", range) }
    }

    /// Whole numbers, or null, by names of at most 256 characters.
    func integers(_ name: String, in range: ClosedRange<Int>, most: Int) throws(Refusal) -> [String: Change<Int>] {
        guard let value = json[name] else { return [:] }
        guard value.isObject, value.members.count <= most else { throw .invalid("\"\(name)\" is an object of at most \(most) numbers.") }
        var changes: [String: Change<Int>] = [:]
        for member in value.members {
            guard (1...256).contains(member.name.unicodeScalars.count), !member.name.hasControls else {
                throw .invalid("The names in \"\(name)\" have 1 to 256 characters, without control characters.")
            }
            changes[member.name] = try Self.integer(member.value, "\"\(member.name.cut(64))\" in \"\(name)\"", range)
        }
        return changes
    }

    private static func integer<Value: FixedWidthInteger & Sendable>(_ value: JSON, _ name: String, _ range: ClosedRange<Value>) throws(Refusal)
        -> Change<Value>
    {
        if value.isNull { return .clear }
        guard let integer = value.integer.flatMap({ Value(exactly: $0) }), range.contains(integer) else {
            throw .invalid("\(name) is a whole number from \(range.lowerBound) to \(range.upperBound), or null for none of its own.")
        }
        return .set(integer)
    }

    /// The members of an object, by names that differ.
    func object(_ name: String, most: Int) throws(Refusal) -> [(name: String, value: JSON)]? {
        guard let value = json[name] else { return nil }
        guard value.isObject, value.members.count <= most else { throw .invalid("\"\(name)\" is an object of at most \(most) members.") }
        return value.members
    }

    func strings(_ name: String, most: Int, longest: Int) throws(Refusal) -> [String]? {
        guard let value = json[name] else { return nil }
        let texts = value.elements.compactMap(\.string)
        guard value.kind == .array, texts.count == value.elements.count, texts.count <= most,
            texts.allSatisfy({ $0.utf8.count <= longest && !$0.utf8.contains(0) })
        else { throw .invalid("\"\(name)\" is a list of at most \(most) strings of at most \(longest) bytes.") }
        return texts
    }

    func stringsByName(_ name: String, most: Int, longest: Int) throws(Refusal) -> [String: String]? {
        guard let changes = try changesByName(name, most: most, longest: longest) else { return nil }
        let strings = changes.compactMapValues { $0 }
        guard strings.count == changes.count else { throw .invalid("\"\(name)\" is an object of at most \(most) strings.") }
        return strings
    }

    /// Strings or nulls by their names.
    private func changesByName(_ name: String, most: Int, longest: Int) throws(Refusal) -> [String: String?]? {
        guard let value = json[name] else { return nil }
        let isSound = value.members.allSatisfy { member in
            let (name, text) = (member.name, member.value.string ?? "")
            return (member.value.string != nil || member.value.isNull) && !name.isEmpty && !name.contains("=")
                && (name + text).utf8.count <= longest && !(name + text).utf8.contains(0)
        }
        guard value.isObject, value.members.count <= most, isSound else {
            throw .invalid("\"\(name)\" is an object of at most \(most) strings.")
        }
        return Dictionary(value.members.map { ($0.name, $0.value.string) }) { $1 }
    }

    package func alias() throws(Refusal) -> ServerAlias {
        guard let text = try string("alias"), let alias = ServerAlias(text) else {
            throw .invalid("\"alias\" is 1 to 12 of a-z, 0-9 and single hyphens, beginning and ending with a letter or digit.")
        }
        return alias
    }

    package func title() throws(Refusal) -> String? { try string("title") }

    /// What a server is for, or null.
    func description() throws(Refusal) -> Change<String>? {
        if json["description"]?.isNull ?? false { return .clear }
        return try string("description", longest: PublicFace.longest).map { .set($0) }
    }

    func endpoint() throws(Refusal) -> Endpoint? {
        guard let text = try string("endpoint", longest: 2048) else { return nil }
        return try Self.endpoint(text, "\"endpoint\"")
    }

    private static func endpoint(_ text: String, _ name: String) throws(Refusal) -> Endpoint {
        guard let endpoint = Endpoint(text) else {
            throw .invalid(
                "\(name) is an absolute http or https URL without user name, fragment or characters that URLs escape, with its host in the usual form."
            )
        }
        return endpoint
    }

    package func era(over transport: Transport) throws(Refusal) -> EraChoice? {
        let era: EraChoice? = try oneOf("era")
        if era == .sse, case .stdio = transport { throw .invalid("\"era\" is \"sse\" for URLs only; a program speaks \"modern\" or \"legacy\".") }
        return era
    }

    /// Of the endpoint, beside the replicas.
    func weight() throws(Refusal) -> Int? { try json["weight"].map { value throws(Refusal) in try Self.weight(value, "\"weight\"") } }

    private static func weight(_ value: JSON, _ name: String) throws(Refusal) -> Int {
        guard let weight = value.integer.flatMap({ Int(exactly: $0) }), ServerReplica.weights.contains(weight) else {
            throw .invalid("\(name) is a whole number from \(ServerReplica.weights.lowerBound) to \(ServerReplica.weights.upperBound).")
        }
        return weight
    }

    /// Where else a server can be asked; an empty list takes back what was said.
    func replicas() throws(Refusal) -> [ServerReplica]? {
        guard let value = json["replicas"] else { return nil }
        let form = "\"replicas\" is a list of at most \(ServerReplica.most) objects with an \"endpoint\" and perhaps a \"weight\"."
        guard value.kind == .array, value.elements.count <= ServerReplica.most else { throw .invalid(form) }
        var replicas: [ServerReplica] = []
        for element in value.elements {
            guard element.isObject, element.members.allSatisfy({ ["endpoint", "weight"].contains($0.name) }),
                let text = element["endpoint"]?.string
            else { throw .invalid(form) }
            let endpoint = try Self.endpoint(text, "The \"endpoint\" of a replica")
            let weight = try element["weight"].map { value throws(Refusal) in try Self.weight(value, "The \"weight\" of a replica") }
            replicas.append(ServerReplica(endpoint: endpoint.description, weight: weight ?? 1))
        }
        return replicas
    }

    func strategy() throws(Refusal) -> BalancingStrategy? { try oneOf("strategy") }

    func status() throws(Refusal) -> ServerRecord.Status? { try oneOf("status") }
    package func tags() throws(Refusal) -> [String]? {
        let tags = try strings("tags", most: 20, longest: 64)
        guard tags?.allSatisfy({ !$0.isEmpty && !$0.hasControls }) ?? true else { throw .invalid("A tag is a word without control characters.") }
        return tags
    }

    /// What a server may ask users for; an empty list for nothing.
    func questions() throws(Refusal) -> Set<QuestionKind>? {
        guard let names = try strings("questions", most: 8, longest: 64) else { return nil }
        let kinds = names.map(QuestionKind.init)
        guard !kinds.contains(nil) else {
            let names = QuestionKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalid("\"questions\" is a list of what the server may ask users for: \(names).")
        }
        return Set(kinds.compactMap { $0 })
    }

    /// What the gateway is to show a server.
    package func credential(for transport: Transport) throws(Refusal) -> CredentialDraft? {
        guard let members = try stringsByName("credential", most: 10, longest: CredentialDraft.longestSecret + 64) else { return nil }
        return try CredentialDraft(members, for: transport)
    }

    /// A program to run, by its absolute path.
    package func stdioCommand() throws(Refusal) -> StdioCommand {
        guard let path = try string("path", longest: 1024), path.hasPrefix("/") else {
            throw .invalid("Name either an \"endpoint\", or a program by its absolute \"path\".")
        }
        let environment = try stringsByName("environment", most: 64, longest: 16 << 10) ?? [:]
        let sealed = try sealedEnvironment()
        if let twice = sealed.keys.first(where: { environment[$0] != nil }) { throw .invalid("The variable \(twice.cut(64)) is there twice.") }
        return StdioCommand(
            path: path, arguments: try strings("arguments", most: 256, longest: 16 << 10) ?? [], environment: environment,
            sealedNames: Array(sealed.keys), isShared: try bool("shared") ?? false)
    }

    /// A program's variables whose values go to the vault.
    func sealedEnvironment() throws(Refusal) -> [String: Secret<String>] {
        let given = try sealedChanges()
        let values = given.compactMapValues { $0 }
        guard values.count == given.count else { throw .invalid("\"secret_environment\" takes away nothing where there is nothing yet.") }
        return values
    }

    /// The same of a program that is there already: a string is a new value, and null takes a variable away.
    func sealedChanges() throws(Refusal) -> [String: Secret<String>?] {
        let given = try changesByName("secret_environment", most: StdioCommand.mostSealed, longest: 16 << 10) ?? [:]
        guard given.reduce(0, { $0 + ($1.key + ($1.value ?? "")).utf8.count }) <= StdioCommand.mostSealedBytes, !given.values.contains("") else {
            throw .invalid("\"secret_environment\" holds at most \(StdioCommand.mostSealedBytes >> 10) KiB, and no empty values.")
        }
        return given.mapValues { $0.map { Secret($0) } }
    }

    private func oneOf<Value: RawRepresentable & CaseIterable>(_ name: String) throws(Refusal) -> Value? where Value.RawValue == String {
        guard let text = try string(name) else { return nil }
        guard let value = Value(rawValue: text) else {
            throw .invalid("\"\(name)\" is one of \(Value.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return value
    }
}
