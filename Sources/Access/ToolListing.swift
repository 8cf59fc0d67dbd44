/// A tool as its server listed it.
package struct ListedTool: Hashable, Sendable {
    package let name: String
    package let fingerprint: ToolFingerprint
    /// The canonical definition, to be shown to people; nil for one that is too long to be kept.
    package let definition: String?

    package init(_ name: String, fingerprint: ToolFingerprint, definition: String?) {
        self.name = name
        self.fingerprint = fingerprint
        self.definition = definition
    }
}

/// What a server listed: the first tool of each name.
package struct ToolListing: Hashable, Sendable {
    /// Tools of one server, those that are gone included.
    package static let most = 2000
    /// Bytes of a definition that is kept. Of a longer one the fingerprint is.
    package static let longestDefinition = 64 << 10
    /// Bytes of all definitions that one listing brings; what is beyond is kept by fingerprint.
    package static let mostDefinitionBytes = 4 << 20

    package private(set) var tools: [ListedTool] = []
    private var names: Set<ExactName> = []
    private var bytes = 0

    package init() {}

    /// - Returns: the tool as it is listed; nil if there is one of the name already, or no room.
    @discardableResult
    package mutating func add(_ name: String, _ canonical: [UInt8]) -> ListedTool? {
        guard tools.count < Self.most, names.insert(ExactName(name)).inserted else { return nil }
        let isKept = canonical.count <= Self.longestDefinition && bytes + canonical.count <= Self.mostDefinitionBytes
        if isKept { bytes += canonical.count }
        let tool = ListedTool(
            name, fingerprint: ToolFingerprint(of: canonical), definition: isKept ? String(decoding: canonical, as: UTF8.self) : nil)
        tools.append(tool)
        return tool
    }

    func contains(_ name: ExactName) -> Bool { names.contains(name) }
}
