extension Realm {
    /// Discovery (OpenID Connect Discovery, section 3), with what Entra's has and without what it lacks: it serves PKCE and
    /// does not say so.
    func metadata(_ tenant: TenantChoice) -> FakeEntra.Value {
        var members = common(tenant)
        let base = "\(authority)/\(tenant.segment)"
        members["issuer"] = .string(issuer(tenant.inIssuer))
        members["jwks_uri"] = .string("\(base)/discovery/v2.0/keys")
        members["authorization_endpoint"] = .string("\(base)/oauth2/v2.0/authorize")
        members["token_endpoint"] = .string("\(base)/oauth2/v2.0/token")
        members["device_authorization_endpoint"] = .string("\(base)/oauth2/v2.0/devicecode")
        members["end_session_endpoint"] = .string("\(base)/oauth2/v2.0/logout")
        members["userinfo_endpoint"] = .string("\(authority)/graph/oidc/userinfo")
        members["scopes_supported"] = .strings(Scopes.openID)
        members["response_types_supported"] = ["code", "id_token", "code id_token", "id_token token"]
        members["request_uri_parameter_supported"] = false
        members["claims_supported"] = [
            "sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host", "aud", "exp", "iat",
            "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email",
        ]
        return .object(members)
    }

    /// The document of the older endpoints, which are not served: for its issuer, which v1 tokens name.
    func metadataV1(_ tenant: TenantChoice) -> FakeEntra.Value {
        var members = common(tenant)
        let base = "\(authority)/\(tenant.segment)"
        members["issuer"] = .string(issuerV1(tenant.inIssuer))
        members["jwks_uri"] = .string("\(base)/discovery/keys")
        members["authorization_endpoint"] = .string("\(base)/oauth2/authorize")
        members["token_endpoint"] = .string("\(base)/oauth2/token")
        members["end_session_endpoint"] = .string("\(base)/oauth2/logout")
        members["scopes_supported"] = ["openid"]
        members["response_types_supported"] = ["code", "id_token", "code id_token", "token id_token", "token"]
        members["microsoft_multi_refresh_token"] = true
        return .object(members)
    }

    private func common(_ tenant: TenantChoice) -> [String: FakeEntra.Value] {
        let region: FakeEntra.Value =
            switch tenant {
            case .one: "WW"
            case .any: .null
            }
        return [
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"], "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"], "http_logout_supported": true, "frontchannel_logout_supported": true,
            "tenant_region_scope": region, "cloud_instance_name": "microsoftonline.com", "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com", "rbac_url": "https://pas.windows.net",
            "kerberos_endpoint": .string("\(authority)/\(tenant.segment)/kerberos"),
        ]
    }

    /// The same keys for every tenant: a good signature says nothing of whose token it is.
    func keySet(_ tenant: TenantChoice) -> FakeEntra.Value {
        ["keys": .array(keys.published.map { $0.published(issuer: issuer(tenant.inIssuer)) })]
    }
}
