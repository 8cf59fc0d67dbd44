package import Access
package import Gateway
import Synchronization

/// The tool rules of every tenant as they hold now: each tenant's are swapped whole, so that a request sees one version.
///
/// Its size is the record's: at most `ToolRule.most` rules of each tenant.
package final class RuleBook: Sendable {
    private let tenants: Mutex<[TenantID: ToolRules]>
    private let load: @Sendable (TenantID) async throws -> [ToolRule]

    /// - Parameters:
    ///   - rules: of every tenant there is; those of later ones are loaded when they are first asked for.
    ///   - load: the rules of a tenant, from the record.
    package init(_ rules: [TenantID: [ToolRule]], load: @escaping @Sendable (TenantID) async throws -> [ToolRule]) {
        tenants = Mutex(rules.mapValues { ToolRules($0) })
        self.load = load
    }

    /// Nil for a tenant whose rules were not loaded yet: until they are, nothing is decided.
    package func known(of tenant: TenantID) -> ToolRules? { tenants.withLock { $0[tenant] } }

    package func rules(of tenant: TenantID) async throws -> ToolRules {
        if let rules = known(of: tenant) { return rules }
        let loaded = ToolRules(try await load(tenant))
        return tenants.withLock { tenants in
            // What was changed meanwhile is newer.
            if let known = tenants[tenant] { return known }
            tenants[tenant] = loaded
            return loaded
        }
    }

    /// What holds from the next request on.
    ///
    /// - Parameter order: higher for what was committed later, and above 0; what comes late is left out.
    package func change(_ rules: [ToolRule], of tenant: TenantID, order: Int) {
        let changed = ToolRules(rules, version: order)
        tenants.withLock { tenants in
            if let known = tenants[tenant], known.version >= order { return }
            tenants[tenant] = changed
        }
    }
}
