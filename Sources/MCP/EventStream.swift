/// Server-sent events, as Streamable HTTP uses them: each event carries one JSON-RPC message.
package enum EventStream {
    /// One event with this message as its data. JSON we write holds no line break, but what an upstream wrote may.
    ///
    /// - Parameter id: under which a client may ask for what comes after it; visible ASCII.
    package static func event(_ message: JSONText, id: String? = nil) -> [UInt8] {
        var bytes = Array("event: message\n".utf8)
        if let id { bytes.append(contentsOf: Array("id: \(id)\n".utf8)) }
        for line in message.bytes.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            bytes.append(contentsOf: Array("data: ".utf8))
            bytes.append(contentsOf: line)
            bytes.append(0x0A)
        }
        bytes.append(0x0A)
        return bytes
    }

    /// An event without data: it gives a client an id to come back with before there is anything to say (2025-11-25).
    package static func priming(id: String) -> [UInt8] { Array("id: \(id)\nretry: 1000\ndata: \n\n".utf8) }

    /// A comment that keeps a quiet stream open.
    package static let keepAlive = Array(": keep-alive\n\n".utf8)
}

/// Splits a byte stream into the data of its events, however the bytes arrive.
///
/// `id`, `retry` and `event` fields and comments are read over: no revision needs them for a reply to one POST.
package struct EventStreamParser: Sendable {
    package struct Oversized: Error {}

    private let maximumEvent: Int
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var previousWasReturn = false
    private var isFirstLine = true

    /// - Parameter maximumEvent: bytes that one event may take: its data so far, and the line being read.
    package init(maximumEvent: Int) { self.maximumEvent = maximumEvent }

    /// The data of the events these bytes complete, in order. Empty events, which servers send to prime a stream, are
    /// left out. Events complete before one that is too large are returned; the next call throws.
    package mutating func feed(_ bytes: some Sequence<UInt8>) throws(Oversized) -> [[UInt8]] {
        if line.count + data.count > maximumEvent { throw Oversized() }
        var events: [[UInt8]] = []
        for byte in bytes {
            let followsReturn = previousWasReturn
            previousWasReturn = byte == 0x0D
            if byte == 0x0A && followsReturn { continue }
            if byte == 0x0A || byte == 0x0D {
                if let event = endLine() { events.append(event) }
            } else {
                line.append(byte)
            }
            if line.count + data.count > maximumEvent {
                if events.isEmpty { throw Oversized() }
                return events
            }
        }
        return events
    }

    private mutating func endLine() -> [UInt8]? {
        defer { line.removeAll(keepingCapacity: true) }
        if isFirstLine {
            isFirstLine = false
            if line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
        }
        if line.isEmpty {
            defer {
                data.removeAll(keepingCapacity: true)
                hasData = false
            }
            return data.isEmpty ? nil : data
        }
        guard line.starts(with: Array("data".utf8)) else { return nil }
        var value = line.dropFirst(4)
        if let colon = value.first {
            guard colon == UInt8(ascii: ":") else { return nil }
            value = value.dropFirst()
            if value.first == 0x20 { value = value.dropFirst() }
        }
        if hasData { data.append(0x0A) }
        hasData = true
        data.append(contentsOf: value)
        return nil
    }
}
