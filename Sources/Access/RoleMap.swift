package import Gateway

/// Which role somebody gets for what their issuer says of them, as the operator wrote it: the first rule that fits.
///
/// Whom no rule fits has no role, and is not let in.
package struct RoleMap: Hashable, Sendable {
    package enum Sign: Hashable, Sendable {
        /// An app role of Entra ID, or a value of the role claim.
        case role(String)
        /// A group's object id, or a value of the group claim.
        case group(String)
        /// Anybody the issuer signs in.
        case everyone
    }

    package struct Rule: Hashable, Sendable {
        package let role: Role
        package let sign: Sign
    }

    package let rules: [Rule]

    /// Roles of the issuer's that have the names of ours.
    package static let byName = RoleMap(
        rules: [Role.admin, .serverOwner, .auditor, .user].map { Rule(role: $0, sign: .role($0.rawValue)) })

    private init(rules: [Rule]) { self.rules = rules }

    /// - Parameter entries: `admin=role:Gateway.Admin`, `user=group:6f1c…`, `user=everyone`; at most 200.
    /// - Throws: `Refusal.invalid`, naming the entry.
    package init(_ entries: [String]) throws(Refusal) {
        guard (1...200).contains(entries.count) else { throw .invalid("A role map has 1 to 200 entries.") }
        var rules: [Rule] = []
        for entry in entries {
            let parts = entry.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let role = Role(rawValue: parts[0]), role != .anonymous, let sign = Self.sign(parts[1]) else {
                throw .invalid(
                    "“\(entry.cut(80).withoutControls)” is no entry of a role map: write admin=role:NAME, server_owner=group:ID or user=everyone.")
            }
            rules.append(Rule(role: role, sign: sign))
        }
        self.rules = rules
    }

    private static func sign(_ text: String) -> Sign? {
        if text == "everyone" { return .everyone }
        for (prefix, make) in [("role:", Sign.role), ("group:", Sign.group)] where text.hasPrefix(prefix) {
            let name = String(text.dropFirst(prefix.count))
            return (1...256).contains(name.utf8.count) && !name.hasControls ? make(name) : nil
        }
        return nil
    }

    package enum Decision: Hashable, Sendable {
        case role(Role, by: Rule)
        case none
        /// A rule about groups comes first, and the groups are not known yet.
        case groupsNeeded
    }

    /// - Parameter groups: nil while they are not known; never taken for none.
    package func decide(roles: [String], groups: [String]?) -> Decision {
        for rule in rules {
            switch rule.sign {
            case .everyone: return .role(rule.role, by: rule)
            case .role(let name): if roles.contains(where: { $0.utf8.elementsEqual(name.utf8) }) { return .role(rule.role, by: rule) }
            case .group(let id):
                guard let groups else { return .groupsNeeded }
                if groups.contains(where: { $0.lowercased().utf8.elementsEqual(id.lowercased().utf8) }) { return .role(rule.role, by: rule) }
            }
        }
        return .none
    }
}
