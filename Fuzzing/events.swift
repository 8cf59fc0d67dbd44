// Any bytes, in one piece, byte by byte and in pieces whose sizes the first byte gives: the same events come out.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 0 else { return 0 }
    let stream = UnsafeBufferPointer(start: start + 1, count: count - 1)
    let whole = events(stream, piece: stream.count)
    for piece in [1, Int(start[0] % 16) + 2] {
        let pieced = events(stream, piece: piece)
        check(whole.isOversized == pieced.isOversized, "the maximum depends on how the bytes arrive")
        check(whole.isOversized ? pieced.found.starts(with: whole.found) : pieced.found == whole.found, "events depend on how the bytes arrive")
    }
    for event in whole.found {
        check(!event.isEmpty && event.count <= maximum && !event.contains(0x0D), "no event looks like this")
        // What came out of a stream goes into one again; an empty line has no place in JSON and is dropped there.
        guard let json = try? JSON(parsing: event) else { continue }
        let again = EventStream.event(json.text)
        check(events(again[...], piece: again.count, maximum: 4 * again.count).found.count == 1, "a message became no event, or several")
    }
    return 0
}

private let maximum = 200

private func events(_ stream: some Collection<UInt8>, piece: Int, maximum: Int = maximum) -> (found: [[UInt8]], isOversized: Bool) {
    var parser = EventStreamParser(maximumEvent: maximum)
    var found: [[UInt8]] = []
    var rest = stream[...]
    do {
        while !rest.isEmpty {
            found += try parser.feed(rest.prefix(piece))
            rest = rest.dropFirst(piece)
        }
        // What a piece was too long for may be said when the next one comes.
        found += try parser.feed([])
        return (found, false)
    } catch {
        return (found, true)
    }
}

/// Unlike `precondition`, says what was wrong in an optimised build too.
private func check(_ holds: Bool, _ fault: String) {
    if !holds { fatalError(fault) }
}
