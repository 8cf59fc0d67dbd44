package import Gateway

/// Why the registry API does not answer as asked. Whoever asks is a program of somebody else's, so the sentence says what
/// would be right.
package enum RegistryFault: Error, Hashable, Sendable {
    case badRequest(String)
    case unknown(String)

    package var sentence: String {
        switch self {
        case .badRequest(let sentence), .unknown(let sentence): sentence
        }
    }
}

/// What somebody asks the list of servers for.
package struct RegistryQuery: Hashable, Sendable {
    /// A place in the list: everything behind it. Written as the official registry writes it, `name:version`, it stays
    /// good while entries come and go.
    package struct Cursor: Hashable, Sendable, CustomStringConvertible {
        package let name: String
        package let number: Int

        init(name: String, number: Int) {
            self.name = name
            self.number = number
        }

        init?(_ text: String) {
            guard text.utf8.count <= 512, let colon = text.lastIndex(of: ":"), RegistryName.isOne(text[..<colon]),
                let number = RegistryEntry.number(ofVersion: text[text.index(after: colon)...])
            else { return nil }
            self.init(name: String(text[..<colon]), number: number)
        }

        package var description: String { "\(name):\(RegistryEntry.version(number))" }
    }

    package enum Version: Hashable, Sendable {
        case latest
        case exactly(String)

        init(_ text: String) { self = text == "latest" ? .latest : .exactly(text) }
    }

    package var cursor: Cursor?
    package var limit: Int
    /// What name, title or description hold, in any case.
    package var search: String?
    package var updatedSince: Timestamp?
    package var version: Version?
    package var includesDeleted: Bool

    package static let limits = 1...100
    private static let usualLimit = 30
    private static let longestText = 255

    /// - Parameter parameters: decoded, in the order they came. Those without a value are as good as left out, and those that
    ///   are not known are ignored: clients ask several registries alike.
    package init(_ parameters: [(name: String, value: String)] = []) throws(RegistryFault) {
        func one(_ name: String) throws(RegistryFault) -> String? {
            let values = parameters.filter { $0.name == name && !$0.value.isEmpty }.map(\.value)
            guard values.count <= 1 else { throw .badRequest("\"\(name)\" is there more than once.") }
            guard let value = values.first else { return nil }
            guard value.unicodeScalars.count <= Self.longestText * 2, !value.hasControls else {
                throw .badRequest("\"\(name)\" is too long, or holds control characters.")
            }
            return value
        }
        cursor = nil
        if let text = try one("cursor") {
            guard let found = Cursor(text) else { throw .badRequest("\"cursor\" is the nextCursor of the page before, unchanged.") }
            cursor = found
        }
        limit = Self.usualLimit
        if let text = try one("limit") {
            guard let number = Int(text), Self.limits.contains(number) else {
                throw .badRequest("\"limit\" is a number from \(Self.limits.lowerBound) to \(Self.limits.upperBound).")
            }
            limit = number
        }
        search = try one("search")?.lowercased()
        version = try one("version").map { Version($0) }
        updatedSince = nil
        if let text = try one("updated_since") {
            // In a query a plus that was not escaped has become a blank.
            guard let moment = Timestamp(rfc3339: text.replacing(" ", with: "+")) else {
                throw .badRequest("\"updated_since\" is a moment of RFC 3339, such as 2026-01-31T12:00:00Z.")
            }
            updatedSince = moment
        }
        // A mirror that asks for what changed has to hear of what is gone.
        includesDeleted = updatedSince != nil
        if let text = try one("include_deleted") {
            guard ["true", "false"].contains(text) else { throw .badRequest("\"include_deleted\" is true or false.") }
            includesDeleted = text == "true"
        }
    }

    func includes(_ entry: RegistryEntry) -> Bool {
        guard entry.isListed || includesDeleted else { return false }
        switch version {
        case .latest?: guard entry.isLatest else { return false }
        case .exactly(let text)?: guard entry.version == text else { return false }
        case nil: break
        }
        if let updatedSince, entry.updatedAt < updatedSince { return false }
        guard let search else { return true }
        return [entry.name, entry.title, entry.description].contains { $0.lowercased().contains(search) }
    }
}

/// The name of a server in a registry.
package enum RegistryName {
    /// Reverse DNS, one slash, and a name: `^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`, 3 to 200 characters.
    package static func isOne(_ text: some StringProtocol) -> Bool {
        guard (3...200).contains(text.utf8.count) else { return false }
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else { return false }
        return parts[0].allSatisfy { isPlain($0) } && parts[1].allSatisfy { isPlain($0) || $0 == UInt8(ascii: "_") }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
    }
}
