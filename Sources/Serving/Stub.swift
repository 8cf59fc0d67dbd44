import Access
import Hummingbird
struct AdminAPI: Sendable {
    let queries: AdminQueries
    let policy: Policy
    let signedIn: SignedIn
    func addRoutes(to router: Router<GatewayContext>) {}
}
