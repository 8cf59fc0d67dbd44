import OAuth
import Testing

@testable import Identity

/// What the issuer sends the browser back with when it signed nobody in.
struct IssuerComplaintTests {
    @Test(arguments: [
        ("error=access_denied", OAuthError.Code.accessDenied, "access_denied"),
        ("error=server_error&error_description=No+way", .serverError, "server_error"),
        (
            "error=access_denied&error_description=AADSTS50105%3A+Your+administrator+has+configured+%3Cb%3Ethe+application", .accessDenied,
            "access_denied, AADSTS50105"
        ),
        ("error=invalid_request&error_description=AADSTS50011+AADSTS700016+AADSTS90002", .serverError, "invalid_request, AADSTS50011, AADSTS700016"),
        // A description that cannot be read costs the number, not the answer.
        ("error=access_denied&error_description=AADSTS50105&error_description=AADSTS50105", .accessDenied, "access_denied"),
        ("error=a%0Ab", .serverError, "a\u{FFFD}b"),
    ])
    func `its number reaches whoever reports it, and none of its text`(query: String, code: OAuthError.Code, names: String) throws {
        let error = try #require(try SignInIssuer.complaint(in: Parameters(encoded: Array(query.utf8))))
        #expect(error.code == code)
        #expect(error.sentence == "The issuer did not sign the user in (\(names)).")
    }

    @Test func `an answer with a code is no complaint`() throws {
        #expect(try SignInIssuer.complaint(in: Parameters(encoded: Array("code=x&error_description=AADSTS50105".utf8))) == nil)
    }
}
