import Access
import Audit
import Gateway
import Hummingbird
import Identity
import MCP
import Reports

/// `/api/v1/admin`: how the issuer's tokens are kept fresh, and doing it now.
struct RefreshAPI: Sendable {
    let refresher: TokenRefresher
    let queries: AdminQueries
    let policy: Policy
    let signedIn: SignedIn

    func addRoutes(to router: Router<GatewayContext>) {
        let admin = router.group("/api/v1/admin")
        admin.get("token-refresh-analytics") { request, context in
            try await signedIn(request, context, action: "report.token_refresh_analytics") { principal in
                try policy.require(.readReports, of: principal)
                return .json(Self.written(refresher.report()))
            }
        }
        admin.post("force-token-refresh/:user") { request, context in
            try await signedIn(request, context, action: "token.force_refresh") { principal in
                try policy.require(.managePeople, of: principal)
                let asked = try await Asked(request, context, principal, known: ["tenant"], queries, signedIn.now().wall)
                let user = try await queries.user(context.parameters.get("user"), in: asked.tenant ?? principal.tenant)
                try await signedIn.audit.recordDurably(
                    signedIn.record(context, principal, action: "token.force_refresh", target: user.name))
                return .json(Self.written(await refresher.force(user.id), of: user))
            }
        }
    }

    private static func written(_ outcome: ForcedRefresh, of user: User) -> JSONText {
        let (result, detail): (String, JSONText) =
            switch outcome {
            case .renewed(let end): ("renewed", .string(end.rfc3339))
            case .failed(.signInAgain): ("sign_in_again", "There is no refresh token that the issuer takes: the user has to sign in again.")
            case .failed(.later(let wait)): ("later", .string("The issuer asked to be left alone; try again in \(wait.roundedUpSeconds) s."))
            case .failed(.timedOut): ("under_way", "It takes longer than ten seconds, and goes on.")
            case .failed(.busy): ("later", "Too many wait already; try again in a moment.")
            case .failed(.stopping): ("later", "The gateway is stopping.")
            case .storeFailed: ("failed", "The new tokens could not be kept; the gateway's log says why.")
            }
        return ["user": .string(user.name), "outcome": .string(result), result == "renewed" ? "expires_at" : "detail": detail]
    }

    private static func written(_ report: RefreshReport) -> JSONText {
        let (counts, standing) = (report.counts, report.standing)
        return .object(
            report.figures.map { ($0.name, AdminText.written($0)) } + [
                (
                    "counts",
                    [
                        "proactive": .number(counts.proactive), "emergency": .number(counts.emergency), "late": .number(counts.late),
                        "refused": .number(counts.refused), "given_up": .number(counts.givenUp), "retries": .number(counts.retries),
                    ]
                ),
                ("tokens", .number(standing.tokens)), ("given_up", .number(standing.givenUp)), ("in_flight", .number(standing.inFlight)),
                ("waiting", .number(standing.waiting)), ("unstored", .number(standing.unstored)),
                ("next_due", standing.nextDue.map { .string($0.rfc3339) } ?? .null),
                (
                    "issuers",
                    .array(
                        standing.issuers.map { issuer in
                            [
                                "issuer": .string(issuer.issuer), "in_flight": .number(issuer.inFlight),
                                "failures_in_row": .number(issuer.failuresInRow),
                                "closed_until": issuer.closedUntil.map { .string($0.rfc3339) } ?? .null,
                            ]
                        })
                ),
            ])
    }
}
