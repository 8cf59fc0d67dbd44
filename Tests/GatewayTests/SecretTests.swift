import Testing

@testable import Gateway

struct SecretTests {
    struct Credentials {
        var user = "ada"
        var password = Secret("hunter2")
        var former: Secret<String>? = Secret("hunter2")
        var keys: [String: Secret<[UInt8]>] = ["signing": Secret(Array("hunter2".utf8))]
    }

    struct Failure: Error { let cause = Secret("hunter2") }

    static func dumped(_ value: some Any) -> String {
        var text = ""
        dump(value, to: &text)
        return text
    }

    static func debugPrinted(_ value: some Any) -> String {
        var text = ""
        debugPrint(value, to: &text)
        return text
    }

    static let secret = Secret("hunter2")
    static let printed = [
        secret.description, secret.debugDescription, "\(secret)", "\(Optional(secret) as Any)", String(describing: secret),
        String(reflecting: secret), dumped(secret), debugPrinted(secret), "\([secret])", "\(["key": secret])", dumped([secret]), "\((1, secret))",
        "\(Credentials())", dumped(Credentials()), String(reflecting: Credentials()), "\(Failure())", String(reflecting: Failure()),
        dumped(Failure()), "\(Secret(secret))", dumped(Result<Secret<String>, any Error>.success(secret)),
    ]

    @Test(arguments: printed)
    func `a secret prints as redacted everywhere`(text: String) {
        #expect(text.contains("redacted"))
        #expect(!text.contains("hunter2"))
        // The digits of its bytes, as an array of them would print.
        #expect(!text.contains("104, 117"))
    }

    @Test func `a mirror of a secret shows nothing`() {
        #expect(Mirror(reflecting: Self.secret).children.isEmpty)
        #expect(Mirror(reflecting: Self.secret).superclassMirror == nil)
    }

    @Test func `a secret cannot be compared, hashed or written by accident`() {
        let secret: Any = Self.secret
        #expect(!(secret is any Equatable))
        #expect(!(secret is any Encodable))
        #expect(!(secret is any TextOutputStreamable))
    }

    @Test func `a secret is told to those who ask for it`() {
        #expect(Self.secret.revealed == "hunter2")
    }
}
