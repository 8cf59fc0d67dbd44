/// One part of what is sealed.
enum VaultField {
    case text(String)
    case bytes([UInt8])
    case number(Int64)

    private static let version: UInt8 = 1

    private var count: Int {
        switch self {
        case .text(let text): 4 + text.utf8.count
        case .bytes(let bytes): 4 + bytes.count
        case .number: 8
        }
    }

    /// A version, and each part with its length in front; in one piece of memory, so that it can be wiped.
    static func encode(_ fields: [Self]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(fields.reduce(1) { $0 + $1.count })
        bytes.append(version)
        for field in fields {
            switch field {
            case .text(let text): append(text.utf8, text.utf8.count, to: &bytes)
            case .bytes(let part): append(part, part.count, to: &bytes)
            case .number(let number): withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
            }
        }
        return bytes
    }

    private static func append(_ part: some Sequence<UInt8>, _ count: Int, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: UInt32(count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: part)
    }

    /// Reads parts in the order they were written; nil where one is missing, or something follows the last.
    static func decode<Value>(_ bytes: [UInt8], _ body: (inout Reader) -> Value?) -> Value? {
        bytes.withUnsafeBytes { bytes in
            guard bytes.first == version else { return nil }
            var reader = Reader(rest: bytes.dropFirst())
            guard let value = body(&reader), reader.rest.isEmpty else { return nil }
            return value
        }
    }

    struct Reader {
        fileprivate var rest: Slice<UnsafeRawBufferPointer>

        mutating func number() -> Int64? { part(8).map { Int64(bitPattern: $0.reduce(0) { $0 << 8 | UInt64($1) }) } }
        mutating func bytes() -> [UInt8]? { measuredPart().map { Array($0) } }
        mutating func text() -> String? { measuredPart().flatMap { String(validating: $0, as: UTF8.self) } }

        private mutating func measuredPart() -> Slice<UnsafeRawBufferPointer>? {
            part(4).map { $0.reduce(0) { $0 << 8 | Int($1) } }.flatMap { part($0) }
        }

        private mutating func part(_ count: Int) -> Slice<UnsafeRawBufferPointer>? {
            guard count <= rest.count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
    }
}
