import Gateway
import Synchronization
import Testing

@testable import Identity

/// Servers of clients' documents, as a fetcher; it keeps what it was asked.
private final class Web: Sendable {
    struct Page {
        var status = 200
        var headers = [(name: "content-type", value: "application/json")]
        var body = "{}"
    }

    private let asked = Mutex<[FetchRequest]>([])
    private let answer: @Sendable (FetchRequest) async throws(FetchFailure) -> Page

    init(_ answer: @escaping @Sendable (FetchRequest) async throws(FetchFailure) -> Page) { self.answer = answer }

    convenience init(headers: [(name: String, value: String)]) {
        self.init { _ throws(FetchFailure) in Page(headers: [(name: "content-type", value: "application/json")] + headers) }
    }

    var requests: [FetchRequest] { asked.withLock { $0 } }

    var fetcher: Fetcher {
        Fetcher { request throws(FetchFailure) in
            self.asked.withLock { $0.append(request) }
            let page = try await self.answer(request)
            return FetchedAnswer(status: page.status, headers: page.headers, body: Array(page.body.utf8))
        }
    }
}

private final class Clock: Sendable {
    private let time = Mutex((seconds: Int64(1_000_000), looks: 0))

    var looks: Int { time.withLock { $0.looks } }
    func advance(_ seconds: Int64) { time.withLock { $0.seconds += seconds } }

    var now: Moment {
        let seconds = time.withLock { time in
            time.looks += 1
            return time.seconds
        }
        return Moment(wall: Timestamp(microseconds: seconds * 1_000_000), boot: BootInstant(nanoseconds: seconds * 1_000_000_000))
    }
}

private struct Unreadable: Error, CustomStringConvertible {
    var description = "it names no redirect URI"
}

@Suite(.timeLimit(.minutes(1)))
struct ClientDocumentsTests {
    private let id = "https://client.example/oauth.json"
    private let clock = Clock()

    private func documents(
        _ web: Web, capacity: Int = 1000, allowance: FetchAllowance = FetchAllowance(),
        read: @escaping @Sendable ([UInt8], String) throws -> String = { body, id in id + " " + String(decoding: body, as: UTF8.self) }
    ) -> ClientDocuments<String> {
        let clock = clock
        return ClientDocuments(
            policy: ClientDocumentPolicy(), fetcher: web.fetcher, allowance: allowance, capacity: capacity, now: { clock.now }, read: read)
    }

    private func ask(_ documents: ClientDocuments<String>, _ id: String? = nil, from address: String = "192.0.2.1")
        async throws(ClientDocumentFailure) -> String
    {
        try await documents.document(of: id ?? self.id, askedFrom: IPAddress(address)!)
    }

    private func failure(_ documents: ClientDocuments<String>, _ id: String? = nil, from address: String = "192.0.2.1") async
        -> ClientDocumentFailure?
    {
        do {
            _ = try await ask(documents, id, from: address)
            return nil
        } catch { return error }
    }

    // MARK: What is asked and taken

    @Test func `a document is asked for as JSON, within bounds, and read with its URL`() async throws {
        let web = Web { _ in Web.Page(body: #"{"client_name":"C"}"#) }
        #expect(try await ask(documents(web)) == #"https://client.example/oauth.json {"client_name":"C"}"#)
        let request = try #require(web.requests.first)
        #expect(request.method == .get)
        #expect(request.endpoint.description == id)
        #expect(request.headers.map { "\($0.name): \($0.value)" } == ["accept: application/json"])
        #expect(request.body.isEmpty)
        #expect(request.largestAnswer == 5120)
        #expect(request.deadline == .seconds(5))
    }

    @Test(arguments: [
        "application/json", "Application/JSON", "application/json; charset=utf-8", " application/json ;x=y", "application/client+json",
        "application/ld+json;a=b",
    ])
    func `JSON by any of its names is taken`(type: String) async throws {
        _ = try await ask(documents(Web { _ in Web.Page(headers: [("content-type", type)]) }))
    }

    @Test(arguments: [
        "", "text/html", "text/plain", "text/json", "application/javascript", "application/jsonp", "application/json5", "application/xml", "json",
        "x/application/json",
        "application/x json", "text/html; application/json", "application/jso n", "image/svg+json", "application/octet-stream", "text/html+json",
    ])
    func `what does not say it is JSON is not read`(type: String) async throws {
        let documents = documents(
            Web { _ in Web.Page(headers: type.isEmpty ? [] : [("content-type", type)]) },
            read: { _, _ in
                Issue.record("read"); return ""
            })
        #expect(await failure(documents) == .unreadable("what its server answered is not JSON"))
    }

    @Test(arguments: [100, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 410, 429, 500, 503])
    func `only a plain success is read`(status: Int) async throws {
        let web = Web { _ in Web.Page(status: status, headers: [("content-type", "application/json"), ("location", "https://other.example/a")]) }
        #expect(await failure(documents(web)) == .unreadable("its server answered with status \(status)"))
        #expect(web.requests.count == 1)
    }

    @Test(arguments: [(5120, true), (5121, false)])
    func `a document is at most 5 KiB`(size: Int, isRead: Bool) async throws {
        let web = Web { _ in Web.Page(body: String(repeating: " ", count: size)) }
        #expect((await failure(documents(web)) == nil) == isRead)
    }

    @Test(arguments: [
        (FetchFailure.unreachable("10.0.0.1 is in 10.0.0.0/8, which is not reachable from here"), "10.0.0.1"),
        (.unreachable("connecting failed (Connection refused)"), "refused"),
        (.lost("its answer is compressed"), "compressed"), (.tooLarge, "5 KiB"), (.timedOut(.seconds(5)), "5 s"),
    ])
    func `whoever asks learns nothing of what the fetch met, the operator does`(met: FetchFailure, detail: String) async throws {
        let failure = try #require(await failure(documents(Web { _ throws(FetchFailure) in throw met })))
        #expect(failure.sentence == ClientDocumentFailure.unreadable("").sentence)
        #expect(!failure.sentence.contains(detail))
        #expect(failure.reason.contains(detail))
    }

    @Test func `what the reader says against a document is the operator's to know`() async throws {
        let failure = try #require(await failure(documents(Web { _ in Web.Page() }, read: { _, _ in throw Unreadable() })))
        #expect(failure == .unreadable("it names no redirect URI"))
        #expect(failure.sentence == ClientDocumentFailure.unreadable("").sentence)
    }

    @Test func `what the reader says is short and moves no cursor`() async throws {
        let documents = documents(
            Web { _ in Web.Page() }, read: { _, _ in throw Unreadable(description: "\u{1B}[2J" + String(repeating: "a", count: 5000)) })
        let reason = try #require(await failure(documents)).reason
        #expect(!reason.hasControls)
        #expect(reason.utf8.count < 300)
    }

    @Test(arguments: ["http://client.example/a", "https://127.0.0.1/a", "https://client.example/", "client"])
    func `what may be no client's id is not fetched`(id: String) async throws {
        let web = Web { _ in Web.Page() }
        #expect(await failure(documents(web), id) != nil)
        #expect(web.requests.isEmpty)
    }

    // MARK: What is kept

    @Test(arguments: [([], 300), (["max-age=3600"], 3600), (["max-age=1"], 300), (["max-age=999999"], 86_400)] as [([String], Int64)])
    func `a document is kept as long as its server says, within bounds`(control: [String], seconds: Int64) async throws {
        let web = Web(headers: control.map { ("cache-control", $0) })
        let documents = documents(web)
        _ = try await ask(documents)
        clock.advance(seconds - 1)
        _ = try await ask(documents)
        #expect(web.requests.count == 1)
        clock.advance(1)
        _ = try await ask(documents)
        #expect(web.requests.count == 2)
    }

    @Test(arguments: ["no-store", "no-cache"])
    func `a document that is not to be kept is fetched each time`(control: String) async throws {
        let web = Web(headers: [("cache-control", control)])
        let documents = documents(web)
        for _ in 0..<3 { _ = try await ask(documents) }
        #expect(web.requests.count == 3)
    }

    @Test func `a failure is kept for a minute`() async throws {
        let isUp = Mutex(false)
        let web = Web { _ in isUp.withLock { $0 } ? Web.Page() : Web.Page(status: 503) }
        let documents = documents(web)
        #expect(await failure(documents) != nil)
        isUp.withLock { $0 = true }
        clock.advance(59)
        #expect(await failure(documents) != nil)
        #expect(web.requests.count == 1)
        clock.advance(1)
        #expect(await failure(documents) == nil)
        #expect(web.requests.count == 2)
    }

    @Test func `a document that has become unreadable is not used on`() async throws {
        let isUp = Mutex(true)
        let documents = documents(Web { _ in isUp.withLock { $0 } ? Web.Page() : Web.Page(status: 404) })
        #expect(await failure(documents) == nil)
        isUp.withLock { $0 = false }
        clock.advance(300)
        #expect(await failure(documents) != nil)
    }

    @Test func `ids that differ in anything are different clients`() async throws {
        let web = Web { _ in Web.Page() }
        let documents = documents(web)
        let ids = [
            "https://client.example/a", "https://client.example/A", "https://client.example/a/", "https://client.example/a?",
            "https://client.example:8443/a",
        ]
        for id in ids { #expect(try await ask(documents, id).hasPrefix(id + " ")) }
        #expect(web.requests.map(\.endpoint.description) == ids)
    }

    @Test func `those who ask at the same time wait for one fetch`() async throws {
        let clock = clock
        let web = Web { _ in
            // Until everybody has come; each looks at the clock once.
            while clock.looks < 20 { await Task.yield() }
            return Web.Page()
        }
        let documents = documents(web)
        let answers = await withTaskGroup(of: String?.self) { group in
            for number in 0..<20 { group.addTask { try? await self.ask(documents, from: "192.0.2.\(number)") } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers == Array(repeating: id + " {}", count: 20))
        #expect(web.requests.count == 1)
    }

    @Test func `whoever goes away takes the fetch from nobody`() async throws {
        let clock = clock
        let web = Web { _ in
            while clock.looks < 2 { await Task.yield() }
            #expect(!Task.isCancelled)
            return Web.Page()
        }
        let documents = documents(web)
        let first = Task { try await self.ask(documents) }
        while web.requests.isEmpty { await Task.yield() }
        first.cancel()
        _ = try await ask(documents)
        #expect(web.requests.count == 1)
    }

    // MARK: Bounds

    private func page(_ number: Int) -> String { "https://client.example/\(number)" }
    private static let unlimited = FetchAllowance(perAddress: 0, inAll: 0)

    @Test func `beyond the capacity, what was used least recently is fetched anew`() async throws {
        let web = Web { _ in Web.Page() }
        let documents = documents(web, capacity: 3, allowance: Self.unlimited)
        for number in 1...3 { _ = try await ask(documents, page(number)) }
        _ = try await ask(documents, page(1))
        _ = try await ask(documents, page(4))
        #expect(web.requests.count == 4)
        for number in [1, 3, 4] { _ = try await ask(documents, page(number)) }
        #expect(web.requests.count == 4)
        _ = try await ask(documents, page(2))
        #expect(web.requests.count == 5)
    }

    @Test func `failures make room before any document does`() async throws {
        let web = Web { request in Web.Page(status: request.endpoint.path.hasPrefix("/9") ? 404 : 200) }
        let documents = documents(web, capacity: 3, allowance: Self.unlimited)
        for number in [1, 2] { _ = try await ask(documents, page(number)) }
        for number in 90..<99 { #expect(await failure(documents, page(number)) != nil) }
        #expect(web.requests.count == 11)
        for number in [1, 2] { _ = try await ask(documents, page(number)) }
        #expect(web.requests.count == 11)
    }

    @Test func `a thousand documents are kept`() async throws {
        let web = Web { _ in Web.Page() }
        let documents = documents(web, allowance: Self.unlimited)
        for number in 0..<1000 { _ = try await ask(documents, page(number)) }
        for number in 0..<1000 { _ = try await ask(documents, page(number)) }
        #expect(web.requests.count == 1000)
        _ = try await ask(documents, page(1000))
        _ = try await ask(documents, page(0))
        #expect(web.requests.count == 1002)
    }

    @Test func `an address makes us fetch ten new documents a minute, and may use what is known`() async throws {
        let web = Web { _ in Web.Page() }
        let documents = documents(web)
        for number in 0..<10 { _ = try await ask(documents, page(number)) }
        #expect(await failure(documents, page(10)) == .throttled(retryAfter: .seconds(6)))
        #expect(web.requests.count == 10)
        _ = try await ask(documents, page(3))
        // What was refused is not remembered as a failure.
        _ = try await ask(documents, page(10), from: "192.0.2.2")
        _ = try await ask(documents, page(10))
        clock.advance(6)
        _ = try await ask(documents, page(11))
        #expect(web.requests.count == 12)
    }

    @Test func `all addresses together make us fetch sixty a minute`() async throws {
        let web = Web { _ in Web.Page() }
        let documents = documents(web)
        for number in 0..<60 { _ = try await ask(documents, page(number), from: "192.0.2.\(number)") }
        let failure = try #require(await failure(documents, page(60), from: "192.0.2.60"))
        #expect(failure == .throttled(retryAfter: .seconds(1)))
        #expect(failure.sentence == "Too many new clients are being looked up; try again in 1 s.")
        #expect(web.requests.count == 60)
    }

    @Test func `failures count as fetches`() async throws {
        let web = Web { _ throws(FetchFailure) in throw .unreachable("no") }
        let documents = documents(web)
        for number in 0..<20 { #expect(await failure(documents, page(number)) != nil) }
        #expect(web.requests.count == 10)
    }
}
