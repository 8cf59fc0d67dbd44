import Foundation
import NIOHTTP1
import Synchronization

/// A person's browser as far as it matters here: it keeps cookies by host and port, follows redirects one by one, and sends
/// forms as they stand on the page. It runs no scripts.
final class TestBrowser: Sendable {
    private let cookies = Mutex<[String: [String: String]]>([:])

    struct Page: Sendable {
        let url: String
        let answer: Answer

        var text: String { answer.text }
        var status: Int { answer.status }

        /// Hidden fields of the page's one form.
        var fields: [(String, String)] {
            text.matches(of: #/<input type="hidden" name="([^"]*)" value="([^"]*)">/#).map { (String($0.1), String($0.2)) }
        }
        var action: String? { text.firstMatch(of: #/<form method="post" action="([^"]*)">/#).map { String($0.1) } }
    }

    func clear() { cookies.withLock { $0 = [:] } }

    /// Opens an address and whatever it redirects to.
    ///
    /// - Parameter stop: addresses that are not opened any more; then the page is the redirect itself.
    func open(_ url: String, until stop: @Sendable (String) -> Bool = { _ in false }) async throws -> Page {
        try await go(.GET, url, [], until: stop)
    }

    /// Sends a page's form with these fields beside its own.
    func submit(
        _ page: Page, _ fields: [(String, String)], headers: [(String, String)] = [], until stop: @Sendable (String) -> Bool = { _ in false }
    ) async throws -> Page {
        guard let action = page.action else { throw Failed("there is no form on \(page.url): \(page.text)") }
        let base = Self.parts(page.url)
        return try await go(.POST, action.hasPrefix("/") ? base.origin + action : action, page.fields + fields, headers: headers, until: stop)
    }

    private func go(
        _ method: HTTPMethod, _ url: String, _ fields: [(String, String)], headers: [(String, String)] = [], until stop: (String) -> Bool
    ) async throws -> Page {
        var (method, url, fields, headers) = (method, url, fields, headers)
        for _ in 0..<12 {
            let parts = Self.parts(url)
            var all = headers + [("Host", parts.authority)]
            let kept = cookies.withLock { $0[parts.authority] ?? [:] }
            if !kept.isEmpty { all.append(("Cookie", kept.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "; "))) }
            if method == .POST { all.append(("Content-Type", "application/x-www-form-urlencoded")) }
            let body = fields.map { "\(Self.escaped($0.0))=\(Self.escaped($0.1))" }.joined(separator: "&")
            let answer = try await RunningGateway.send(
                method, parts.path, headers: all, body: method == .POST ? Array(body.utf8) : [], to: parts.port)
            for line in answer.headers["set-cookie"] { keep(line, parts.authority) }
            guard (300..<400).contains(answer.status), let location = answer.headers.first(name: "location") else {
                return Page(url: url, answer: answer)
            }
            let next = location.hasPrefix("/") ? parts.origin + location : location
            if stop(next) { return Page(url: next, answer: answer) }
            (method, url, fields, headers) = (.GET, next, [], [])
        }
        throw Failed("too many redirects, last to \(url)")
    }

    private func keep(_ line: String, _ authority: String) {
        guard let pair = line.split(separator: ";").first, let equals = pair.firstIndex(of: "=") else { return }
        let (name, value) = (String(pair[..<equals]), String(pair[pair.index(after: equals)...]))
        cookies.withLock { $0[authority, default: [:]][name] = value.isEmpty || line.contains("Max-Age=0;") ? nil : value }
    }

    static func parts(_ url: String) -> (origin: String, authority: String, port: Int, path: String) {
        let rest = url.dropFirst("http://".count)
        let authority = String(rest.prefix { $0 != "/" && $0 != "?" })
        let path = String(rest.dropFirst(authority.count))
        return ("http://\(authority)", authority, Int(authority.split(separator: ":").last ?? "") ?? 80, path.isEmpty ? "/" : path)
    }

    static func query(_ url: String) -> [String: String] {
        FakeUpstream.Request.pairs(url.split(separator: "?", maxSplits: 1).dropFirst().first.map(String.init) ?? "")
    }

    private static func escaped(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
    }

    // MARK: Steps of a person

    /// Signs in at evaluation's issuer, from wherever that asks for it.
    func signIn(as user: String, at page: Page, until stop: @Sendable (String) -> Bool = { _ in false }) async throws -> Page {
        var page = page
        guard let button = page.text.firstMatch(of: try Regex(#"name="user" value="([^"]*)"><b>[^<]*</b><span>"# + user + "@")) else {
            throw Failed("there is no \(user) to pick: \(page.text)")
        }
        page = try await submit(page, [("user", String(button[1].substring ?? ""))], until: stop)
        if page.text.contains("name=\"consent\"") { page = try await submit(page, [("consent", "accept")], until: stop) }
        return page
    }
}
