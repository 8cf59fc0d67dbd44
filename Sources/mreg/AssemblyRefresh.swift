import Access
import FoundationEssentials
import Gateway
import Identity
import Logging
import OAuth
import Pacing
import Serving
import Storage
import Synchronization

/// The background refresh of the issuer's tokens, put together: the issuer, the vault and the record as its doors.
extension Assembly {
    /// - Parameter signOut: ends everything of a user whom the issuer will not vouch for any more.
    static func refresher(
        _ settings: Settings, _ vault: TokenVault, _ database: Storage.Database, _ issuer: SharedIssuer, roles: RoleMap,
        signOut: @escaping @Sendable (UserID, AuditRecord) async throws -> Void, onRoleChange: @escaping @Sendable (UserID) -> Void,
        _ logger: Logger, _ now: @escaping @Sendable () -> Moment
    ) -> TokenRefresher {
        /// The attempts that were begun and have not ended, by the refresher's own name for them.
        let attempts = Mutex<[UInt64: RefreshAttempt]>([:])
        @Sendable func take(_ intent: RefreshIntent) -> RefreshAttempt? { attempts.withLock { $0.removeValue(forKey: intent.id) } }
        @Sendable func record(_ action: String, _ user: UserID) -> AuditRecord {
            AuditRecord(requestID: .random(), at: now().wall, user: user, action: action, address: "schedule")
        }
        @Sendable func named(_ audit: AuditRecord) async throws -> AuditRecord {
            var audit = audit
            if let id = audit.user, let user = try await database.user(id) { (audit.tenant, audit.target) = (user.tenant, user.name) }
            return audit
        }

        let refresh = settings.refresh
        return TokenRefresher(
            schedule: RefreshSchedule(
                proactive: refresh.proactive, margin: refresh.margin, pauses: refresh.retryIntervals, mostRetries: refresh.maximumRetries),
            isBackground: refresh.isEnabled,
            doors: RefreshDoors(
                refresh: { user, tokens throws(RefreshFailure) in
                    guard let token = tokens.refreshToken else { throw .refused(code: "invalid_grant") }
                    let known: Issuer
                    let subject: String?
                    do { (known, subject) = (try await issuer.value(), try await database.subject(of: user)) } catch { throw .later(nil) }
                    do throws(IssuerFailure) {
                        guard let subject else { return try await known.refresh(token, scope: tokens.scope) }
                        let (fresh, outcome) = try await known.refresh(token, scope: tokens.scope, of: subject)
                        // Roles are looked at anew each time; the tokens are good whatever comes of it.
                        if case .success(let identity?) = outcome {
                            await reconsider(user, identity, known, roles, database, logger, record("user.role", user), signOut, onRoleChange)
                        } else if case .failure(let failure) = outcome, case .token = failure.kind {
                            throw failure
                        }
                        return fresh
                    } catch {
                        logger.notice("the issuer gave no new tokens", metadata: ["user.id": "\(user.rawValue)", "reason": "\(error.sentence)"])
                        throw RefreshFailure(error)
                    }
                },
                load: { try vault.heldTokens(of: $0, at: now().wall) },
                begin: { user, intent in
                    guard let attempt = try vault.beginRefresh(of: user, at: intent.at) else { return nil }
                    attempts.withLock { $0[intent.id] = attempt }
                    return try vault.heldTokens(of: user, at: now().wall)
                },
                finish: { _, tokens, intent in
                    guard let attempt = take(intent) else { return false }
                    do { return try vault.finishRefresh(attempt, with: tokens) } catch {
                        // It is tried again, with the same tokens.
                        attempts.withLock { $0[intent.id] = attempt }
                        throw error
                    }
                },
                forget: { user, intent in
                    guard let attempt = take(intent), try vault.refuseRefresh(attempt) else { return false }
                    try vault.forget(user)
                    try await signOut(user, try await named(record("user.sign_out", user)))
                    return true
                },
                all: { after, count in
                    let open = Set(try vault.openRefreshes().map(\.user))
                    var (start, found): (UserID?, [StoredTokens]) = (after, [])
                    repeat {
                        let page = try vault.metadataOfAll(from: start, limit: count, at: now().wall)
                        for spoiled in page.spoiled { logger.warning("stored tokens cannot be read", metadata: ["reason": "\(spoiled)"]) }
                        found += page.holders.map { holder in
                            StoredTokens(
                                user: holder.user, issuer: holder.metadata?.issuer ?? "", obtainedAt: holder.obtainedAt,
                                expiresAt: holder.metadata?.expiresAt ?? now().wall, canRefresh: holder.hasRefreshToken,
                                hasOpenIntent: open.contains(holder.user))
                        }
                        start = page.next
                    } while found.isEmpty && start != nil
                    return found
                },
                record: { try await database.append([try await named($0)]) }),
            clock: .system(now: now), logger: logger)
    }

    /// What somebody may do is what their issuer says today.
    private static func reconsider(
        _ user: UserID, _ identity: ExternalIdentity, _ issuer: Issuer, _ roles: RoleMap, _ database: Storage.Database, _ logger: Logger,
        _ audit: AuditRecord, _ signOut: @Sendable (UserID, AuditRecord) async throws -> Void, _ onRoleChange: @Sendable (UserID) -> Void
    ) async {
        do {
            let person = try await SignInIssuer.person(identity, nil, issuer, roles, ControlAPI.defaultTenant, logger)
            if try await database.reviseRole(person.role, of: user, audit: audit) { onRoleChange(user) }
        } catch is Refusal {
            // No role is left: out, unless the operator gave one.
            var audit = audit
            audit.action = "user.sign_out"
            do {
                guard try await database.hasRoleOfIssuer(user) else { return }
                try await signOut(user, audit)
            } catch {
                logger.error("somebody without a role could not be signed out", metadata: ["user.id": "\(user.rawValue)", "error": "\(error)"])
            }
        } catch {
            logger.error("a role could not be looked at anew", metadata: ["user.id": "\(user.rawValue)", "error": "\(error)"])
        }
    }
}

extension RefreshFailure {
    init(_ failure: IssuerFailure) {
        self =
            switch failure.kind {
            case .grantOver: .refused(code: "invalid_grant")
            case .interactionRequired: .refused(code: "interaction_required")
            case .later(let wait): .later(wait)
            case .configuration: .refused(code: "invalid_client")
            case .token, .mixUp: .refused(code: "invalid_grant")
            }
    }
}
