import Testing

@testable import mreg

struct SettingsChecksTests {
    @Test(arguments: [
        (
            ["DB_MIN_CONNECTIONS": "51"],
            "DB_MIN_CONNECTIONS=51 (environment), DB_MAX_CONNECTIONS=50 (default): the minimum must not be above the maximum"
        ),
        (
            ["MREG_FASTMCP_MAX_POOL_SIZE": "9"],
            "MREG_FASTMCP_MIN_POOL_SIZE=10 (default), MREG_FASTMCP_MAX_POOL_SIZE=9 (environment): the minimum must not be above the maximum"
        ),
        (
            ["MREG_FASTMCP_TOKEN_REFRESH_MARGIN_MINUTES": "11"],
            "MREG_FASTMCP_PROACTIVE_REFRESH_MINUTES=10 (default), MREG_FASTMCP_TOKEN_REFRESH_MARGIN_MINUTES=11 (environment): "
                + "the proactive time must be at least the margin"
        ),
        (
            ["MREG_FASTMCP_TOKEN_REFRESH_MAX_RETRIES": "5"],
            "MREG_FASTMCP_TOKEN_REFRESH_RETRY_INTERVALS=30,60,120,300 (default), MREG_FASTMCP_TOKEN_REFRESH_MAX_RETRIES=5 (environment): "
                + "there must be an interval for each retry"
        ),
        (
            ["MREG_TLS_CERTIFICATE_FILE": "/c.pem"],
            "MREG_TLS_CERTIFICATE_FILE=/c.pem (environment), MREG_TLS_KEY_FILE not set: a certificate needs its key, and a key its certificate"
        ),
        (
            ["MREG_TLS_KEY_FILE": "/k.pem"],
            "MREG_TLS_CERTIFICATE_FILE not set, MREG_TLS_KEY_FILE=redacted (environment): a certificate needs its key, and a key its certificate"
        ),
        (
            ["MREG_HOST": "0.0.0.0"],
            "MREG_HOST=0.0.0.0 (environment), MREG_TLS_CERTIFICATE_FILE not set, MREG_TRUSTED_PROXIES not set: "
                + "beyond loopback the gateway listens only with a TLS certificate and key, or behind trusted proxies"
        ),
        (
            ["MREG_HOST": "::ffff:127.0.0.1"],
            "MREG_HOST=::ffff:127.0.0.1 (environment), MREG_TLS_CERTIFICATE_FILE not set, MREG_TRUSTED_PROXIES not set: "
                + "beyond loopback the gateway listens only with a TLS certificate and key, or behind trusted proxies"
        ),
        (
            ["MREG_PUBLIC_URL": "http://gateway.example"],
            "MREG_PUBLIC_URL=http://gateway.example (environment), MREG_TRUSTED_PROXIES not set: "
                + "beyond loopback the public URL must be https, unless trusted proxies are set"
        ),
    ])
    func `values that do not go together are shown together`(environment: [String: String], line: String) {
        #expect(complaints(environment) == [line])
    }

    @Test(arguments: [
        (["MREG_OIDC_ISSUER": "https://id.example"], "MREG_OIDC_CLIENT_ID is missing."),
        (["MREG_OIDC_CLIENT_ID": "gateway"], "MREG_OIDC_ISSUER is missing."),
        (["MREG_OIDC_CLIENT_SECRET": "s"], "MREG_OIDC_ISSUER is missing."),
        (["MREG_AZURE_TENANT_ID": "contoso.example"], "MREG_AZURE_CLIENT_ID is missing."),
        (["MREG_AZURE_CLIENT_ID": "gateway"], "MREG_AZURE_TENANT_ID is missing."),
        (["MREG_AZURE_CLIENT_SECRET": "s"], "MREG_AZURE_TENANT_ID is missing."),
        (
            ["MREG_AZURE_TENANT_ID": "contoso.example", "MREG_AZURE_CLIENT_ID": "gateway"],
            "The tenant must be a GUID, “organizations” or “common”; “contoso.example” is none of them."
        ),
        (
            [
                "MREG_OIDC_ISSUER": "https://id.example", "MREG_OIDC_CLIENT_ID": "gateway", "MREG_AZURE_TENANT_ID": "contoso.example",
                "MREG_AZURE_CLIENT_ID": "gateway",
            ], "MREG_AZURE_TENANT_ID and MREG_OIDC_ISSUER are both set, and there is one: take one of them away."
        ),
    ])
    func `an issuer that is set by half or twice is refused before anything starts`(environment: [String: String], sentence: String) throws {
        let settings = try Settings(environment: environment, file: nil)
        let error = #expect(throws: OperatorError.self) { try settings.requireServable() }
        #expect(error.map { "\($0)" } == "The issuer that people sign in at is not set up: \(sentence)")
    }

    @Test(arguments: [
        [:], ["MREG_OIDC_ISSUER": "https://id.example", "MREG_OIDC_CLIENT_ID": "gateway"],
        ["MREG_AZURE_TENANT_ID": "72f988bf-86f1-41af-91ab-2d7cd011db47", "MREG_AZURE_CLIENT_ID": "gateway", "MREG_AZURE_CLIENT_SECRET": "s"],
    ])
    func `one issuer, or none, is served`(environment: [String: String]) throws {
        #expect(throws: Never.self) { try Settings(environment: environment, file: nil).requireServable() }
    }

    @Test(arguments: [
        ["DB_MIN_CONNECTIONS": "50"], ["MREG_FASTMCP_TOKEN_REFRESH_MARGIN_MINUTES": "10"], ["MREG_FASTMCP_TOKEN_REFRESH_MAX_RETRIES": "0"],
        ["MREG_TLS_CERTIFICATE_FILE": "/c.pem", "MREG_TLS_KEY_FILE": "/k.pem", "MREG_HOST": "::"],
        ["MREG_HOST": "10.1.2.3", "MREG_TRUSTED_PROXIES": "10.0.0.0/8", "MREG_PUBLIC_URL": "http://gateway.example"],
        ["MREG_HOST": "127.9.9.9"], ["MREG_HOST": "::1"], ["MREG_HOST": "localhost"],
        ["MREG_PUBLIC_URL": "https://gateway.example"], ["MREG_PUBLIC_URL": "http://localhost:9"], ["MREG_PUBLIC_URL": "http://[::1]:9"],
    ])
    func `values that go together pass`(environment: [String: String]) {
        #expect(complaints(environment) == [])
    }

    @Test func `a rule over a value that is wrong anyway says nothing`() {
        #expect(complaints(["DB_MAX_CONNECTIONS": "none", "DB_MIN_CONNECTIONS": "60"]).count == 1)
    }

    @Test func `of two pairs the larger minimum and the smaller maximum hold, the maximum above all`() throws {
        #expect(try Settings(environment: ["DB_MIN_CONNECTIONS": "20", "DB_MAX_CONNECTIONS": "200"]).pools.handles == 20...100)
        #expect(try Settings(environment: ["DB_MAX_CONNECTIONS": "8"]).pools.handles == 8...8)
    }
}
