import Forwarding
import Serving
import Storage

extension Assembly {
    /// Rules about tools: what is committed holds with the next request.
    static func rulesDesk(_ database: Storage.Database, _ rules: RuleBook, _ catalogue: Catalogue) -> RulesDesk {
        RulesDesk(
            rules: { try await rules.rules(of: $0) },
            add: { statement, tenant, audit in
                let added = try await database.addToolRule(statement, of: tenant, audit: audit)
                rules.change(added.all, of: tenant, order: added.order)
                return added.rule
            },
            remove: { id, tenant, audit in
                let left = try await database.removeToolRule(id, of: tenant, audit: audit)
                rules.change(left.all, of: tenant, order: left.order)
            },
            tool: { catalogue.tool($0, of: $1) }, held: { catalogue.held($0, of: $1)?.tool })
    }
}
