import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Values with secrets in them as bytes, on their way into a seal and out of it. They are never sent.
enum SealedForm<Form: Codable> {
    static func write(_ form: Form) -> Secret<[UInt8]> {
        // Texts and numbers always have a form.
        Secret((try? JSONEncoder().encode(form)).map { [UInt8]($0) } ?? [])
    }

    static func read(_ bytes: Secret<[UInt8]>) -> Form? { try? JSONDecoder().decode(Form.self, from: Data(bytes.revealed)) }
}
