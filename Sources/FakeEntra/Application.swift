import Gateway
import HTTPTypes
package import Hummingbird
package import Logging
import NIOCore
import ServiceLifecycle

extension FakeEntra {
    private static let largestBody = 256 << 10

    /// The issuer on loopback, as a service to run.
    ///
    /// It calls itself by 127.0.0.1 while the gateway is at localhost: to a browser they are two sites, as in production,
    /// and neither sees the other's cookies.
    ///
    /// - Parameters:
    ///   - port: 0 takes any free one.
    ///   - onListening: called once with the port, when connections are accepted and `registration` says where.
    package static func application(
        _ fake: FakeEntra, port: Int, logger: Logger, onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> some ApplicationProtocol {
        let responder = CallbackResponder<Context> { request, context in try await respond(to: request, context, fake) }
        return Application(
            responder: responder,
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { channel in
                let bound = channel.localAddress?.port ?? port
                fake.announce(authority: "http://127.0.0.1:\(bound)")
                await onListening(bound)
            },
            logger: logger
        )
    }

    /// Keeps the connection at hand, to end it.
    private struct Context: RequestContext {
        var coreContext: CoreRequestContextStorage
        let channel: any Channel

        init(source: ApplicationRequestContextSource) {
            coreContext = .init(source: source)
            channel = source.channel
        }
    }

    private struct Dropped: Error {}

    private static func respond(to request: Request, _ context: Context, _ fake: FakeEntra) async throws -> Response {
        // A web page elsewhere whose name was made to point here still says its own name (DNS rebinding).
        guard Origin("http://" + (request.head.authority ?? ""))?.isLoopback ?? false else { return Response(status: .misdirectedRequest) }
        var request = request
        let body: ByteBuffer
        do { body = try await request.collectBody(upTo: largestBody) } catch is NIOTooManyBytesError {
            return Response(status: .contentTooLarge)
        }
        let headers = request.headers.map { (name: $0.name.canonicalName, value: $0.value) }
        let incoming = Incoming(
            request.method.rawValue, request.uri.path, query: request.uri.query.map { String($0) } ?? "", headers: headers,
            body: Array(body.readableBytesView))
        switch fake.answer(incoming) {
        case .hangUp:
            try? await context.channel.close()
            throw Dropped()
        case .reply(let reply, let delay):
            if delay > .zero { try await cancelWhenGracefulShutdown { try await Task.sleep(for: delay) } }
            var fields = HTTPFields()
            for header in reply.headers {
                if let name = HTTPField.Name(header.name) { fields.append(HTTPField(name: name, value: header.value)) }
            }
            return Response(
                status: .init(code: reply.status), headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: reply.body)))
        }
    }
}
