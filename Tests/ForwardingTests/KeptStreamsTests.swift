import Gateway
import MCP
import Testing

@testable import Forwarding

struct KeptStreamsTests {
    private static let large: JSONText = .string(String(repeating: "x", count: (8 << 20) - 2))

    private func text(_ bytes: Int) -> JSONText { bytes == 8 << 20 ? Self.large : .string(String(repeating: "x", count: bytes - 2)) }

    private func numbers(_ log: EventLog) async -> [Int] {
        let reader = log.takeOver()
        var numbers: [Int] = []
        while case .event(let event) = await log.next(after: numbers.last ?? 0, reader: reader, orSilenceAfter: .zero) {
            numbers.append(event.number)
        }
        return numbers
    }

    @Test func `of what merely tells of progress the oldest goes, of what somebody waits for nothing`() async {
        let log = EventLog()
        log.append(text(2 << 20), isDroppable: false)
        for _ in 0..<40 { log.append(text(64 << 10), isDroppable: true) }
        log.append(text(4 << 20), isDroppable: false)
        log.end()
        #expect(await numbers(log) == [1] + Array(26...42))
        #expect(log.byteCount == (7 << 20))
    }

    @Test func `what somebody waits for goes only when it was handed out, and then only beyond the bound`() async {
        let log = EventLog()
        for _ in 0..<4 { log.append(text(8 << 20), isDroppable: false) }
        #expect(await numbers(log) == [1, 2, 3, 4])
        log.append(text(8 << 20), isDroppable: false)
        #expect(await numbers(log) == [4, 5])
        #expect(log.byteCount == EventLog.mostBytes)
    }

    @Test func `there are never more events than there is room for`() async {
        let log = EventLog()
        for _ in 0..<1000 { log.append(text(10), isDroppable: true) }
        #expect(await numbers(log).count == EventLog.mostEvents)
    }

    @Test func `streams that ended are kept up to a bound for each user, the oldest going first`() {
        let kept = EndedStreams()
        let logs = (0..<10).map { _ in EventLog() }
        let other = EventLog()
        other.append(text(8 << 20), isDroppable: false)
        kept.keep(other, of: UserID(2))
        for log in logs {
            log.append(text(8 << 20), isDroppable: false)
            kept.keep(log, of: UserID(1))
        }
        #expect(logs.map(\.isForgotten) == Array(repeating: true, count: 6) + Array(repeating: false, count: 4))
        #expect(logs.map(\.byteCount).reduce(0, +) == EndedStreams.mostBytesPerUser)
        #expect(!other.isForgotten)
    }

    @Test func `streams that ended are kept up to a bound for all`() {
        let kept = EndedStreams()
        let logs = (0..<40).map { _ in EventLog() }
        for (user, log) in logs.enumerated() {
            log.append(text(8 << 20), isDroppable: false)
            kept.keep(log, of: UserID(Int64(user + 1)))
        }
        #expect(logs.map(\.byteCount).reduce(0, +) == EndedStreams.mostBytes)
        #expect(kept.byteCount == EndedStreams.mostBytes)
    }

    @Test func `what was delivered otherwise takes nobody's room`() {
        let kept = EndedStreams()
        let first = EventLog()
        first.append(text(8 << 20), isDroppable: false)
        kept.keep(first, of: UserID(1))
        for _ in 0..<20 {
            let log = EventLog()
            log.append(text(8 << 20), isDroppable: false)
            log.forget()
            kept.keep(log, of: UserID(1))
        }
        #expect(!first.isForgotten)
    }

    @Test func `a reader who left, or whose stream somebody else took over, waits no longer`() async {
        let log = EventLog()
        let reader = log.takeOver()
        async let waiting = log.next(after: 0, reader: reader, orSilenceAfter: .seconds(60))
        log.leave(reader)
        guard case .end = await waiting else {
            Issue.record("it waits for a stream that is somebody else's")
            return
        }
    }

    @Test(arguments: ["x", ".", "-1.-1", "zz-1.0", "35-x.1", "35-1", "35-1.", "3-1.1", "35--1.1", "35-1.99999999999999999999", "-.1"])
    func `what is no event's id is taken for none`(id: String) { #expect(StreamKey.event(id) == nil) }

    @Test func `an event's id says which request it belongs to`() throws {
        let key = StreamKey(request: MessageID(5), number: 3)
        let read = try #require(StreamKey.event("\(key.text).17"))
        #expect(read.key == key.text)
        #expect(read.request == MessageID(5))
        #expect(read.number == 17)
        #expect(StreamKey.event("-3.0")?.request == nil)
    }
}
