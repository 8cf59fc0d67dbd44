/// What a `scope` parameter asks for: scopes of OpenID Connect, and those of one resource.
struct Scopes: Sendable {
    static let openID = ["openid", "profile", "email", "offline_access"]
    static let everything = ".default"

    /// Those of OpenID Connect.
    let identity: Set<String>
    /// Graph, where nothing but identity is asked for.
    let resource: FakeEntra.Directory.AppRegistration
    /// Short names at the resource.
    let names: [String]
    /// Whether the resource was named at all.
    let namesResource: Bool
    /// Whether the resource is named by its GUID.
    let isByGUID: Bool
    let isDefault: Bool

    /// - Throws: `scopeInvalid`, `resourceUnknown`, `scopeUnknown` or `severalResources`.
    init(_ text: String, in directory: FakeEntra.Directory) throws(Failure) {
        var identity: Set<String> = []
        var found: [(resource: FakeEntra.Directory.AppRegistration, identifier: String, name: String)] = []
        for scope in text.split(separator: " ").map(String.init) {
            guard scope.utf8.count <= 512, scope.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }) else {
                throw Failure(.scopeInvalid)
            }
            if Self.openID.contains(scope) {
                identity.insert(scope)
                continue
            }
            // A scope without a slash belongs to Graph, whoever meant something else by it.
            let slash = scope.lastIndex(of: "/")
            let identifier = slash.map { String(scope[..<$0]) } ?? FakeEntra.Directory.graph.appIDURI
            let name = slash.map { String(scope[scope.index(after: $0)...]) } ?? scope
            guard !name.isEmpty else { throw Failure(.scopeInvalid, "The scope '\(scope)' names a resource and nothing at it.") }
            guard let resource = directory.resource(identifier) else {
                throw Failure(.resourceUnknown, "The tenant has no resource named '\(identifier)'.")
            }
            found.append((resource, identifier, name))
        }
        guard Set(found.map(\.resource.clientID)).count <= 1 else { throw Failure(.severalResources) }
        let names = found.map(\.name)
        let resource = found.first?.resource ?? FakeEntra.Directory.graph
        isDefault = names.contains(Self.everything)
        if isDefault && names.count > 1 { throw Failure(.scopeInvalid, "'.default' goes with no other scope of the resource.") }
        for name in names where name != Self.everything && !resource.scopes.contains(name) {
            throw Failure(.scopeUnknown, "The scope '\(name)' does not exist at the resource '\(resource.clientID)'.")
        }
        self.identity = identity
        self.resource = resource
        self.names = isDefault ? resource.scopes : found.isEmpty ? ["User.Read"] : names
        namesResource = !found.isEmpty
        isByGUID = found.allSatisfy { $0.identifier == $0.resource.clientID }
    }

    /// Nothing at all, for which a token of Graph would be issued.
    var isEmpty: Bool { identity.isEmpty && !namesResource }

    /// What is to be consented to.
    var fullNames: [String] { names.map { resource.fullName(of: $0) } }

    /// `scope` of the token endpoint's answer. For other resources than Graph those of OpenID Connect are not repeated.
    var granted: String {
        guard resource.clientID == FakeEntra.Directory.graph.clientID else { return fullNames.joined(separator: " ") }
        return (Self.openID.filter { identity.contains($0) && $0 != "offline_access" } + fullNames).joined(separator: " ")
    }
}
