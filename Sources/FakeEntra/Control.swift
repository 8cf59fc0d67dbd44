import Gateway

/// `/__fake/…`: what tests in other languages do instead of calling the class. No part of Entra.
extension Realm {
    mutating func control(_ incoming: FakeEntra.Incoming, _ segments: [String], at now: Timestamp) -> FakeEntra.Reply {
        // A page in a browser says where it comes from; programs do not.
        guard incoming["origin"] == nil, incoming["sec-fetch-site"] == nil else { return .text("This is not for web pages.", status: 403) }
        let body = incoming.body.isEmpty ? .object([:]) : FakeEntra.Value(parsing: incoming.body)
        guard let members = body?.members else { return .text("The body is a JSON object.", status: 400) }
        switch (incoming.method, segments.first) {
        case ("GET", "requests") where segments.count == 1: return .json(["requests": .array(log.records.map(\.value))])
        case ("POST", "trouble") where segments.count == 1:
            do throws(Misunderstood) { cause(try Self.trouble(members)) } catch { return .text(error.sentence, status: 400) }
            return .json([:])
        case ("POST", "rotate-keys") where segments.count == 1:
            guard let key = try? FakeEntra.SigningKey.generate() else { return .text("No key could be made.", status: 500) }
            keys.rotate(to: key, overlap: members["overlap"]?.bool ?? true)
            return .json(["kid": .string(key.id)])
        case ("POST", "users") where segments.count == 2:
            do throws(Misunderstood) { return try changeUser(segments[1], members, at: now) } catch { return .text(error.sentence, status: 400) }
        default: return .text("Here are trouble, rotate-keys, users/{name} and requests.", status: 404)
        }
    }

    private struct Misunderstood: Error {
        let sentence: String
        init(_ sentence: String) { self.sentence = sentence }
    }

    private static func trouble(_ members: [String: FakeEntra.Value]) throws(Misunderstood) -> FakeEntra.Trouble {
        let name = members["endpoint"]?.string ?? "any"
        guard let endpoint = FakeEntra.Trouble.Endpoint(rawValue: name) else {
            throw Misunderstood("\"endpoint\" is one of \(FakeEntra.Trouble.Endpoint.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        let times = members["times"]?.integer ?? 1
        guard (1...1_000_000).contains(times) else { throw Misunderstood("\"times\" is a whole number from 1 to 1000000.") }
        let effects = ["error", "status", "delay_ms", "drop", "id_token"].filter { members[$0] != nil }
        guard effects.count == 1, let value = members[effects[0]] else {
            throw Misunderstood("One of \"error\", \"status\", \"delay_ms\", \"drop\" and \"id_token\" says what goes wrong.")
        }
        return FakeEntra.Trouble(try effect(effects[0], value, retryAfter: members["retry_after"]?.integer), at: endpoint, times: Int(times))
    }

    private static func effect(_ name: String, _ value: FakeEntra.Value, retryAfter: Int64?) throws(Misunderstood) -> FakeEntra.Trouble.Effect {
        switch name {
        case "error":
            guard let text = value.string, text.hasPrefix("AADSTS"), let code = Int(text.dropFirst(6)).flatMap({ FakeEntra.ErrorCode(rawValue: $0) })
            else {
                let known = FakeEntra.ErrorCode.allCases.map { "AADSTS\($0.rawValue)" }.joined(separator: ", ")
                throw Misunderstood("\"error\" is one of \(known).")
            }
            return .error(code)
        case "status":
            guard let status = value.integer, (400...599).contains(status) else { throw Misunderstood("\"status\" is a number from 400 to 599.") }
            return .status(Int(status), retryAfter: retryAfter.map { .seconds(max(0, min($0, 86_400))) })
        case "delay_ms":
            guard let milliseconds = value.integer, (0...60_000).contains(milliseconds) else {
                throw Misunderstood("\"delay_ms\" is a number from 0 to 60000.")
            }
            return .delay(.milliseconds(milliseconds))
        case "drop":
            switch value.string {
            case "request": return .loseRequest
            case "reply": return .loseReply
            default: throw Misunderstood("\"drop\" is \"request\" (nothing is done) or \"reply\" (it is done, and not answered).")
            }
        default:
            guard let claims = value.members else { throw Misunderstood("\"id_token\" is an object of claims; null takes one away.") }
            return .idToken(claims)
        }
    }

    private mutating func changeUser(_ name: String, _ members: [String: FakeEntra.Value], at now: Timestamp) throws(Misunderstood) -> FakeEntra.Reply
    {
        let known: Set = ["disabled", "roles", "groups", "revoked"]
        guard known.isSuperset(of: members.keys) else { throw Misunderstood("A user has \(known.sorted().joined(separator: ", ")).") }
        guard members["roles"].map({ $0.strings != nil }) ?? true, members["groups"].map({ $0.strings != nil }) ?? true else {
            throw Misunderstood("\"roles\" and \"groups\" are lists of strings.")
        }
        let isKnown = change(name) { user in
            if let isDisabled = members["disabled"]?.bool { user.isDisabled = isDisabled }
            if let roles = members["roles"]?.strings { user.roles = Array(roles.prefix(100)) }
            if let groups = members["groups"]?.strings { user.groups = Array(groups.prefix(10_000)) }
            // What was issued in this very microsecond goes too.
            if members["revoked"]?.bool == true { user.tokensValidFrom = now.advanced(by: .microseconds(1)) }
        }
        return isKnown ? .json([:]) : .text("There is no user “\(name.cut(64))”.", status: 404)
    }
}
