import Gateway

/// As much of Microsoft Graph as it takes to learn a user's groups.
extension Realm {
    /// Why Graph does not answer, in its own form.
    private struct Refusal: Error {
        let status: Int
        let code: String
        let sentence: String

        static let badToken = Self(
            status: 401, code: "InvalidAuthenticationToken", sentence: "The access token is missing, expired, or for somebody else.")
        static let denied = Self(status: 403, code: "Authorization_RequestDenied", sentence: "The token lacks the permissions for this.")
        static func notFound(_ what: String) -> Self {
            Self(status: 404, code: "Request_ResourceNotFound", sentence: "'\(what.cut(64))' does not exist.")
        }
        static func bad(_ sentence: String) -> Self { Self(status: 400, code: "BadRequest", sentence: sentence) }

        func reply(_ trace: Failure.Trace) -> FakeEntra.Reply {
            let inner: FakeEntra.Value = [
                "date": .string(String(trace.at.rfc3339.prefix(19))), "request-id": .string(trace.id),
                "client-request-id": .string(trace.correlation),
            ]
            let headers = status == 401 ? [(name: "www-authenticate", value: "Bearer")] : []
            return .json(
                ["error": ["code": .string(code), "message": .string(sentence), "innerError": inner]], status: status,
                headers: headers + FakeEntra.Reply.uncached)
        }
    }

    /// Pages of `transitiveMemberOf` where nothing else is asked for, and at most.
    private static let page = 100
    private static let largestPage = 999
    private static let readers: Set<String> = ["User.Read.All", "Directory.Read.All", "GroupMember.Read.All", "Group.Read.All"]

    func graph(_ incoming: FakeEntra.Incoming, _ segments: [String], _ trace: Failure.Trace, trouble: Failure?) -> FakeEntra.Reply {
        do throws(Refusal) {
            if trouble != nil { throw .badToken }
            let claims = try bearer(incoming, at: trace.at)
            guard segments.first == "v1.0" else { throw .notFound(segments.first ?? "") }
            let rest = Array(segments.dropFirst())
            let user: FakeEntra.Directory.User
            let action: [String]
            if rest.first == "me" {
                user = try me(claims)
                action = Array(rest.dropFirst())
            } else if rest.count >= 2, rest[0] == "users" {
                guard
                    let found = directory.users.first(where: {
                        ($0.id == rest[1] || $0.principalName == rest[1]) && $0.tenant == claims["tid"]?.string
                    })
                else { throw .notFound(rest[1]) }
                user = found
                action = Array(rest.dropFirst(2))
                let isOneself = claims["scp"] != nil && claims["oid"]?.string == user.id
                guard isOneself || !permissions(claims).isDisjoint(with: Self.readers) else { throw .denied }
            } else {
                throw .notFound(rest.first ?? "")
            }
            switch (incoming.method, action) {
            case ("GET", []): return .json(profile(user))
            case ("GET", ["transitiveMemberOf"]), ("GET", ["memberOf"]): return try groups(of: user, incoming)
            case ("POST", ["getMemberObjects"]), ("POST", ["getMemberGroups"]):
                guard FakeEntra.Value(parsing: incoming.body)?["securityEnabledOnly"]?.bool != nil else {
                    throw .bad("The body is {\"securityEnabledOnly\": true} or false.")
                }
                return .json(["@odata.context": .string("\(graph)/$metadata#Collection(Edm.String)"), "value": .strings(user.groups)])
            default: throw .notFound(action.first ?? "")
            }
        } catch {
            return error.reply(trace)
        }
    }

    /// OpenID Connect Core, section 5.3.
    func userInfo(_ incoming: FakeEntra.Incoming, _ trace: Failure.Trace) -> FakeEntra.Reply {
        do throws(Refusal) {
            let claims = try bearer(incoming, at: trace.at)
            let user = try me(claims)
            return .json([
                "sub": claims["sub"] ?? .null, "name": .string(user.displayName), "email": user.mail.map { .string($0) } ?? .null,
                "picture": "https://graph.microsoft.com/v1.0/me/photo/$value",
            ])
        } catch {
            return error.reply(trace)
        }
    }

    private func bearer(_ incoming: FakeEntra.Incoming, at now: Timestamp) throws(Refusal) -> [String: FakeEntra.Value] {
        guard let header = incoming["authorization"], header.lowercased().hasPrefix("bearer "),
            let claims = keys.claims(of: String(header.dropFirst(7))),
            let expiry = claims["exp"]?.integer, now.seconds < expiry, claims["aud"]?.string == FakeEntra.Directory.graph.appIDURI
        else { throw .badToken }
        return claims
    }

    private func permissions(_ claims: [String: FakeEntra.Value]) -> Set<String> {
        Set((claims["scp"]?.string ?? "").split(separator: " ").map(String.init) + (claims["scp"] == nil ? claims["roles"]?.strings ?? [] : []))
    }

    private func me(_ claims: [String: FakeEntra.Value]) throws(Refusal) -> FakeEntra.Directory.User {
        guard claims["scp"] != nil, let id = claims["oid"]?.string else { throw .bad("/me needs a token for a user.") }
        guard let user = directory.user(id), !user.isDisabled else { throw .badToken }
        return user
    }

    private func profile(_ user: FakeEntra.Directory.User) -> FakeEntra.Value {
        [
            "@odata.context": .string("\(graph)/$metadata#users/$entity"), "id": .string(user.id), "displayName": .string(user.displayName),
            "userPrincipalName": .string(user.principalName), "mail": user.mail.map { .string($0) } ?? .null,
        ]
    }

    private func groups(of user: FakeEntra.Directory.User, _ incoming: FakeEntra.Incoming) throws(Refusal) -> FakeEntra.Reply {
        let parameters = Parameters(incoming.query)
        guard let top = parameters["$top"].map({ Int($0) }) ?? Self.page, (1...Self.largestPage).contains(top) else {
            throw .bad("$top is a number from 1 to \(Self.largestPage).")
        }
        guard let start = parameters["$skiptoken"].map({ Int($0) }) ?? 0, (0...user.groups.count).contains(start) else {
            throw .bad("$skiptoken is not one of ours.")
        }
        let end = min(start + top, user.groups.count)
        let groups = user.groups[start..<end].map { id -> FakeEntra.Value in
            [
                "@odata.type": "#microsoft.graph.group", "id": .string(id), "securityEnabled": true, "mailEnabled": false,
                "displayName": directory.groups.first { $0.id == id }.map { .string($0.name) } ?? .null,
            ]
        }
        var members: [String: FakeEntra.Value] = ["@odata.context": .string("\(graph)/$metadata#directoryObjects"), "value": .array(groups)]
        if end < user.groups.count {
            let path = incoming.path.split(separator: "/").drop { $0 != "v1.0" }.dropFirst().joined(separator: "/")
            members["@odata.nextLink"] = .string("\(graph)/\(path)?$top=\(top)&$skiptoken=\(end)")
        }
        return .json(.object(members))
    }
}
