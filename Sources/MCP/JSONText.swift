/// A text that is one JSON value, built from the inside out.
///
/// What is handed in as parsed `JSON` keeps its bytes, so that numbers, key order and escapes that are not ours
/// survive the gateway untouched.
package struct JSONText: Hashable, Sendable, CustomStringConvertible {
    package private(set) var bytes: [UInt8]

    init(verbatim bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    package var description: String { String(decoding: bytes, as: UTF8.self) }

    package static let null = JSONText(verbatim: Array("null".utf8))

    package static func string(_ value: String) -> Self {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(value.utf8.count + 2)
        bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x0A: bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "n")])
            case 0..<0x20:
                bytes.append(contentsOf: Array("\\u00".utf8))
                bytes.append(hexadecimalDigits[Int(byte >> 4)])
                bytes.append(hexadecimalDigits[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
        return Self(verbatim: bytes)
    }

    package static func number(_ value: some BinaryInteger) -> Self { Self(verbatim: Array(String(value).utf8)) }

    /// Not a number and infinities have no JSON form and become `null`.
    package static func number(_ value: Double) -> Self {
        value.isFinite ? Self(verbatim: Array(String(value).utf8)) : .null
    }

    package static func bool(_ value: Bool) -> Self { Self(verbatim: Array((value ? "true" : "false").utf8)) }

    package static func array(_ elements: some Sequence<JSONText>) -> Self {
        var bytes = [UInt8(ascii: "[")]
        for element in elements {
            if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: element.bytes)
        }
        bytes.append(UInt8(ascii: "]"))
        return Self(verbatim: bytes)
    }

    /// An object with these members in this order. A nil value leaves its member out; names must differ.
    package static func object(_ members: [(String, JSONText?)]) -> Self {
        object(members.lazy.compactMap { name, value in value.map { (name, $0.bytes[...]) } })
    }

    /// What the values take is reserved at once: an answer of megabytes is not to lie there twice while it grows.
    fileprivate static func object(_ members: some Collection<(String, ArraySlice<UInt8>)>) -> Self {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(members.reduce(2) { $0 + $1.0.utf8.count + $1.1.count + 4 })
        bytes.append(UInt8(ascii: "{"))
        for (name, value) in members {
            if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: string(name).bytes)
            bytes.append(UInt8(ascii: ":"))
            bytes.append(contentsOf: value)
        }
        bytes.append(UInt8(ascii: "}"))
        return Self(verbatim: bytes)
    }
}

private let hexadecimalDigits = Array("0123456789abcdef".utf8)

extension JSONText: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int) { self = .number(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONText...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONText?)...) { self = .object(elements) }
}

extension JSON {
    /// This object with some members replaced, added (at the end) or, where the value is nil, left out; all other
    /// values keep their bytes and their place. Not an object: the changes alone.
    package func replacing(_ changes: [(String, JSONText?)]) -> JSONText {
        var remaining = changes
        var members: [(String, ArraySlice<UInt8>)] = []
        for (name, value) in self.members {
            if let change = remaining.firstIndex(where: { $0.0.utf8.elementsEqual(name.utf8) }) {
                if let replaced = remaining.remove(at: change).1 { members.append((name, replaced.bytes[...])) }
            } else {
                members.append((name, value.bytes))
            }
        }
        for case (let name, let value?) in remaining { members.append((name, value.bytes[...])) }
        return JSONText.object(members)
    }
}
