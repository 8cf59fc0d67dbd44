package import Gateway

extension FakeEntra {
    /// Tenants, users, groups and applications: what the issuer knows of the world.
    package struct Directory: Sendable {
        package struct Tenant: Hashable, Sendable {
            /// A GUID in lower case: `tid`.
            package var id: String
            package var name: String

            package init(id: String, name: String) {
                self.id = id
                self.name = name
            }
        }

        package struct Group: Hashable, Sendable {
            /// A GUID in lower case.
            package var id: String
            package var name: String

            package init(id: String, name: String) {
                self.id = id
                self.name = name
            }
        }

        package struct User: Hashable, Sendable {
            /// A GUID in lower case: `oid`.
            package var id: String
            package var tenant: String
            /// The short name, unique over all tenants.
            package var name: String
            package var displayName: String
            /// `preferred_username`: how the user signs in. It may change; nothing is to be keyed by it.
            package var principalName: String
            package var mail: String?
            /// App roles; an application's tokens show those it declares.
            package var roles: [String]
            /// Groups by id, nested ones included.
            package var groups: [String]
            package var isDisabled: Bool
            /// What was issued before this moment is refused (a changed password, "sign out everywhere").
            package var tokensValidFrom: Timestamp

            package init(
                id: String, tenant: String, name: String, displayName: String, principalName: String, mail: String? = nil, roles: [String] = [],
                groups: [String] = [], isDisabled: Bool = false, tokensValidFrom: Timestamp = Timestamp(microseconds: 0)
            ) {
                self.id = id
                self.tenant = tenant
                self.name = name
                self.displayName = displayName
                self.principalName = principalName
                self.mail = mail
                self.roles = roles
                self.groups = groups
                self.isDisabled = isDisabled
                self.tokensValidFrom = tokensValidFrom
            }
        }

        package struct ClientSecret: Sendable {
            package var value: Secret<String>
            /// Nil if it never does.
            package var expiresAt: Timestamp?

            package init(_ value: Secret<String>, expiresAt: Timestamp? = nil) {
                self.value = value
                self.expiresAt = expiresAt
            }
        }

        /// How tokens tell of a user's groups.
        package enum GroupClaims: Hashable, Sendable {
            case none
            /// `groups`; with more than 200 of them `_claim_names` and `_claim_sources` instead.
            case list
            /// `groups`; with more than 200 of them `hasgroups` instead.
            case listOrFlag
        }

        /// An application: a client, a resource, or both.
        package struct AppRegistration: Sendable {
            /// A GUID in lower case.
            package var clientID: String
            package var tenant: String
            package var name: String
            /// None makes it a public client.
            package var secrets: [ClientSecret]
            /// Compared byte by byte.
            package var redirectURIs: [String]
            package var appIDURI: String
            /// Short names of the scopes it exposes.
            package var scopes: [String]
            /// App roles it declares.
            package var roles: [String]
            /// `requestedAccessTokenVersion`: 1 or 2, of tokens *for* this application.
            package var tokenVersion: Int
            package var groupClaims: GroupClaims
            /// Whether users of other tenants may sign in, and `common` and `organizations` serve it.
            package var isMultiTenant: Bool
            /// Whether users without a role are turned away.
            package var needsAssignment: Bool
            /// Full names of the scopes an administrator consented to for everybody; nil is every one.
            package var consented: [String]?
            /// App roles this application itself has at resources, by their client id: what client credentials give it.
            package var rolesAtResources: [String: [String]]

            package init(
                clientID: String, tenant: String, name: String, secrets: [ClientSecret] = [], redirectURIs: [String] = [], appIDURI: String,
                scopes: [String] = [], roles: [String] = [], tokenVersion: Int = 2, groupClaims: GroupClaims = .none, isMultiTenant: Bool = false,
                needsAssignment: Bool = false, consented: [String]? = nil, rolesAtResources: [String: [String]] = [:]
            ) {
                precondition([1, 2].contains(tokenVersion), "access tokens have version 1 or 2")
                self.clientID = clientID
                self.tenant = tenant
                self.name = name
                self.secrets = secrets
                self.redirectURIs = redirectURIs
                self.appIDURI = appIDURI
                self.scopes = scopes
                self.roles = roles
                self.tokenVersion = tokenVersion
                self.groupClaims = groupClaims
                self.isMultiTenant = isMultiTenant
                self.needsAssignment = needsAssignment
                self.consented = consented
                self.rolesAtResources = rolesAtResources
            }

            /// As requests have to ask for it.
            package func fullName(of scope: String) -> String { "\(appIDURI)/\(scope)" }
        }

        package var tenants: [Tenant]
        package var groups: [Group]
        package var users: [User]
        /// The first is the relying party's own; Graph stands beside them by itself.
        package var applications: [AppRegistration]

        package init(tenants: [Tenant], groups: [Group] = [], users: [User], applications: [AppRegistration]) {
            precondition(!tenants.isEmpty && !applications.isEmpty, "a directory has a tenant and an application")
            self.tenants = tenants
            self.groups = groups
            self.users = users
            self.applications = applications
        }

        func user(_ id: String) -> User? { users.first { $0.id == id } }

        func application(_ clientID: String) -> AppRegistration? {
            clientID == Self.graph.clientID ? Self.graph : applications.first { $0.clientID == clientID }
        }

        /// An application by what a scope says before its last slash.
        func resource(_ identifier: String) -> AppRegistration? {
            ([Self.graph] + applications).first { $0.appIDURI == identifier || $0.clientID == identifier }
        }

        /// Microsoft Graph, with the scopes and app roles that have to do with users and their groups.
        static let graph = AppRegistration(
            clientID: "00000003-0000-0000-c000-000000000000", tenant: "f8cdef31-a31e-4b4a-93e4-5f571e91255a", name: "Microsoft Graph",
            appIDURI: "https://graph.microsoft.com",
            scopes: ["User.Read", "User.ReadBasic.All", "User.Read.All", "GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"],
            roles: ["User.Read.All", "GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"], tokenVersion: 1, isMultiTenant: true)
    }
}

extension FakeEntra.Directory {
    /// One tenant; a user for each role of the gateway, one with more groups than a token holds and one with no role; the
    /// gateway's application, and one to act on a user's behalf at. All ids are the same at every start.
    ///
    /// - Parameter secret: of the gateway's application; nil makes one.
    package static func evaluation(secret: Secret<String>? = nil) -> Self {
        let tenant = Tenant(id: "7d0d4a2e-51c5-4f6c-9b5a-6f1e2a3b4c5d", name: "Evaluation")
        let gatewayID = "c1a0e7b2-3f4d-4e5a-8b6c-9d0e1f2a3b4c"
        let downstreamID = "d2b1f8c3-405e-4f6b-9c7d-0e1f2a3b4c5d"
        let groups = (1...250).map { number in
            Group(id: "6d000000-0000-4000-8000-\(padded(number))", name: number <= names.count ? names[number - 1] : "Project \(number)")
        }
        func user(_ number: Int, _ name: String, _ displayName: String, roles: [String] = [], groups count: Int = 0) -> User {
            User(
                id: "5e000000-0000-4000-8000-\(padded(number))", tenant: tenant.id, name: name, displayName: displayName,
                principalName: "\(name)@evaluation.example", mail: "\(name)@evaluation.example", roles: roles,
                groups: groups.prefix(count).map(\.id))
        }
        return Self(
            tenants: [tenant], groups: groups,
            users: [
                user(1, "admin", "Ada Administrator", roles: ["admin"], groups: 2),
                user(2, "server_owner", "Sam Server-Owner", roles: ["server_owner"], groups: 2),
                user(3, "user", "Uma User", roles: ["user"], groups: 1),
                user(4, "auditor", "Aki Auditor", roles: ["auditor"], groups: 3),
                user(5, "many.groups", "Mika Many-Groups", roles: ["user"], groups: 250),
                user(6, "guest", "Gil Guest"),
            ],
            applications: [
                AppRegistration(
                    clientID: gatewayID, tenant: tenant.id, name: "MCP Registry Gateway",
                    secrets: [ClientSecret(secret ?? Secret(RequestID.random().description + RequestID.random().description))],
                    appIDURI: "api://\(gatewayID)", scopes: ["access_as_user"], roles: ["admin", "server_owner", "user", "auditor"],
                    groupClaims: .list, rolesAtResources: [graph.clientID: ["User.Read.All", "GroupMember.Read.All"], gatewayID: ["user"]]),
                AppRegistration(
                    clientID: downstreamID, tenant: tenant.id, name: "Sample files", appIDURI: "api://files.evaluation.example",
                    scopes: ["Files.Read", "Files.Write"], tokenVersion: 1),
            ])
    }

    private static let names = ["Everybody", "Engineering", "Audit"]

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 12 - digits.count) + digits
    }
}
