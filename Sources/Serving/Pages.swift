import Crypto
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import Mustache
import NIOCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The pages that people see on their way through a sign-in. They need no script, load nothing, and cannot be framed.
struct Pages: Sendable {
    private let frame: MustacheTemplate
    private let consent: MustacheTemplate
    private let refused: MustacheTemplate
    private let connect: MustacheTemplate
    private let told: MustacheTemplate
    private let style: String
    private let policy: String

    init() {
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        func template(_ bytes: [UInt8]) -> MustacheTemplate {
            do { return try MustacheTemplate(string: text(bytes)) } catch { preconditionFailure("a page of ours is no template: \(error)") }
        }
        frame = template(PackageResources.page_frame_mustache)
        consent = template(PackageResources.page_consent_mustache)
        refused = template(PackageResources.page_refused_mustache)
        connect = template(PackageResources.page_connect_mustache)
        told = template(PackageResources.page_told_mustache)
        style = text(PackageResources.page_style_css)
        let hash = Data(SHA256.hash(data: Array(style.utf8))).base64EncodedString()
        policy = "default-src 'none'; style-src 'sha256-\(hash)'; frame-ancestors 'none'; base-uri 'none'; form-action "
    }

    struct Consent {
        let client: String
        let voucher: String?
        let isUnproved: Bool
        let redirectHost: String
        let isLoopback: Bool
        let powers: [String]
        let wantsRefresh: Bool
        let transaction: String
        let token: String
        let issuer: String
    }

    func consent(_ page: Consent) -> Response {
        // Browsers apply it to wherever the answer to the form redirects, too: to the issuer, to whomever that asks in turn,
        // and to the client. None of it is a script.
        var targets = "'self' https: http://localhost:* http://127.0.0.1:*"
        if page.redirectHost.hasSuffix(":") { targets += " \(page.redirectHost)" }
        // No source expression names an IPv6 address (CSP 3, section 2.3.1).
        if page.redirectHost == "[::1]" { targets += " http:" }
        return response("Allow “\(page.client)”?", consent.render(page), .ok, formsTo: targets)
    }

    /// The question whether an account is to be connected.
    func connect(_ question: ConnectDesk.Question) -> Response {
        var page: [String: Any] = [
            "title": question.title, "alias": question.alias, "serverHost": question.serverHost, "issuerHost": question.issuerHost,
            "scopes": question.scopes, "hasScopes": !question.scopes.isEmpty, "user": question.user,
            "transaction": question.transaction, "token": question.token,
        ]
        if let host = question.browserHost { page["browserHost"] = host }
        // Browsers hold it against every redirect that follows: to the authorization server, and to whomever that asks in turn.
        return response(
            "Connect “\(question.title)”?", connect.render(page), .ok, formsTo: "'self' https: http://localhost:* http://127.0.0.1:*")
    }

    /// Something is done.
    func told(_ title: String, _ sentence: String) -> Response {
        response(title, told.render(["title": title, "sentence": sentence]), .ok, formsTo: "'none'")
    }

    func refused(
        _ sentence: String, code: String, requestID: Gateway.RequestID, status: HTTPResponse.Status = .badRequest,
        title: String = "This sign-in cannot go on", isRecorded: Bool = true
    ) -> Response {
        let body = refused.render(
            ["title": title, "sentence": sentence, "code": code, "requestID": requestID.description, "isRecorded": isRecorded] as [String: Any])
        return response(title, body, status, formsTo: "'none'")
    }

    /// A refusal that is no error of OAuth's, for a person: the status and fields that a program would get, and words for people.
    func refused(_ refusal: Refusal, requestID: Gateway.RequestID) -> Response {
        let sentence =
            switch refusal {
            // Whoever is on their way to sign in need not hear that they should.
            case .throttled(let throttle):
                "Too many requests came from your network address in a short time. Wait \(throttle.retryAfter.roundedUpSeconds) s, then start again."
            default: refusal.sentence
            }
        // It is on record as one of many.
        var response = refused(
            sentence, code: refusal.code, requestID: requestID, status: refusal.httpStatus, title: "Not just now", isRecorded: false)
        if let wait = refusal.retryAfter { response.headers[.retryAfter] = String(wait.roundedUpSeconds) }
        if case .throttled(let throttle) = refusal { response.headers.tell(throttle) }
        return response
    }

    private func response(_ title: String, _ body: String, _ status: HTTPResponse.Status, formsTo targets: String) -> Response {
        let text = frame.render(["title": title, "style": style, "body": body])
        return Response(
            status: status,
            headers: [
                .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .contentSecurityPolicy: policy + targets, .frameOptions: "DENY",
                // Without it browsers would send the form's origin as `null`.
                .referrerPolicy: "same-origin", .contentTypeOptions: "nosniff",
            ], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
