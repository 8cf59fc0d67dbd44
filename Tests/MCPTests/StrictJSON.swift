/// A second reader of strict JSON, written apart from the first so that the two can be held against each other.
///
/// It works on scalars that the standard library decoded, reads strings as UTF-16 and numbers as decimal digits; it
/// shares no rule's implementation with `JSONParser`. The fuzzers are built with it too, so it needs no import.
struct StrictJSON {
    indirect enum Value: Equatable {
        case word(String)
        case number(String)
        /// As UTF-8: `String` would call "é" and "e\u{301}" equal.
        case string([UInt8])
        case array([Value])
        case object(names: [[UInt8]], values: [Value])
    }

    /// The value of a whole text, or nil if any rule is broken.
    static func read(_ text: [UInt8], depth: Int = 64, nodes: Int = 200_000) -> Value? {
        guard let decoded = String(validating: text, as: UTF8.self) else { return nil }
        var reader = StrictJSON(rest: Array(decoded.unicodeScalars)[...], nodesLeft: nodes)
        guard let value = reader.value(depth), reader.next() == nil else { return nil }
        return value
    }

    private var rest: ArraySlice<Unicode.Scalar>
    private var nodesLeft: Int

    /// The next scalar that is not white space, left in place.
    private mutating func next() -> Unicode.Scalar? {
        rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" }
        return rest.first
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next() == scalar else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func value(_ depthLeft: Int) -> Value? {
        nodesLeft -= 1
        guard nodesLeft >= 0, let first = next() else { return nil }
        switch first {
        case "{", "[":
            guard depthLeft > 0 else { return nil }
            return first == "{" ? object(depthLeft - 1) : array(depthLeft - 1)
        case "\"": return string().map(Value.string)
        case "a"..."z":
            let word = run { ("a"..."z").contains($0) }
            return ["true", "false", "null"].contains(word) ? .word(word) : nil
        default:
            let number = run { ("0"..."9").contains($0) || "+-.eE".unicodeScalars.contains($0) }
            return StrictJSON.isNumber(number) ? .number(number) : nil
        }
    }

    private mutating func run(while belongs: (Unicode.Scalar) -> Bool) -> String {
        let run = rest.prefix(while: belongs)
        rest = rest[run.endIndex...]
        var text = String.UnicodeScalarView()
        text.append(contentsOf: run)
        return String(text)
    }

    private mutating func array(_ depthLeft: Int) -> Value? {
        _ = take("[")
        var values: [Value] = []
        if take("]") { return .array([]) }
        repeat {
            guard let value = value(depthLeft) else { return nil }
            values.append(value)
        } while take(",")
        return take("]") ? .array(values) : nil
    }

    private mutating func object(_ depthLeft: Int) -> Value? {
        _ = take("{")
        var names: [[UInt8]] = []
        var values: [Value] = []
        if take("}") { return .object(names: [], values: []) }
        repeat {
            nodesLeft -= 1
            guard nodesLeft >= 0, next() == "\"", let name = string(), take(":"), let value = value(depthLeft) else { return nil }
            names.append(name)
            values.append(value)
        } while take(",")
        guard take("}"), Set(names).count == names.count else { return nil }
        return .object(names: names, values: values)
    }

    private mutating func string() -> [UInt8]? {
        rest.removeFirst()
        var units: [UInt16] = []
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\"": return String(validating: units, as: UTF16.self).map { Array($0.utf8) }
            case "\\":
                guard let unit = escape() else { return nil }
                units.append(unit)
            case _ where scalar.value < 32: return nil
            default: units.append(contentsOf: UTF16.encode(scalar)!)
            }
        }
        return nil
    }

    private mutating func escape() -> UInt16? {
        let plain: [Unicode.Scalar: UInt16] = ["\"": 34, "\\": 92, "/": 47, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9]
        guard let letter = rest.popFirst() else { return nil }
        guard letter == "u" else { return plain[letter] }
        let digits = rest.prefix(4)
        rest = rest.dropFirst(4)
        guard digits.count == 4, digits.allSatisfy({ $0.isASCII && $0.properties.isASCIIHexDigit }) else { return nil }
        return UInt16(String(String.UnicodeScalarView(digits)), radix: 16)
    }

    static func isNumber(_ text: String) -> Bool {
        var mantissa = Array(text.utf8)[...]
        if mantissa.first == 0x2D { mantissa.removeFirst() }
        var exponent = ArraySlice<UInt8>()
        if let e = mantissa.firstIndex(where: { $0 | 0x20 == 0x65 }) {
            exponent = mantissa[(e + 1)...]
            mantissa = mantissa[..<e]
            guard isDigits(exponent.first == 0x2B || exponent.first == 0x2D ? exponent.dropFirst() : exponent) else { return false }
        }
        let point = mantissa.firstIndex(of: 0x2E)
        let whole = mantissa[..<(point ?? mantissa.endIndex)]
        let fraction = point.map { mantissa[($0 + 1)...] }
        guard isDigits(whole), whole.count == 1 || whole.first != 0x30, fraction.map(isDigits) ?? true else { return false }
        return fitsDouble(digits: whole + (fraction ?? []), point: whole.count, exponent: exponent)
    }

    private static func isDigits(_ text: ArraySlice<UInt8>) -> Bool { !text.isEmpty && text.allSatisfy { (0x30...0x39).contains($0) } }

    /// Whether 0.`digits` · 10^(`point` + `exponent`) rounds to a finite Double: below 2¹⁰²⁴ − 2⁹⁷⁰, in whole decimals.
    private static func fitsDouble(digits: ArraySlice<UInt8>, point: Int, exponent: ArraySlice<UInt8>) -> Bool {
        guard let leading = digits.firstIndex(where: { $0 != 0x30 }) else { return true }
        let isNegative = exponent.first == 0x2D
        var size = 0
        for digit in exponent where digit >= 0x30 { size = min(size * 10 + Int(digit - 0x30), 1 << 50) }
        let magnitude = point - (leading - digits.startIndex) + (isNegative ? -size : size)
        if magnitude != 309 { return magnitude < 309 }
        var significant = Array(digits[leading...])
        significant += Array(repeating: 0x30, count: max(0, firstInfinite.count - significant.count))
        return significant.lexicographicallyPrecedes(firstInfinite)
    }

    private static let firstInfinite = Array(
        """
        1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070963\
        3028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447573027\
        0069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792
        """.utf8)
}
