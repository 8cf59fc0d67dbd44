/// The members of a JSON object by name and place.
///
/// A decoder takes one of two members with the same name without a word, and readers differ in which. So names are looked
/// at first, at every depth. The grammar itself is the decoder's to check.
struct JSONOutline {
    /// Of the outermost object, in order: what stands between the colon and the next comma.
    private(set) var members: [(name: String, value: Range<Int>)] = []

    private static let deepest = 16

    /// - Returns: nil for what is no object in UTF-8, is nested more than 16 deep, names a member twice, or writes a
    ///   member's name with escapes.
    init?(_ bytes: [UInt8]) {
        guard String(validating: bytes, as: UTF8.self) != nil, !bytes.contains(0) else { return nil }
        var position = 0
        var names: [Set<String>] = []
        var open: (name: String, start: Int)?
        func skipSpace() {
            while position < bytes.count, Self.isSpace(bytes[position]) { position += 1 }
        }
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "{") else { return nil }

        var previous: UInt8 = 0
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            defer { if !Self.isSpace(byte) { previous = byte } }
            if names.count == 1, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}"), let member = open {
                members.append((member.name, member.start..<position - 1))
                open = nil
            }
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard names.count < Self.deepest else { return nil }
                names.append([])
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                // The decoder lets a comma at the end pass.
                guard names.popLast() != nil, previous != UInt8(ascii: ",") else { return nil }
            case UInt8(ascii: "\""):
                let start = position
                var hasEscapes = false
                while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                    if bytes[position] == UInt8(ascii: "\\") {
                        hasEscapes = true
                        position += 1
                    }
                    position += 1
                }
                guard position < bytes.count else { return nil }
                let text = bytes[start..<position]
                position += 1
                skipSpace()
                guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { continue }
                position += 1
                guard !hasEscapes, let name = String(validating: text, as: UTF8.self), let depth = names.indices.last else { return nil }
                guard names[depth].insert(name).inserted else { return nil }
                if depth == 0 { open = (name, position) }
            default: break
            }
        }
        guard names.isEmpty else { return nil }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
}
