import Audit
import Forwarding
package import Gateway
import Hummingbird
import Identity
import MCP

/// `POST /oauth/login`: a token for the asking. Exists in evaluation mode only; elsewhere the path is unknown.
package struct EvaluationLogin: Sendable {
    /// Finds the user of that name, or makes one.
    package var user: @Sendable (String, AuditRecord) async throws -> User

    package init(user: @escaping @Sendable (String, AuditRecord) async throws -> User) { self.user = user }

    func addRoutes(to router: Router<GatewayContext>, _ signedIn: SignedIn) {
        router.post("/oauth/login") { request, context in
            do {
                try signedIn.payAsStranger(context)
                let members = try Members(try await request.wholeBody(), known: ["user_id"])
                guard let name = try members.string("user_id") else { throw Refusal.invalid("“user_id” is missing: the name to sign in with.") }
                guard name != "operator" else { throw Refusal.forbidden(needs: "another name: the operator of this host signs in nowhere") }
                var record = AuditRecord(
                    requestID: context.requestID, at: signedIn.now().wall, action: "user.create", target: name, address: context.address)
                let user = try await user(name, record)
                let token = try await signedIn.authenticator.issue(to: user, for: Resource.allCases, session: .random(), at: signedIn.now().wall)
                record.action = "user.sign_in"
                record.user = user.id
                record.tenant = user.tenant
                try await signedIn.audit.recordDurably(record)
                return Response.json([
                    "access_token": .string(token.revealed), "token_type": "Bearer", "expires_in": .number(Authenticator.lifetime.components.seconds),
                ])
            } catch let refusal as Refusal {
                return .problem(refusal, requestID: context.requestID)
            }
        }
    }
}
