/// Server-sent events, as Streamable HTTP uses them: each event carries one JSON-RPC message.
package enum EventStream {
    /// One event with this message as its data. JSON we write holds no line break, but what an upstream wrote may.
    ///
    /// - Parameter id: under which a client may ask for what comes after it; visible ASCII.
    package static func event(_ message: JSONText, id: String? = nil) -> [UInt8] {
        var pieces = EventPieces(message, id: id, upTo: .max)
        return pieces.next() ?? []
    }

    /// The same, for a message that is not to lie there twice.
    ///
    /// - Parameter most: bytes that a piece may take, or a few more.
    package static func pieces(of message: JSONText, id: String? = nil, upTo most: Int) -> EventPieces {
        EventPieces(message, id: id, upTo: most)
    }

    /// An event without data: it gives a client an id to come back with before there is anything to say (2025-11-25).
    package static func priming(id: String) -> [UInt8] { Array("id: \(id)\nretry: 1000\ndata: \n\n".utf8) }

    /// A comment that keeps a quiet stream open.
    package static let keepAlive = Array(": keep-alive\n\n".utf8)
}

/// One event, made piece by piece as it is written.
package struct EventPieces: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    private let most: Int
    private var begun: [UInt8]
    private var position = 0
    private var isInLine = false
    private var isOver = false

    fileprivate init(_ message: JSONText, id: String?, upTo most: Int) {
        bytes = message.bytes
        self.most = most
        begun = Array("event: message\n\(id.map { "id: \($0)\n" } ?? "")".utf8)
    }

    package mutating func next() -> [UInt8]? {
        if isOver { return nil }
        var piece = begun
        begun = []
        piece.reserveCapacity(Swift.min(most, piece.count + bytes.count - position + 16))
        while piece.count < most {
            if !isInLine {
                while position < bytes.count, Self.isBreak(bytes[position]) { position += 1 }
            }
            guard position < bytes.count else {
                piece.append(contentsOf: isInLine ? [0x0A, 0x0A] : [0x0A])
                isOver = true
                return piece
            }
            if !isInLine { piece.append(contentsOf: Array("data: ".utf8)) }
            let end = lineEnd(before: position + Swift.max(1, Swift.min(bytes.count - position, most - piece.count)))
            piece.append(contentsOf: bytes[position..<end])
            position = end
            isInLine = position == bytes.count || !Self.isBreak(bytes[position])
            if !isInLine { piece.append(0x0A) }
        }
        return piece
    }

    private static func isBreak(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }

    private func lineEnd(before limit: Int) -> Int {
        bytes.withUnsafeBufferPointer { bytes in
            var index = position
            while index < limit && bytes[index] != 0x0A && bytes[index] != 0x0D { index += 1 }
            return index
        }
    }
}

/// Splits a byte stream into its events, however the bytes arrive.
package struct EventStreamParser: Sendable {
    package struct Oversized: Error {}

    package struct Event: Hashable, Sendable {
        /// What the server calls it; nil for an ordinary message.
        package let name: String?
        package let data: [UInt8]
    }

    /// The id of the last event that had one, empty events included: where to go on from (L-7). Nil if none can be named in a header.
    package private(set) var lastID: String?
    /// How long the server wants to be left alone before it is asked to go on.
    package private(set) var retry: Duration?

    private static let longestID = 1024
    private static let longestName = 64

    private let maximumEvent: Int
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var name: String?
    private var id: String??
    private var previousWasReturn = false
    private var isFirstLine = true

    /// - Parameter maximumEvent: bytes that one event may take: its data so far, and the line being read.
    package init(maximumEvent: Int) { self.maximumEvent = maximumEvent }

    /// Bytes of an event that is not complete yet.
    package var pending: Int { line.count + data.count }

    /// The data of the events these bytes complete, as `events` has them.
    package mutating func feed(_ bytes: some Sequence<UInt8>) throws(Oversized) -> [[UInt8]] { try events(bytes).map(\.data) }

    /// The events these bytes complete, in order. Empty events, which servers send to prime a stream, are
    /// left out. Events complete before one that is too large are returned; the next call throws.
    package mutating func events(_ bytes: some Sequence<UInt8>) throws(Oversized) -> [Event] {
        if pending > maximumEvent { throw Oversized() }
        if let events = bytes.withContiguousStorageIfAvailable({ read($0) }) { return try checked(events) }
        return try checked(Array(bytes).withUnsafeBufferPointer { read($0) })
    }

    private func checked(_ events: [Event]) throws(Oversized) -> [Event] {
        if pending > maximumEvent && events.isEmpty { throw Oversized() }
        return events
    }

    /// Line by line rather than byte by byte: whoever sends a great deal is not to keep a loop busy for long.
    private mutating func read(_ bytes: UnsafeBufferPointer<UInt8>) -> [Event] {
        var events: [Event] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x0A && previousWasReturn { index += 1 }
            previousWasReturn = false
            let start = index
            while index < bytes.count && bytes[index] != 0x0A && bytes[index] != 0x0D { index += 1 }
            line.append(contentsOf: bytes[start..<index])
            if pending > maximumEvent { return events }
            guard index < bytes.count else { return events }
            previousWasReturn = bytes[index] == 0x0D
            index += 1
            if let event = endLine() { events.append(event) }
            if pending > maximumEvent { return events }
        }
        return events
    }

    private mutating func endLine() -> Event? {
        defer { line.removeAll(keepingCapacity: true) }
        if isFirstLine {
            isFirstLine = false
            if line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
        }
        if line.isEmpty { return endEvent() }
        let field = line.prefix { $0 != UInt8(ascii: ":") }
        var value = line.dropFirst(field.count + 1)
        if value.first == 0x20 { value = value.dropFirst() }
        switch field.count <= 5 ? String(decoding: field, as: UTF8.self) : "" {
        case "data":
            if hasData { data.append(0x0A) }
            hasData = true
            data.append(contentsOf: value)
        case "event": name = value.count <= Self.longestName ? String(decoding: value, as: UTF8.self) : nil
        case "id":
            // It goes back in a header, so it is what a header can hold.
            let isPlain = value.count <= Self.longestID && value.allSatisfy { (0x21...0x7E).contains($0) }
            if isPlain { id = .some(value.isEmpty ? nil : String(decoding: value, as: UTF8.self)) }
        case "retry":
            if !value.isEmpty, value.count <= 9, value.allSatisfy({ (0x30...0x39).contains($0) }) {
                retry = Int(String(decoding: value, as: UTF8.self)).map { .milliseconds($0) }
            }
        default: break
        }
        return nil
    }

    private mutating func endEvent() -> Event? {
        defer {
            data.removeAll(keepingCapacity: true)
            (hasData, name, id) = (false, nil, nil)
        }
        if let id { lastID = id }
        return data.isEmpty ? nil : Event(name: name, data: data)
    }
}
