import Gateway
import HTTPTypes
import Hummingbird
import MCP
import NIOCore

extension Response {
    /// A JSON document.
    static func json(_ text: JSONText, status: HTTPResponse.Status = .ok, type: String = "application/json", headers: HTTPFields = [:]) -> Response {
        var headers = headers
        headers[.contentType] = type
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: text.bytes)))
    }

    static func text(_ text: String, status: HTTPResponse.Status = .ok, type: String = "text/plain; charset=utf-8") -> Response {
        Response(status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// An error outside MCP (RFC 9457): a stable code, a sentence its reader can act on, and the name under which the
    /// record knows the request.
    ///
    /// - Parameter details: members of the document besides those.
    static func problem(
        _ status: HTTPResponse.Status, code: String, _ sentence: String, requestID: Gateway.RequestID, headers: HTTPFields = [:],
        details: [(String, JSONText?)] = []
    ) -> Response {
        return .json(
            problemText(status, code: code, sentence, requestID: requestID, details: details), status: status, type: "application/problem+json",
            headers: headers)
    }

    /// - Parameter requestID: nil where the record knows the request only as one of many.
    static func problemText(
        _ status: HTTPResponse.Status, code: String, _ sentence: String, requestID: Gateway.RequestID?, details: [(String, JSONText?)] = []
    ) -> JSONText {
        .object(
            [
                ("type", "about:blank"), ("title", .string(status.reasonPhrase)), ("status", .number(status.code)), ("code", .string(code)),
                ("detail", .string(sentence)), ("request_id", requestID.map { .string($0.description) }),
            ] + details)
    }

    static func problemText(_ refusal: Refusal, requestID: Gateway.RequestID?) -> JSONText {
        problemText(refusal.httpStatus, code: refusal.code, refusal.sentence, requestID: requestID)
    }

    static func problem(
        _ refusal: Refusal, requestID: Gateway.RequestID, headers: HTTPFields = [:], details: [(String, JSONText?)] = []
    ) -> Response {
        var headers = headers
        if let wait = refusal.retryAfter { headers[.retryAfter] = String(wait.roundedUpSeconds) }
        if case .throttled(let throttle) = refusal { headers.tell(throttle) }
        return problem(refusal.httpStatus, code: refusal.code, refusal.sentence, requestID: requestID, headers: headers, details: details)
    }
}

extension Refusal {
    /// What a refusal is on the wire, outside MCP.
    var httpStatus: HTTPResponse.Status {
        switch self {
        case .unauthenticated: .unauthorized
        case .forbidden, .insufficientScope: .forbidden
        case .throttled: .tooManyRequests
        case .blocked: .forbidden
        case .notFound: .notFound
        case .invalid: .unprocessableContent
        case .conflict: .conflict
        case .upstreamUnavailable, .outcomeUnknown: .badGateway
        case .auditUnavailable, .unrecorded, .overloaded: .serviceUnavailable
        }
    }
}
