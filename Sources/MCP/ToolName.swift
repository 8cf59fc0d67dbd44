package import Gateway

/// The names under which an aggregated endpoint shows the tools of several servers.
package enum ToolName {
    /// Hosts put a prefix of their own before a tool's name and model APIs stop at 64 characters.
    package static let longest = 48
    package static let separator = "__"

    /// The alias, two underscores and the tool's own name; if that is too long, or holds a character that model
    /// APIs do not take, a readable cut of it with six characters of hash.
    ///
    /// It depends on nothing but the two names, so a tool is never renamed because another server appeared. An
    /// alias holds no underscore, so tools of two servers never share a name; two tools of one server can, if it
    /// chooses their names so, and then the first one has it.
    package static func exposed(_ name: String, of alias: ServerAlias) -> String {
        let alias = alias.description
        let plain = alias + separator + name
        if name.utf8.allSatisfy(isPortable) && plain.utf8.count <= longest && !name.isEmpty { return plain }

        let readable = name.utf8.map { isPortable($0) ? $0 : UInt8(ascii: "_") }
        let room = longest - alias.utf8.count - separator.utf8.count - 7
        return alias + separator + String(decoding: readable.prefix(room), as: UTF8.self) + "-" + hash(name)
    }

    /// The alias of the server a tool is of, by the tool's exposed name; nil for a name that is none.
    package static func alias(in exposed: String) -> String? {
        guard let end = exposed.firstIndex(of: "_"), exposed[end...].hasPrefix(separator) else { return nil }
        return String(exposed[..<end])
    }

    private static func isPortable(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// 30 bits of FNV-1a in base 32. It keeps one server's long names apart; it protects nothing.
    private static func hash(_ name: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        let digits = (0..<6).map { alphabet[Int((hash ^ hash >> 32) >> (5 * UInt64($0)) & 31)] }
        return String(decoding: digits, as: UTF8.self)
    }
}
