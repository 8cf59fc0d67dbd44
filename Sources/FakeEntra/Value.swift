#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension FakeEntra {
    /// A JSON value: a claim of a token, a member of an answer.
    package enum Value: Hashable, Sendable {
        case null
        case bool(Bool)
        case integer(Int64)
        case string(String)
        case array([Value])
        case object([String: Value])

        package subscript(name: String) -> Value? {
            guard case .object(let members) = self else { return nil }
            return members[name]
        }

        package var string: String? {
            guard case .string(let text) = self else { return nil }
            return text
        }

        package var integer: Int64? {
            guard case .integer(let number) = self else { return nil }
            return number
        }

        package var bool: Bool? {
            guard case .bool(let bool) = self else { return nil }
            return bool
        }

        package var strings: [String]? {
            guard case .array(let values) = self else { return nil }
            return values.compactMap(\.string)
        }

        package var members: [String: Value]? {
            guard case .object(let members) = self else { return nil }
            return members
        }

        static func strings(_ texts: some Sequence<String>) -> Self { .array(texts.map { .string($0) }) }

        /// Nil for what is not JSON, and for numbers that are not whole: nothing here has any.
        package init?(parsing bytes: [UInt8]) {
            guard let value = try? JSONDecoder().decode(Value.self, from: Data(bytes)) else { return nil }
            self = value
        }

        /// Members in the order of their names.
        package var json: [UInt8] {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            // Strings, whole numbers, lists and objects: nothing of these can fail to encode.
            return (try? encoder.encode(self)).map { Array($0) } ?? []
        }
    }
}

extension FakeEntra.Value: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let bool = try? container.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? container.decode(Int64.self) {
            self = .integer(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let values = try? container.decode([Self].self) {
            self = .array(values)
        } else {
            self = .object(try container.decode([String: Self].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let bool): try container.encode(bool)
        case .integer(let number): try container.encode(number)
        case .string(let text): try container.encode(text)
        case .array(let values): try container.encode(values)
        case .object(let members): try container.encode(members)
        }
    }
}

extension FakeEntra.Value: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(arrayLiteral elements: Self...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, Self)...) { self = .object(Dictionary(elements) { $1 }) }
}
