import Audit
import Forwarding
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import Pacing

/// The way into every administrative request: who is asking is found out first, and what is refused is recorded.
struct SignedIn: Sendable {
    let authenticator: Authenticator
    let admission: Admission
    let audit: AuditTrail
    let sessions: SessionTable
    let origin: @Sendable () -> Origin
    let now: @Sendable () -> Moment

    /// Runs the body for a signed-in caller, and turns a refusal into its answer.
    ///
    /// - Parameter action: what the record calls the request.
    func callAsFunction(
        _ request: Request, _ context: GatewayContext, action: String, _ body: (Principal) async throws -> Response
    ) async throws -> Response {
        var principal: Principal?
        do {
            let authorization = request.headers[values: .authorization]
            let wall = now().wall
            let known = try authenticator.recognize(authorization, for: .api, at: wall)
            let found = if let known { known } else { try await authenticator.verify(authorization, for: .api, at: wall) }
            principal = found
            let budgets = try admit(found)
            var response = try await body(found)
            response.headers.tell(budgets)
            sessions.note(found, client: request.headers[.userAgent], era: "modern", action: action, target: "", isError: false, at: wall)
            return response
        } catch {
            guard let (original, details) = DetailedRefusal.found(in: error) else { throw error }
            let refusal = refused(original, principal, context)
            var headers: HTTPFields = [:]
            switch refusal {
            case .unauthenticated, .forbidden, .insufficientScope:
                headers[.wwwAuthenticate] = Challenge(refusal, for: .api, wanting: Self.scopes(request), at: origin()).description
            default: break
            }
            let record = AuditRecord(
                requestID: context.requestID, at: now().wall, user: principal?.user, tenant: principal?.tenant, action: action,
                target: String(request.uri.path.cut(128)), outcome: .refused, reason: refusal.reason, status: refusal.httpStatus.code,
                address: context.address)
            do throws(Refusal) { try await audit.record(record) } catch { return .problem(error, requestID: context.requestID) }
            return .problem(refusal, requestID: context.requestID, headers: headers, details: details)
        }
    }

    /// What a request under `/api` takes, so that who signs in for it need not sign in twice.
    private static func scopes(_ request: Request) -> Scopes {
        let path = request.uri.path
        if path.hasPrefix("/api/v1/admin/") { return .administer }
        if path.hasPrefix("/api/v1/keys") || path.hasPrefix("/api/v1/connections") { return .account }
        return request.method == .get ? .readRegistry : [.readRegistry, .writeRegistry]
    }

    private func admit(_ principal: Principal) throws(Refusal) -> [Budget] {
        do { return try admission.admit(principal, at: now()) } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw .overloaded("The gateway cannot count requests at the moment, so it does not answer them.")
        }
    }

    /// Who shows no valid token pays from their address's bucket, and hears of that when it is empty.
    func payAsStranger(_ context: GatewayContext) throws(Refusal) {
        do { try admission.admitStranger(at: context.client, now()) } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw .overloaded("The gateway cannot count requests at the moment, so it does not answer them.")
        }
    }

    /// Finds out who is to blame, and what is to be answered.
    private func refused(_ refusal: Refusal, _ principal: Principal?, _ context: GatewayContext) -> Refusal {
        guard case .unauthenticated(let reason) = refusal else {
            context.conduct.blame = principal.map { .account($0.user) } ?? .nobody
            return refusal
        }
        context.conduct.blame = refusal.isForgery ? .address : .nobody
        do throws(Refusal) { try payAsStranger(context) } catch {
            if reason == .missing { context.conduct.blame = .address }
            return error
        }
        return refusal
    }

    /// A row for what is about to be done, to go into the same transaction.
    func record(_ context: GatewayContext, _ principal: Principal, action: String, target: String, status: HTTPResponse.Status = .ok) -> AuditRecord {
        AuditRecord(
            requestID: context.requestID, at: now().wall, user: principal.user, tenant: principal.tenant, action: action, target: target,
            outcome: .ok, status: status.code, address: context.address)
    }
}
