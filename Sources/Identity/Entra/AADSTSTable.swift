// What operators of a web application and its API meet. The sentences are ours; most numbers stand in Microsoft's
// reference, the others are known from people who met them.

extension AADSTS {
    static let entries: [AADSTS] = [registration, credentials, requests, consent, accounts, policies, grants, weather].flatMap { $0 }
    static let table = Dictionary(entries.map { ($0.code, $0) }) { first, _ in first }

    private static let plan = "mreg entra plan --public-url {public_url} > entra.sh && sh entra.sh"
    private static let newSecret =
        "(umask 077; az ad app credential reset --id {client_id} --append --display-name mcp-registry-gateway --query password -o tsv > azure-client-secret)"
    private static let grantConsent = "az ad app permission admin-consent --id {client_id}"
    private static let showTenant = "az account show --query tenantId -o tsv"
    private static let assign = "mreg entra plan --public-url {public_url} --admin USER@DOMAIN > entra.sh && sh entra.sh"
    private static let check = "mreg doctor entra"
    private static let report = "mreg version"

    /// What is registered in Entra ID, or not.
    private static let registration: [AADSTS] = [
        Self(
            50011, .operator, "The redirect URI in the request is none of those registered; every character counts.",
            portal: EntraPortal.registration("Authentication > Web > Redirect URIs"), run: plan),
        Self(
            500113, .operator, "No redirect URI is registered at all.", portal: EntraPortal.registration("Authentication > Web > Redirect URIs"),
            run: plan),
        Self(
            900971, .operator, "There is no redirect URI, neither in the request nor in the registration.",
            portal: EntraPortal.registration("Authentication > Web > Redirect URIs"), run: plan),
        Self(
            500117, .operator, "The redirect URI is http and not on localhost; Entra ID wants https.",
            portal: EntraPortal.registration("Authentication > Web > Redirect URIs"), run: check),
        Self(
            700016, .operator, "This tenant has no application with that client id: a typing error, an object id in its place, or the wrong tenant.",
            portal: EntraPortal.registration("Overview > Application (client) ID"), run: "az ad app show --id {client_id} --query displayName"),
        Self(
            70001, .operator, "The application is not known in this tenant, or is disabled there.",
            portal: EntraPortal.enterprise("Properties > Enabled for users to sign-in"), run: "az ad sp show --id {client_id} --query accountEnabled"),
        Self(
            7000112, .admin, "The application is disabled in this tenant.",
            portal: EntraPortal.enterprise("Properties > Enabled for users to sign-in"),
            run: "az ad sp update --id {client_id} --set accountEnabled=true"),
        Self(
            7000229, .operator, "The registration is there, but the tenant has no enterprise application (service principal) for it.",
            portal: EntraPortal.registration("Overview > Managed application in local directory"), run: "az ad sp create --id {client_id}"),
        Self(
            50194, .operator, "The application is of one tenant only, but was asked for at “common” or “organizations”.",
            portal: EntraPortal.registration("Authentication > Supported account types"), run: showTenant),
        Self(
            9002332, .operator, "The application is for work and school accounts only, but was asked for at “consumers”.",
            portal: EntraPortal.registration("Authentication > Supported account types"), run: check),
        Self(
            9002325, .operator,
            "The redirect URI is registered as a single-page application; the gateway is a web application and must be listed under “Web”.",
            portal: EntraPortal.registration("Authentication > Platform configurations"), run: plan),
        Self(
            9002326, .operator,
            "The token was asked for across origins, which only a single-page application may; a program in a browser used this client id.",
            portal: EntraPortal.registration("Authentication > Platform configurations"), run: plan),
        Self(
            9002327, .operator,
            "The redirect URI is registered as a single-page application, so its code can only be redeemed by a browser; list it under “Web”.",
            portal: EntraPortal.registration("Authentication > Platform configurations"), run: plan),
        Self(
            700054, .operator, "The request asks for a response type the registration does not allow; the gateway asks for “code” only.",
            portal: EntraPortal.registration("Authentication > Implicit grant and hybrid flows"), run: report),
        Self(
            500011, .operator, "The resource whose scope was asked for is not known in this tenant: a mistyped App ID URI, or the wrong tenant.",
            portal: EntraPortal.registration("Expose an API > Application ID URI"), run: "az ad app show --id {client_id} --query identifierUris"),
        Self(
            50001, .operator, "The resource whose scope was asked for does not exist or is disabled.",
            portal: EntraPortal.registration("Expose an API > Application ID URI"), run: "az ad app show --id {client_id} --query identifierUris"),
        Self(
            650053, .operator, "The resource has no such scope. A scope without api:// in front is looked for in Microsoft Graph.",
            portal: EntraPortal.registration("Expose an API > Scopes"), run: check),
        Self(
            650056, .operator, "The registration lists no permission for what was asked, or nobody has consented in this tenant.",
            portal: EntraPortal.registration("API permissions"), run: grantConsent),
        Self(
            650057, .operator, "The resource asked for is not among the permissions the registration lists.",
            portal: EntraPortal.registration("API permissions"), run: plan),
        Self(
            65005, .operator, "The registration does not list the resource that was asked for, or that resource cannot be found.",
            portal: EntraPortal.registration("API permissions"), run: plan),
        Self(
            650052, .admin, "The tenant has no service principal of the service asked for: it was never subscribed to or consented.",
            portal: EntraPortal.registration("API permissions"), run: check),
    ]

    /// How the gateway proves who it is.
    private static let credentials: [AADSTS] = [
        Self(
            7000215, .operator, "The client secret is wrong: often its id was pasted in place of its value, or the value lost a character.",
            portal: EntraPortal.registration("Certificates & secrets > Client secrets > Value"), run: newSecret),
        Self(
            7000222, .operator, "The client secret has expired.", portal: EntraPortal.registration("Certificates & secrets > Client secrets"),
            run: newSecret),
        Self(
            70002, .operator, "The client's credentials are not good; a second code beside this one says why.",
            portal: EntraPortal.registration("Certificates & secrets"), run: check),
        Self(
            7000218, .operator, "The request held no client secret, and the application is not a public client.",
            portal: EntraPortal.registration("Certificates & secrets"), run: check),
        Self(
            700025, .operator, "The application is a public client and may not use a secret: the redirect URI is listed under “Mobile and desktop”.",
            portal: EntraPortal.registration("Authentication > Platform configurations"), run: plan),
        Self(
            700027, .operator, "The signature of a client assertion is not by a certificate of this application.",
            portal: EntraPortal.registration("Certificates & secrets > Certificates"), run: "az ad app credential list --id {client_id} --cert"),
        Self(
            700024, .operator, "A client assertion is outside its time: often this machine's clock is wrong.",
            portal: EntraPortal.registration("Certificates & secrets > Certificates"), run: "timedatectl status"),
        Self(
            50012, .operator, "A client assertion was refused: its certificate or its signature is not good.",
            portal: EntraPortal.registration("Certificates & secrets > Certificates"), run: "az ad app credential list --id {client_id} --cert"),
        Self(
            1_000_502, .operator, "The application's certificate is outside its time: expired, or not begun.",
            portal: EntraPortal.registration("Certificates & secrets > Certificates"), run: "az ad app credential list --id {client_id} --cert"),
        Self(
            90002, .operator, "There is no such tenant: a mistyped id or domain name, or a tenant of another cloud.", portal: EntraPortal.overview,
            run: showTenant),
        Self(
            900_023, .operator, "The tenant in the URL is neither an id nor a domain name.", portal: EntraPortal.overview, run: showTenant),
        Self(
            90038, .operator, "The tenant lives in another of Microsoft's clouds.", portal: EntraPortal.overview,
            run: "az cloud show --query endpoints.activeDirectory -o tsv"),
        Self(
            900_382, .operator, "A confidential client cannot be used across clouds: tenant and authority are of two.", portal: EntraPortal.overview,
            run: "az cloud show --query endpoints.activeDirectory -o tsv"),
        Self(
            501_051, .admin, "The application itself has no role in the resource, which lets in only who is assigned.",
            portal: EntraPortal.enterprise("Permissions"), run: check),
    ]

    /// How the request is written. Where the settings are right, these are faults of ours.
    private static let requests: [AADSTS] = [
        Self(28000, .operator, "The scopes are of more than one resource; one request can be for one only.", run: check),
        Self(700_022, .operator, "The scopes are of more than one resource; one request can be for one only.", run: check),
        Self(28002, .operator, "A scope in the request is not valid for an access token.", run: check),
        Self(28003, .operator, "The code was redeemed without a scope.", run: check),
        Self(
            70011, .operator, "A scope is not valid: mistyped, of no resource, or “.default” mixed with others.",
            portal: EntraPortal.registration("Expose an API > Scopes"), run: check),
        Self(
            901_002, .operator, "The endpoint does not take the parameter “resource”. The gateway sends none: a client went to Entra ID directly.",
            run: check),
        Self(
            9_010_010, .operator,
            "The parameter “resource” is not the App ID URI of the scopes. The gateway sends none: a client went to Entra ID directly, past the gateway.",
            portal: EntraPortal.registration("Expose an API > Application ID URI"), run: plan),
        Self(
            90009, .operator, "The application asked for a token for itself by another name than its client id.",
            portal: EntraPortal.registration("Expose an API > Application ID URI"), run: check),
        Self(
            501_481, .operator, "The code verifier does not fit the challenge: two sign-ins were mixed up, or a proxy changed the request.",
            run: report),
        Self(50147, .operator, "The code challenge has not the right length.", run: report),
        Self(50058, .nobody, "Nobody is signed in in that browser, and the request forbade asking (prompt=none)."),
        Self(50059, .operator, "Neither the request nor the account says which tenant is meant.", portal: EntraPortal.overview, run: check),
        Self(
            50128, .operator, "Neither the request nor the account says which tenant is meant, or its domain is unknown.",
            portal: EntraPortal.overview, run: check),
        Self(90019, .operator, "Entra ID cannot tell the tenant from the request.", portal: EntraPortal.overview, run: check),
        Self(90014, .operator, "A field is missing in the request.", run: report),
        Self(900_144, .operator, "A parameter is missing in the body of the request.", run: report),
        Self(90023, .operator, "The request is not valid.", portal: EntraPortal.signIns, run: check),
        Self(9_002_313, .operator, "The request is malformed; a proxy may have changed it.", portal: EntraPortal.signIns, run: report),
        Self(90013, .operator, "A value in the request is not valid.", portal: EntraPortal.signIns, run: report),
        Self(
            900_561, .nobody, "The endpoint was opened with the wrong method: somebody went back in the browser, or opened the token endpoint in it."),
        Self(70003, .operator, "The grant type is not supported.", run: report),
        Self(9_001_023, .operator, "This grant cannot be used at “common” or “consumers”: name the tenant.", run: check),
        Self(50196, .operator, "The same request came too often in a short time.", portal: EntraPortal.signIns, run: report),
    ]

    /// Who has to agree.
    private static let consent: [AADSTS] = [
        Self(
            65001, .admin, "Nobody has consented to this application for this user.",
            portal: EntraPortal.enterprise("Permissions > Grant admin consent"),
            run: grantConsent),
        Self(65004, .user, "The user declined on the consent page; whoever signs in again is asked again."),
        Self(
            90094, .admin, "An administrator must consent: users of this tenant may not do so themselves.",
            portal: EntraPortal.enterprise("Permissions > Grant admin consent"), run: grantConsent),
        Self(
            90095, .admin, "An administrator must consent; the user could send a request for it.", portal: EntraPortal.consentRequests,
            run: grantConsent),
    ]

    /// Who signs in.
    private static let accounts: [AADSTS] = [
        Self(
            50105, .admin, "The user has no role in the gateway, and only who is assigned is let in.",
            portal: EntraPortal.enterprise("Users and groups"),
            run: assign),
        Self(
            50020, .user, "The account is of another directory and no guest here. Sign in with another one, or be invited.",
            portal: "\(EntraPortal.users) > New user > Invite external user"),
        Self(
            16000, .user, "The browser is signed in with an account that this directory does not know, or with several: choose another one.",
            portal: "\(EntraPortal.users) > New user > Invite external user"),
        Self(16003, .user, "The account was never added to this directory.", portal: "\(EntraPortal.users) > New user > Invite external user"),
        Self(51004, .user, "The account is not in this directory.", portal: "\(EntraPortal.users) > New user > Invite external user"),
        Self(
            90072, .user, "The account is of another directory and no guest here, so nothing can be asked of it.",
            portal: "\(EntraPortal.users) > New user > Invite external user"),
        Self(
            50014, .admin, "The guest has not accepted the invitation, or is not in this directory.",
            portal: "\(EntraPortal.users) > the guest > B2B invitation"),
        Self(
            500_208, .user, "This kind of account cannot sign in to this directory: a personal one where work accounts are meant, or the reverse.",
            portal: EntraPortal.registration("Authentication > Supported account types")),
        Self(50034, .user, "There is no such account in the directory: mistyped, or of another directory.", portal: EntraPortal.users),
        Self(50126, .user, "The user name or the password is wrong."),
        Self(
            50053, .user, "The account is locked after too many wrong passwords, or the address it came from is known for attacks.",
            portal: EntraPortal.signIns),
        Self(50055, .user, "The password has expired.", portal: "\(EntraPortal.users) > the user > Reset password"),
        Self(50056, .user, "The account has no password in the directory.", portal: "\(EntraPortal.users) > the user > Reset password"),
        Self(50144, .user, "The password in the local Active Directory has expired.", portal: "\(EntraPortal.users) > the user > Reset password"),
        Self(
            50057, .admin, "The account is disabled.", portal: "\(EntraPortal.users) > the user > Account status",
            run: "az ad user update --id USER@DOMAIN --account-enabled true"),
        Self(50072, .user, "The user must first register a second factor."),
        Self(50079, .user, "The user must register a second factor, for a policy now asks for one."),
        Self(50074, .user, "A second factor is needed and was not given."),
        Self(50076, .user, "A second factor is needed, because of a policy or a new place: signing in again asks for it."),
        Self(50078, .user, "The second factor was given too long ago: signing in again asks for it."),
        Self(50135, .user, "The password must be changed, for the account is at risk."),
    ]

    /// What the directory's policies forbid.
    private static let policies: [AADSTS] = [
        Self(53003, .admin, "A Conditional Access policy forbids it.", portal: EntraPortal.conditionalAccess),
        Self(53000, .user, "A policy asks for a compliant device, and this one is not.", portal: EntraPortal.conditionalAccess),
        Self(53001, .user, "A policy asks for a device that is joined to the domain.", portal: EntraPortal.conditionalAccess),
        Self(530_003, .user, "A policy asks for a managed device: enrol it, or sign in on one that is.", portal: EntraPortal.conditionalAccess),
        Self(530_032, .admin, "A security policy of the tenant forbids it.", portal: EntraPortal.conditionalAccess),
        Self(530_035, .admin, "The tenant's security defaults forbid it.", portal: "Entra ID > Overview > Properties > Security defaults"),
        Self(53004, .user, "A second factor must be registered, and the sign-in is too risky to do it now.", portal: EntraPortal.conditionalAccess),
        Self(50131, .admin, "A Conditional Access policy refused the device, the place, or what looked suspicious.", portal: EntraPortal.signIns),
        Self(50158, .user, "A further check, by another provider, was not passed.", portal: EntraPortal.conditionalAccess),
        Self(50097, .user, "A policy asks the device to identify itself.", portal: EntraPortal.conditionalAccess),
        Self(500_021, .admin, "The network of the user lets them sign in to certain tenants only.", portal: EntraPortal.externalAccess),
        Self(500_212, .admin, "The user's own directory does not let them sign in to this one.", portal: EntraPortal.externalAccess),
        Self(500_213, .admin, "This directory does not let in users of theirs.", portal: EntraPortal.externalAccess),
    ]

    /// Codes and refresh tokens that are no longer good. The gateway then asks the user to sign in again.
    private static let grants: [AADSTS] = [
        Self(54005, .user, "The code was redeemed already: the page was loaded twice. Begin the sign-in anew."),
        Self(70000, .user, "The code or refresh token is not good, or a scope was never granted. Sign in again."),
        Self(70008, .user, "The code or refresh token has expired. Sign in again."),
        Self(700_082, .user, "The refresh token was not used for too long. Sign in again."),
        Self(
            700_084, .operator,
            "The refresh token was made for a single-page application and lives for a day only; list the redirect URI under “Web”.",
            portal: EntraPortal.registration("Authentication > Platform configurations"), run: plan),
        Self(70043, .user, "A policy limits how long a sign-in lasts. Sign in again.", portal: EntraPortal.conditionalAccess),
        Self(50173, .user, "The tokens were revoked, by an administrator or with a new password. Sign in again."),
        Self(50132, .user, "The session ended with a new or expired password. Sign in again."),
        Self(50133, .user, "The session ended with a new or expired password. Sign in again."),
        Self(50089, .user, "The sign-in took too long. Begin it anew."),
        Self(700_005, .operator, "The code was made for another tenant than it was redeemed at.", run: check),
    ]

    /// What passes by itself.
    private static let weather: [AADSTS] = [
        Self(
            90033, .nobody,
            "Entra ID's directory does not answer at the moment. Try again in some minutes; https://azure.status.microsoft tells more."),
        Self(90024, .nobody, "Entra ID is busy at the moment. Try again."),
        Self(90006, .nobody, "Entra ID does not answer at the moment. Try again."),
        Self(90055, .nobody, "The tenant sends too many requests. Wait some minutes."),
        Self(50033, .nobody, "Entra ID had a passing fault. Try again."),
    ]
}
