import Gateway

extension FakeEntra {
    /// The errors the issuer knows, by the number behind `AADSTS`. (Entra's own list is longer and changes.)
    package enum ErrorCode: Int, CaseIterable, Sendable {
        case severalResources = 28000
        case scopeMissing = 28003
        case redirectUnknown = 50011
        case assertionInvalid = 50013
        case userOfAnotherTenant = 50020
        case userUnknown = 50034
        case userDisabled = 50057
        case nobodySignedIn = 50058
        case tenantNotNamed = 50059
        case secondFactorNeeded = 50076
        case userNotAssigned = 50105
        case verifierMissing = 50148
        case grantRevoked = 50173
        case applicationOfOneTenant = 50194
        case loop = 50196
        case codeRedeemed = 54005
        case consentMissing = 65001
        case consentDeclined = 65004
        case grantInvalid = 70000
        case grantTypeUnsupported = 70003
        case responseTypeUnsupported = 70005
        case codeExpired = 70008
        case scopeInvalid = 70011
        case tenantUnknown = 90002
        case tokenForItself = 90009
        case parameterInvalid = 90023
        case directoryUnavailable = 90033
        case resourceUnknown = 500011
        case redirectChanged = 500112
        case assertionOfAnother = 500131
        case assertionExpired = 500133
        case verifierWrong = 501481
        case scopeUnknown = 650053
        case applicationUnknown = 700016
        case clientIsPublic = 700025
        case refreshTokenExpired = 700082
        case parameterMissing = 900144
        case methodNotPOST = 900561
        case scopeNotDefault = 1_002_012
        case assertionWithoutUser = 7_000_114
        case secretWrong = 7_000_215
        case secretMissing = 7_000_218
        case secretExpired = 7_000_222
        case parameterRepeated = 9_000_411
        case requestMalformed = 9_002_313
        case resourceMismatch = 9_010_010

        /// `error` of the answer (RFC 6749, 4.1.2.1 and 5.2, and OpenID Connect Core, 3.1.2.6).
        package var oauthError: String {
            switch self {
            case .severalResources, .scopeInvalid, .scopeNotDefault: "invalid_scope"
            case .scopeMissing, .redirectUnknown, .tenantNotNamed, .tokenForItself, .parameterInvalid, .parameterMissing, .methodNotPOST,
                .parameterRepeated, .applicationOfOneTenant:
                "invalid_request"
            case .userOfAnotherTenant, .consentDeclined, .userNotAssigned: "access_denied"
            case .nobodySignedIn: "login_required"
            case .grantTypeUnsupported: "unsupported_grant_type"
            case .responseTypeUnsupported: "unsupported_response_type"
            case .tenantUnknown: "invalid_tenant"
            case .directoryUnavailable: "temporarily_unavailable"
            case .resourceUnknown: "invalid_resource"
            case .resourceMismatch: "invalid_target"
            case .redirectChanged, .scopeUnknown, .clientIsPublic, .secretWrong, .secretMissing, .secretExpired: "invalid_client"
            case .applicationUnknown: "unauthorized_client"
            case .assertionInvalid, .userUnknown, .userDisabled, .secondFactorNeeded, .verifierMissing, .grantRevoked, .loop, .codeRedeemed,
                .consentMissing, .grantInvalid, .codeExpired, .assertionOfAnother, .assertionExpired, .verifierWrong, .refreshTokenExpired,
                .assertionWithoutUser, .requestMalformed:
                "invalid_grant"
            }
        }

        /// Of the token endpoint's answer.
        package var status: Int {
            switch self {
            case .directoryUnavailable: 503
            default: oauthError == "invalid_client" ? 401 : 400
            }
        }

        /// What relying parties see instead of `error` where a user has to act.
        var suberror: String? {
            switch self {
            case .consentMissing: "consent_required"
            case .secondFactorNeeded: "basic_action"
            default: nil
            }
        }

        fileprivate var sentence: String {
            switch self {
            case .severalResources: "The scopes belong to more than one resource."
            case .scopeMissing: "A code that was asked for with scopes of a resource is redeemed with them too."
            case .redirectUnknown: "The redirect URI is none of those registered for the application."
            case .assertionInvalid: "The signature of the assertion does not hold."
            case .userOfAnotherTenant: "The user belongs to another tenant and is no guest of this one."
            case .userUnknown: "The directory has no such user."
            case .userDisabled: "The account is disabled."
            case .nobodySignedIn: "A sign-in without a page was asked for, and nobody is signed in."
            case .tenantNotNamed: "The request names no tenant."
            case .secondFactorNeeded: "The administrator demands a second factor here."
            case .userNotAssigned: "The application is for users with a role, and this one has none."
            case .verifierMissing: "The code came from a request with a challenge, and its verifier is missing."
            case .grantRevoked: "The grant was revoked, perhaps because the password was changed; the user has to sign in anew."
            case .applicationOfOneTenant: "The application belongs to one tenant and is not served here."
            case .loop: "The same request was made too often within a short time."
            case .codeRedeemed: "The code was redeemed before."
            case .consentMissing: "Neither the user nor an administrator consented to what the application asks for."
            case .consentDeclined: "The user declined."
            case .grantInvalid: "The grant was issued to another application, or is not good any more."
            case .grantTypeUnsupported: "The grant type is not supported."
            case .responseTypeUnsupported: "The response type is not supported."
            case .codeExpired: "The code expired before it was redeemed."
            case .scopeInvalid: "The scopes are not well-formed."
            case .tenantUnknown: "There is no such tenant."
            case .tokenForItself: "An application that asks for a token for itself names itself by its GUID."
            case .parameterInvalid: "A parameter has a value that is not supported."
            case .directoryUnavailable: "The directory cannot be reached for a while."
            case .resourceUnknown: "The tenant has no resource of that name."
            case .redirectChanged: "The redirect URI is not the one the code was asked for with."
            case .assertionOfAnother: "The assertion is for another application than the one that presents it."
            case .assertionExpired: "The assertion is not good at this time."
            case .verifierWrong: "The verifier does not match the challenge."
            case .scopeUnknown: "The resource has no such scope."
            case .applicationUnknown: "The tenant has no such application."
            case .clientIsPublic: "A public client presents no secret."
            case .refreshTokenExpired: "The refresh token expired, for it was not used."
            case .parameterMissing: "A parameter is missing."
            case .methodNotPOST: "The endpoint takes POST only."
            case .scopeNotDefault: "With client credentials the scope is the resource's identifier and '/.default'."
            case .assertionWithoutUser: "The assertion names no user to act for."
            case .secretWrong: "The client secret is wrong."
            case .secretMissing: "The request carries neither a client secret nor an assertion."
            case .secretExpired: "The client secret expired."
            case .parameterRepeated: "A parameter stands there more than once."
            case .requestMalformed: "The request is malformed or invalid."
            case .resourceMismatch: "'resource' is not the resource of the scopes."
            }
        }
    }
}

/// Why the issuer does not do what was asked.
struct Failure: Error, Sendable {
    let code: FakeEntra.ErrorCode
    let sentence: String

    init(_ code: FakeEntra.ErrorCode, _ sentence: String? = nil) {
        self.code = code
        self.sentence = sentence ?? code.sentence
    }

    /// Names of one failed request, by which an operator of Entra would look it up.
    struct Trace: Sendable {
        let id: String
        let correlation: String
        let at: Timestamp

        /// `2026-07-28 09:30:00Z`.
        var timestamp: String { at.rfc3339.prefix(19).replacing("T", with: " ") + "Z" }
    }

    /// What the answer says of it: the sentence, and the trace in lines below.
    func description(_ trace: Trace) -> String {
        "AADSTS\(code.rawValue): \(sentence)\r\nTrace ID: \(trace.id)\r\nCorrelation ID: \(trace.correlation)\r\nTimestamp: \(trace.timestamp)"
    }

    func uri(_ authority: String) -> String { "\(authority)/error?code=\(code.rawValue)" }

    func json(_ trace: Trace, authority: String) -> FakeEntra.Value {
        var members: [String: FakeEntra.Value] = [
            "error": .string(code.oauthError), "error_description": .string(description(trace)), "error_codes": [.integer(Int64(code.rawValue))],
            "timestamp": .string(trace.timestamp), "trace_id": .string(trace.id), "correlation_id": .string(trace.correlation),
            "error_uri": .string(uri(authority)),
        ]
        if let suberror = code.suberror { members["suberror"] = .string(suberror) }
        if code == .secondFactorNeeded {
            // Sent back in `claims` of a new authorization request.
            members["claims"] = #"{"access_token":{"capolids":{"essential":true,"values":["6f6f6f6f-0000-4000-8000-000000000001"]}}}"#
        }
        return .object(members)
    }
}
