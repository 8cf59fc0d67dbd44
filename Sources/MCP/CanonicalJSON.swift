extension JSON {
    /// The value in one form for all its spellings, as RFC 8785 has it but for numbers: members in the order of their names' UTF-16
    /// code units, no white space, strings with the fewest escapes.
    ///
    /// Numbers keep their spelling, so that 1 and 1.0 differ: RFC 8785 writes what a double holds, and there two large integers
    /// can be one. Text is not normalized either (Unicode): what looks the same may read differently to a model.
    package var canonical: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        writeCanonical(to: &out)
        return out
    }

    private func writeCanonical(to out: inout [UInt8]) {
        switch kind {
        case .object: Self.writeCanonical(members, to: &out)
        case .array:
            out.append(UInt8(ascii: "["))
            for (place, element) in elements.enumerated() {
                if place > 0 { out.append(UInt8(ascii: ",")) }
                element.writeCanonical(to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .string: Self.writeCanonical(string ?? "", to: &out)
        case .number, .true, .false, .null: out += bytes
        }
    }

    /// The object of these members; their names differ.
    static func canonical(_ members: [(name: String, value: JSON)]) -> [UInt8] {
        var out: [UInt8] = []
        writeCanonical(members, to: &out)
        return out
    }

    private static func writeCanonical(_ members: [(name: String, value: JSON)], to out: inout [UInt8]) {
        out.append(UInt8(ascii: "{"))
        let sorted = members.sorted { $0.name.utf16.lexicographicallyPrecedes($1.name.utf16) }
        for (place, member) in sorted.enumerated() {
            if place > 0 { out.append(UInt8(ascii: ",")) }
            writeCanonical(member.name, to: &out)
            out.append(UInt8(ascii: ":"))
            member.value.writeCanonical(to: &out)
        }
        out.append(UInt8(ascii: "}"))
    }

    /// RFC 8785, section 3.2.2.2.
    private static func writeCanonical(_ text: String, to out: inout [UInt8]) {
        func escape(_ letter: Unicode.Scalar) { out += [UInt8(ascii: "\\"), UInt8(ascii: letter)] }
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): escape("\"")
            case UInt8(ascii: "\\"): escape("\\")
            case 0x08: escape("b")
            case 0x09: escape("t")
            case 0x0A: escape("n")
            case 0x0C: escape("f")
            case 0x0D: escape("r")
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                out += Array("\\u00".utf8) + (byte < 0x10 ? [UInt8(ascii: "0")] : []) + Array(digits.utf8)
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
