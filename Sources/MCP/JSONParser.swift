/// Checks a text against the grammar and lists its values, in one pass with a bounded depth.
struct JSONParser {
    let limits: JSON.Limits
    private(set) var nodes: [JSON.Node] = []
    private var position = 0

    init(limits: JSON.Limits) {
        self.limits = limits
        nodes.reserveCapacity(32)
    }

    /// The first defect, or nil when the whole text is one value.
    mutating func parseDocument(_ text: UnsafeBufferPointer<UInt8>) -> JSONError? {
        do throws(JSONError) {
            if text.starts(with: [0xEF, 0xBB, 0xBF]) { throw JSONError(.byteOrderMark, at: 0) }
            skipSpace(text)
            try parseValue(text, depth: 1)
            skipSpace(text)
            if position != text.count { throw JSONError(.syntax, at: position) }
            return nil
        } catch {
            return error
        }
    }

    private mutating func parseValue(_ text: UnsafeBufferPointer<UInt8>, depth: Int) throws(JSONError) {
        guard position < text.count else { throw JSONError(.syntax, at: position) }
        switch text[position] {
        case UInt8(ascii: "{"): try parseObject(text, depth: depth)
        case UInt8(ascii: "["): try parseArray(text, depth: depth)
        case UInt8(ascii: "\""): try parseString(text)
        case UInt8(ascii: "t"): try parseWord(text, "true", .true)
        case UInt8(ascii: "f"): try parseWord(text, "false", .false)
        case UInt8(ascii: "n"): try parseWord(text, "null", .null)
        default: try parseNumber(text)
        }
    }

    private mutating func open(_ kind: JSON.Kind) throws(JSONError) -> Int {
        guard nodes.count < limits.nodes else { throw JSONError(.tooMany, at: position) }
        nodes.append(JSON.Node(kind: kind, start: UInt32(position)))
        return nodes.count - 1
    }

    private mutating func close(_ index: Int) {
        nodes[index].end = UInt32(position)
        nodes[index].next = UInt32(nodes.count)
    }

    private mutating func parseObject(_ text: UnsafeBufferPointer<UInt8>, depth: Int) throws(JSONError) {
        guard depth <= limits.depth else { throw JSONError(.tooDeep, at: position) }
        let object = try open(.object)
        position += 1
        var names = MemberNames()
        skipSpace(text)
        if !accept(UInt8(ascii: "}"), text) {
            while true {
                guard position < text.count, text[position] == UInt8(ascii: "\"") else { throw JSONError(.syntax, at: position) }
                let nameStart = position
                let name = nodes.count
                try parseString(text)
                let inner = UnsafeBufferPointer(rebasing: text[nameStart + 1..<position - 1])
                guard names.insert(inner, hasEscapes: nodes[name].hasEscapes) else { throw JSONError(.repeatedName, at: nameStart) }
                skipSpace(text)
                guard accept(UInt8(ascii: ":"), text) else { throw JSONError(.syntax, at: position) }
                skipSpace(text)
                try parseValue(text, depth: depth + 1)
                skipSpace(text)
                if accept(UInt8(ascii: "}"), text) { break }
                guard accept(UInt8(ascii: ","), text) else { throw JSONError(.syntax, at: position) }
                skipSpace(text)
            }
        }
        close(object)
    }

    private mutating func parseArray(_ text: UnsafeBufferPointer<UInt8>, depth: Int) throws(JSONError) {
        guard depth <= limits.depth else { throw JSONError(.tooDeep, at: position) }
        let array = try open(.array)
        position += 1
        skipSpace(text)
        if !accept(UInt8(ascii: "]"), text) {
            while true {
                try parseValue(text, depth: depth + 1)
                skipSpace(text)
                if accept(UInt8(ascii: "]"), text) { break }
                guard accept(UInt8(ascii: ","), text) else { throw JSONError(.syntax, at: position) }
                skipSpace(text)
            }
        }
        close(array)
    }

    private mutating func parseWord(_ text: UnsafeBufferPointer<UInt8>, _ word: StaticString, _ kind: JSON.Kind) throws(JSONError) {
        let index = try open(kind)
        for offset in 0..<word.utf8CodeUnitCount {
            guard position < text.count, text[position] == word.utf8Start[offset] else { throw JSONError(.syntax, at: position) }
            position += 1
        }
        close(index)
    }

    private mutating func parseNumber(_ text: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        let index = try open(.number)
        let start = position
        _ = accept(UInt8(ascii: "-"), text)
        if !accept(UInt8(ascii: "0"), text) {
            guard skipDigits(text) > 0 else { throw JSONError(.syntax, at: position) }
        }
        var mayOverflow = position - start > 300
        if accept(UInt8(ascii: "."), text) {
            guard skipDigits(text) > 0 else { throw JSONError(.syntax, at: position) }
        }
        if accept(UInt8(ascii: "e"), text) || accept(UInt8(ascii: "E"), text) {
            if !accept(UInt8(ascii: "+"), text) { _ = accept(UInt8(ascii: "-"), text) }
            guard skipDigits(text) > 0 else { throw JSONError(.syntax, at: position) }
            mayOverflow = true
        }
        // 1e400 is infinity to one reader and an error to the next: refused here.
        if mayOverflow {
            let value = Double(String(decoding: text[start..<position], as: UTF8.self))
            guard let value, value.isFinite else { throw JSONError(.number, at: start) }
        }
        close(index)
    }

    private mutating func parseString(_ text: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        let index = try open(.string)
        position += 1
        while true {
            guard position < text.count else { throw JSONError(.syntax, at: position) }
            let byte = text[position]
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                close(index)
                return
            case UInt8(ascii: "\\"):
                nodes[index].hasEscapes = true
                try parseEscape(text)
            case 0..<0x20: throw JSONError(.syntax, at: position)
            case 0x20..<0x80: position += 1
            default: try skipMultibyte(text)
            }
        }
    }

    private mutating func parseEscape(_ text: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        let start = position
        guard position + 1 < text.count else { throw JSONError(.syntax, at: position) }
        let escape = text[position + 1]
        position += 2
        guard escape == UInt8(ascii: "u") else {
            let plain: StaticString = "\"\\/bfnrt"
            let known = (0..<plain.utf8CodeUnitCount).contains { plain.utf8Start[$0] == escape }
            guard known else { throw JSONError(.syntax, at: start) }
            return
        }
        let unit = try parseHexadecimal(text)
        switch unit {
        case 0xD800..<0xDC00:
            guard accept(UInt8(ascii: "\\"), text), accept(UInt8(ascii: "u"), text) else { throw JSONError(.surrogate, at: start) }
            guard (0xDC00..<0xE000).contains(try parseHexadecimal(text)) else { throw JSONError(.surrogate, at: start) }
        case 0xDC00..<0xE000: throw JSONError(.surrogate, at: start)
        default: break
        }
    }

    private mutating func parseHexadecimal(_ text: UnsafeBufferPointer<UInt8>) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < text.count, let digit = hexadecimalValue(text[position]) else { throw JSONError(.syntax, at: position) }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    /// Well-formed UTF-8 as Unicode's table 3-7 has it: no overlong forms, no surrogates, nothing over U+10FFFF.
    private mutating func skipMultibyte(_ text: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        let start = position
        let length: Int
        let second: ClosedRange<UInt8>
        switch text[position] {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: throw JSONError(.encoding, at: start)
        }
        guard start + length <= text.count, second.contains(text[start + 1]) else { throw JSONError(.encoding, at: start) }
        for offset in 2..<max(2, length) where !(0x80...0xBF).contains(text[start + offset]) { throw JSONError(.encoding, at: start) }
        position += length
    }

    private mutating func skipDigits(_ text: UnsafeBufferPointer<UInt8>) -> Int {
        let start = position
        while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) { position += 1 }
        return position - start
    }

    private mutating func skipSpace(_ text: UnsafeBufferPointer<UInt8>) {
        while position < text.count {
            switch text[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private mutating func accept(_ byte: UInt8, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard position < text.count, text[position] == byte else { return false }
        position += 1
        return true
    }
}

/// The names seen so far in one object: compared one by one while few, by hash when many, so that the time stays
/// linear in the text whoever wrote it (Swift's hashes are seeded per process).
private struct MemberNames {
    private var few: [UnsafeBufferPointer<UInt8>] = []
    private var many: Set<[UInt8]> = []

    /// False if the name was there already.
    mutating func insert(_ inner: UnsafeBufferPointer<UInt8>, hasEscapes: Bool) -> Bool {
        if many.isEmpty && !hasEscapes && few.count < 12 {
            for name in few where name.elementsEqual(inner) { return false }
            few.append(inner)
            return true
        }
        if many.isEmpty { many = Set(few.map { Array($0) }) }
        return many.insert(hasEscapes ? JSON.unescaped(inner) : Array(inner)).inserted
    }
}
