import FoundationEssentials
import Gateway

extension EntraProbe {
    private struct Metadata: Decodable {
        let issuer: String
        let jwks_uri: String
        let token_endpoint: String
        let authorization_endpoint: String
    }

    func metadataCheck(_ tenant: EntraTenant) async -> Check {
        let subject = "metadata"
        guard let endpoint = tenant.metadata else { return Check(finding: EntraFinding(.unchecked, subject, "There is no URL for it.")) }
        let reply = await ask(FetchRequest(.get, endpoint, headers: [("accept", "application/json")], deadline: deadline))
        let body: [UInt8]
        switch outcome(of: reply, from: endpoint, subject) {
        case .failed(let finding): return Check(finding: finding, reply: reply)
        case .good(let bytes): body = bytes
        }
        guard let metadata = try? JSONDecoder().decode(Metadata.self, from: Data(body)) else {
            let sentence = "\(endpoint.host) answered, but not with an issuer's metadata: something in between may have answered in its place."
            return Check(finding: EntraFinding(.error, subject, sentence, .command("curl -s \(endpoint)")), reply: reply)
        }
        let finding = issuerFinding(metadata.issuer, of: tenant)
        let endpoints = [metadata.jwks_uri, metadata.token_endpoint, metadata.authorization_endpoint].map { Endpoint($0) }
        guard endpoints.allSatisfy({ $0.map { isOf(tenant, $0) } ?? false }) else {
            let sentence = "The metadata names endpoints on other hosts than \(tenant.authority); they were not followed."
            return Check(finding: finding.level == .error ? finding : EntraFinding(.error, subject, sentence), reply: reply)
        }
        return Check(finding: finding, reply: reply, keys: endpoints[0])
    }

    private func issuerFinding(_ issuer: String, of tenant: EntraTenant) -> EntraFinding {
        let subject = "metadata"
        let name = tenant.name.lowercased()
        let id: String?
        switch name {
        case "common", "organizations": id = "{tenantid}"
        case "consumers": id = EntraSettings.personalTenant
        default: id = GUID.isOne(name) ? name : GUID.first(in: issuer)
        }
        guard let id, issuer == tenant.issuer(of: id) else {
            let shown = GUID.first(in: issuer).map { " It is of the tenant \($0)." } ?? ""
            let wanted = id.map { " “\(tenant.issuer(of: $0))” was expected." } ?? ""
            let sentence = "The issuer in the metadata is not that of this tenant at this authority.\(wanted)\(shown)"
            return EntraFinding(.error, subject, sentence, .setting("\(EntraSettings.Name.authority)=\(EntraSettings.defaultAuthority)"))
        }
        let isName = id != name && id != "{tenantid}"
        return EntraFinding(.ok, subject, isName ? "Reachable, and \(tenant.name) is the tenant \(id)." : "Reachable, and its issuer is right.")
    }

    /// Whether an endpoint is where the authority is, or where its cloud's sign-in is.
    private func isOf(_ tenant: EntraTenant, _ endpoint: Endpoint) -> Bool {
        endpoint.origin == tenant.authority || endpoint.origin.description == tenant.cloud.map { "https://\($0.loginHost)" }
    }

    private struct KeySet: Decodable {
        struct Key: Decodable {
            let kty: String
            let kid: String?
            let use: String?
            let n: String?
            let e: String?

            /// RS256 is what Entra ID signs with; below 2048 bits nobody should believe it.
            var isUsable: Bool {
                guard kty == "RSA", use ?? "sig" == "sig", let kid, (1...128).contains(kid.utf8.count), let n, let e, !e.isEmpty else { return false }
                return (Base64URL.decode(n[...])?.drop { $0 == 0 }.count ?? 0) >= 256
            }
        }

        let keys: [Key]
    }

    /// - Parameter named: where the metadata says they are; without it they are looked for where they usually are.
    func keysCheck(_ tenant: EntraTenant, _ named: Endpoint?) async -> Check {
        let subject = "signing keys"
        guard let endpoint = named ?? tenant.keys else { return Check(finding: EntraFinding(.unchecked, subject, "There is no URL for them.")) }
        let reply = await ask(FetchRequest(.get, endpoint, headers: [("accept", "application/json")], deadline: deadline))
        switch outcome(of: reply, from: endpoint, subject) {
        case .failed(let finding): return Check(finding: finding, reply: reply)
        case .good(let body):
            guard let set = try? JSONDecoder().decode(KeySet.self, from: Data(body)) else {
                return Check(
                    finding: EntraFinding(.error, subject, "\(endpoint.host) answered, but not with keys.", .command("curl -s \(endpoint)")),
                    reply: reply)
            }
            let usable = set.keys.count { $0.isUsable }
            guard usable > 0 else {
                return Check(
                    finding: EntraFinding(.error, subject, "None of the \(set.keys.count) keys is an RSA key of 2048 bits or more with an id."),
                    reply: reply)
            }
            return Check(finding: EntraFinding(.ok, subject, usable == 1 ? "One usable key." : "\(usable) usable keys."), reply: reply)
        }
    }

    private struct TokenAnswer: Decodable {
        let access_token: String
    }

    /// Who is refused for want of a role was believed to be who they are.
    private static let codesBehindTheSecret = [501_051]

    func credentialsCheck(_ tenant: EntraTenant) async -> Check {
        let subject = "credentials"
        func unchecked(_ reason: String) -> Check { Check(finding: EntraFinding(.unchecked, subject, reason)) }
        guard let secret = settings.clientSecret, let clientID = settings.clientID else {
            return unchecked("Client id or secret is missing, so they were not tried.")
        }
        guard settings.authorityFinding.level != .error else { return unchecked("The authority is not right, so the secret was not sent there.") }
        let single = settings.isForManyTenants ? settings.allowedTenants.first { GUID.isOne($0) } : tenant.name
        guard let single, let endpoint = EntraTenant(single, at: tenant.authority.description)?.token else {
            return unchecked("An application signs in to one tenant, and none is named: \(EntraSettings.Name.allowedTenants) is empty.")
        }
        // Of Microsoft Graph, for it needs no role; where there is none, a token for oneself.
        let scope = "\(tenant.cloud?.graph ?? clientID)/.default"
        let body = Self.form([
            ("grant_type", "client_credentials"), ("client_id", clientID), ("client_secret", secret.revealed), ("scope", scope),
        ])
        let headers = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")]
        let reply = await ask(FetchRequest(.post, endpoint, headers: headers, body: body, deadline: deadline))
        switch outcome(of: reply, from: endpoint, subject) {
        case .failed(let finding): return Check(finding: finding, reply: reply)
        case .good(let body):
            guard (try? JSONDecoder().decode(TokenAnswer.self, from: Data(body)))?.access_token.isEmpty == false else {
                return Check(finding: EntraFinding(.error, subject, "\(endpoint.host) answered, but not with a token."), reply: reply)
            }
            return Check(finding: Self.accepted, reply: reply)
        }
    }

    private static let accepted = EntraFinding(
        .ok, "credentials", "Entra ID believed the client id and the secret. (When the secret expires it does not say.)")

    /// `application/x-www-form-urlencoded`.
    private static func form(_ fields: [(name: String, value: String)]) -> [UInt8] {
        fields.map { $0.name + "=" + encoded($0.value) }.joined(separator: "&").utf8.map { $0 }
    }

    /// Everything but letters, digits, `-`, `.` and `_` as `%XX`.
    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let isPlain = (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || "-._".utf8.contains(byte)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
    }

    private enum Outcome {
        case good([UInt8])
        case failed(EntraFinding)
    }

    private struct Complaint: Decodable {
        let error_description: String
    }

    private func outcome(of reply: Reply, from endpoint: Endpoint, _ subject: String) -> Outcome {
        switch reply.result {
        case .failure(let failure):
            let step = EntraFinding.Step.command("curl -sS -o /dev/null -w '%{http_code}\\n' https://\(endpoint.authority)")
            return .failed(EntraFinding(.error, subject, Self.sentence(failure, endpoint.host), step))
        case .success(let answer):
            if answer.status == 200 { return .good(answer.body) }
            let complaint = (try? JSONDecoder().decode(Complaint.self, from: Data(answer.body)))?.error_description ?? ""
            let errors = AADSTS.all(in: complaint)
            if errors.contains(where: { Self.codesBehindTheSecret.contains($0.code) }) { return .failed(Self.accepted) }
            // The general one comes first; the cause is the last that is known.
            guard let error = errors.last(where: \.isKnown) ?? errors.last else {
                let sentence =
                    "\(endpoint.host) answered \(answer.status) without a code of Entra ID: something in between may have answered in its place."
                return .failed(EntraFinding(answer.status >= 500 ? .warning : .error, subject, sentence))
            }
            let level = error.mover == .nobody ? EntraFinding.Level.warning : .error
            return .failed(EntraFinding(level, subject, "\(error.cause) (\(error.name))", error.steps(for: settings)))
        }
    }

    private static func sentence(_ failure: FetchFailure, _ host: String) -> String {
        switch failure {
        case .unreachable(let reason): "\(host) cannot be reached: \(reason.withoutControls.cut(200))"
        case .lost(let reason): "The connection to \(host) broke off: \(reason.withoutControls.cut(200))"
        case .tooLarge: "\(host) answered with more than was to be expected."
        case .timedOut(let deadline): "\(host) did not answer within \(deadline.components.seconds) seconds."
        }
    }

    /// Compares the first `Date` that was answered with the time between asking and hearing.
    func clockFinding(_ replies: [Reply]) -> EntraFinding {
        let subject = "clock"
        let dated = replies.lazy.compactMap { reply -> (date: Timestamp, reply: Reply)? in
            guard case .success(let answer) = reply.result, let date = answer["date"].flatMap({ Timestamp(httpDate: $0) }) else { return nil }
            return (date, reply)
        }.first
        guard let dated else { return EntraFinding(.unchecked, subject, "No answer bore a date to compare with.") }
        // The header has whole seconds, so it may be up to one second later there than it says.
        let ahead = dated.reply.sent.microseconds - (dated.date.microseconds + 1_000_000)
        let behind = dated.date.microseconds - dated.reply.received.microseconds
        let skew = Duration.microseconds(max(ahead, behind, 0))
        guard skew > Self.noticeableSkew else { return EntraFinding(.ok, subject, "Within 30 seconds of Entra ID's.") }
        let side = ahead > behind ? "ahead of" : "behind"
        let sentence = "This machine is \(skew.components.seconds) seconds \(side) Entra ID."
        let meaning = skew > Self.largestSkew ? " Tokens are refused." : " Tokens are refused from 300 seconds on."
        return EntraFinding(skew > Self.largestSkew ? .error : .warning, subject, sentence + meaning, .command("timedatectl status"))
    }

    var redirectFinding: EntraFinding {
        EntraFinding(
            .unchecked, "registration", "Whether \(settings.callbackURL) is registered shows only when somebody signs in; compare it with the list.",
            .portal(EntraPortal.registration("Authentication > Web > Redirect URIs")),
            .command("az ad app show --id \(settings.shownClientID) --query web.redirectUris -o tsv"))
    }
}
