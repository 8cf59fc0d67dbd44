import Crypto
import Gateway
import HTTPTypes
import Hummingbird
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
        let targets = "'self' https: http://localhost:* http://127.0.0.1:*" + (page.redirectHost.hasSuffix(":") ? " \(page.redirectHost)" : "")
        return response("Allow “\(page.client)”?", consent.render(page), .ok, formsTo: targets)
    }

    func refused(_ sentence: String, code: String, requestID: Gateway.RequestID, status: HTTPResponse.Status = .badRequest) -> Response {
        let body = refused.render(["sentence": sentence, "code": code, "requestID": requestID.description])
        return response("This sign-in cannot go on", body, status, formsTo: "'none'")
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
