import Discovery
import Gateway
import HTTPTypes
import Hummingbird
import MCP
import OAuth

/// The official registry's API, read-only: what editors ask for the servers there are. Nobody signs in for it, so it holds what
/// owners made public and nothing else.
///
/// Its errors are the registry's, `{"error": "…"}`, for its clients read no others.
struct RegistryAPI: Sendable {
    let servers: PublicServers

    /// The stable path, and the one that older clients ask next.
    private static let roots = ["/v0.1", "/v0"]
    /// What becomes of it in a client that adds the version to a base URL which has one already.
    private static let doubledRoots = ["/v0.1/v0.1", "/v0/v0.1"]
    private static let freshFor = 60

    func addRoutes(to router: Router<GatewayContext>) {
        for root in Self.roots {
            router.get(RouterPath("\(root)/servers")) { answer($0, $1, root) }
            // A name holds a slash, escaped or not.
            for name in ["{name}", "{name}/{rest}"] {
                for tail in ["", "/versions", "/versions/{version}"] {
                    router.get(RouterPath("\(root)/servers/\(name)\(tail)")) { answer($0, $1, root) }
                }
            }
            let changes: [(HTTPRequest.Method, String)] = [
                (.post, "/publish"), (.put, "/servers/{name}/versions/{version}"), (.delete, "/servers/{name}/versions/{version}"),
                (.patch, "/servers/{name}/versions/{version}/status"), (.patch, "/servers/{name}/status"),
            ]
            for (method, path) in changes {
                router.on(RouterPath(root + path), method: method) { _, _ in
                    Self.error(
                        .notImplemented,
                        "This registry is read-only: an owner makes a server public, with \"public\": true under /api/v1/servers.")
                }
            }
        }
        for root in Self.doubledRoots { router.get(RouterPath("\(root)/**")) { answer($0, $1, root) } }
    }

    private static func find(_ path: RegistryPath?, _ query: RegistryQuery, in index: RegistryIndex) throws(RegistryFault) -> JSONText {
        switch path {
        case .servers?: return index.page(query).text
        case .versions(of: let name)?: return try index.versions(of: name, includesDeleted: query.includesDeleted).text
        case .version(let version, of: let name)?: return try index.entry(version, of: name, includesDeleted: query.includesDeleted).text
        case nil: throw .unknown("There is nothing here. A server is at /v0.1/servers/{name}/versions/latest, its name with %2F for the slash.")
        }
    }

    private func answer(_ request: Request, _ context: GatewayContext, _ root: String) -> Response {
        guard let index = servers.index else {
            var response = Self.error(.serviceUnavailable, "The gateway is starting; ask again in a moment.")
            response.headers[.retryAfter] = "1"
            return response
        }
        do throws(RegistryFault) {
            let query = try RegistryQuery(try parameters(request))
            let path = RegistryPath(request.uri.path.dropFirst(root.utf8.count + 1))
            return PublicDocument.answer(request, try Self.find(path, query, in: index), for: Self.freshFor)
        } catch {
            switch error {
            case .badRequest: return Self.error(.badRequest, error.sentence)
            case .unknown:
                // Editors go on asking for what they once found here. That is no misdeed of their address.
                context.conduct.blame = .nobody
                return Self.error(.notFound, error.sentence)
            }
        }
    }

    private func parameters(_ request: Request) throws(RegistryFault) -> [(name: String, value: String)] {
        do throws(OAuthError) { return try FormURLEncoded.pairs(Array((request.uri.query ?? "").utf8)) } catch {
            throw .badRequest(error.sentence)
        }
    }

    private static func error(_ status: HTTPResponse.Status, _ sentence: String) -> Response {
        .json(["error": .string(sentence)], status: status)
    }
}
