import OAuth
import Testing

@testable import Identity

struct ClientDocumentErrorTests {
    @Test(arguments: [
        (ClientDocumentFailure.throttled(retryAfter: .seconds(6)), OAuthError.Code.temporarilyUnavailable), (.unusable("x"), .invalidClient),
        (.notAllowed(domain: "x.example"), .invalidClient), (.unreadable("x"), .invalidClient),
    ])
    func `a client whose document is not looked up yet is asked to wait, not told that it is none`(
        failure: ClientDocumentFailure, code: OAuthError.Code
    ) {
        #expect(OAuthError(failure) == OAuthError(code, failure.sentence))
    }
}
