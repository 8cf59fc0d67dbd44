import Access
import Audit
import Gateway
import Hummingbird
import MCP

/// `/api/v1/servers/{id}/tools` and `/approve`: what a server's tools were approved as, and what they are.
extension ServersAPI {
    func addToolRoutes(to servers: RouterGroup<GatewayContext>) {
        servers.get(":id/tools") { request, context in
            try await signedIn(request, context, action: "tool.list") { principal in
                let server = try await find(context, principal)
                try policy.requireToolsRead(server, by: principal)
                let query = request.uri.queryParameters
                let wish = try ToolsDesk.Wish { name in query[Substring(name)].map { String($0) } }
                let listed = try await tools.list(wish, of: server)
                if server.tenant != principal.tenant { try await signedIn.audit.recordDurably(record(context, principal, "tool.list", server)) }
                return .json(listed)
            }
        }
        servers.post(":id/approve") { request, context in
            try await signedIn(request, context, action: "tool.approve") { principal in
                let server = try await find(context, principal)
                try policy.requireWrite(server, by: principal)
                let approval = try ToolsDesk.approval(try Members(try await request.wholeBody(), known: ToolsDesk.names))
                return .json(try await tools.approve(approval, of: server, audit: record(context, principal, "tool.approve", server)))
            }
        }
    }
}

extension ControlAPI {
    func addToolRoutes(to router: Router<GatewayContext>) {
        router.get("/servers/:alias/tools") { request, context in
            try await answering(context) {
                let query = request.uri.queryParameters
                let user = try await operatorUser(query["tenant"].map { String($0) }, context)
                let wish = try ToolsDesk.Wish { name in query[Substring(name)].map { String($0) } }
                return .json(try await tools.list(wish, of: try await named(context, user)))
            }
        }
        router.post("/servers/:alias/approve") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ToolsDesk.names.union(["tenant"]))
                let user = try await operatorUser(try members.string("tenant"), context)
                let server = try await named(context, user)
                let approval = try ToolsDesk.approval(members)
                return .json(
                    try await tools.approve(approval, of: server, audit: record(context, user, "tool.approve", server.alias.description)))
            }
        }
    }

    private func named(_ context: GatewayContext, _ user: User) async throws -> ServerRecord {
        let text = context.parameters.get("alias") ?? ""
        guard let alias = ServerAlias(text), let server = try await registry.named(alias, user.tenant) else {
            throw Refusal.notFound("server “\(text.cut(32))”")
        }
        return server
    }
}
