/// Writes a JSON object with its members in the order they are given, and no space between them: the same values are the
/// same bytes for ever.
struct JSONWriter {
    private var text = ""

    mutating func add(_ name: String, _ value: String) { add(name, verbatim: Self.quoted(value)) }
    mutating func add(_ name: String, _ value: Int64) { add(name, verbatim: String(value)) }
    mutating func add(_ name: String, _ values: [String]) { add(name, verbatim: "[" + values.map(Self.quoted).joined(separator: ",") + "]") }

    private mutating func add(_ name: String, verbatim value: String) {
        if !text.isEmpty { text += "," }
        text += Self.quoted(name) + ":" + value
    }

    var bytes: [UInt8] { Array("{\(text)}".utf8) }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22: out += "\\\""
            case 0x5C: out += "\\\\"
            case 0..<0x20: out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
