package import Gateway
import Synchronization

/// What a program wrote to its stderr: the last 64 KiB of it, without the secrets of its environment.
final class Diary: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var isCut = false
        /// A line that has not ended yet.
        var line: [UInt8] = []
    }

    static let capacity = 64 << 10
    private static let longestLine = 8 << 10
    private static let hidden = "[hidden]"

    let user: UserID?
    let startedAt: Timestamp
    /// Longest first, so that none is hidden in part.
    private let secrets: [[UInt8]]
    private let state = Mutex(State())

    init(of user: UserID?, hiding secrets: [String], at moment: Timestamp) {
        self.user = user
        self.startedAt = moment
        self.secrets = secrets.map { Array($0.utf8) }.filter { !$0.isEmpty }.sorted { $0.count > $1.count }
    }

    /// The sealed values, and of the open ones those that their name or nature makes secret.
    static func secrets(_ environment: [String: String], _ sealed: [String: Secret<String>]) -> [String] {
        let words = ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"]
        let open = environment.filter { name, value in value.utf8.count >= 6 && words.contains { name.uppercased().contains($0) } }
        return Array(open.values) + sealed.values.map(\.revealed)
    }

    /// - Returns: the lines that ended with it, for a log.
    func append(_ chunk: some Collection<UInt8>) -> [String] {
        let lines = state.withLock { state in
            state.bytes += chunk
            // Cut in strides, for to cut is to copy.
            if state.bytes.count > 2 * Self.capacity {
                state.bytes.removeFirst(state.bytes.count - Self.capacity)
                state.isCut = true
            }
            var lines: [[UInt8]] = []
            for byte in chunk {
                if byte == 0x0A {
                    lines.append(state.line)
                    state.line = []
                } else if state.line.count < Self.longestLine {
                    state.line.append(byte)
                }
            }
            return lines
        }
        return lines.map { String(decoding: hiding($0), as: UTF8.self) }
    }

    /// The end of what it wrote, from the beginning of a line on if more was written.
    var text: String {
        let (bytes, isCut) = state.withLock { ($0.bytes, $0.isCut) }
        let shown = hiding(isCut ? Array(bytes.dropFirst(remnant(at: bytes))) : bytes)
        guard isCut || shown.count > Self.capacity else { return String(decoding: shown, as: UTF8.self) }
        let end = shown.suffix(Self.capacity)
        let whole = end.firstIndex(of: 0x0A).map { end[($0 + 1)...] } ?? end
        return String(decoding: whole, as: UTF8.self)
    }

    /// How much of the beginning may be the rest of a secret that was cut through.
    private func remnant(at bytes: [UInt8]) -> Int {
        secrets.map { secret in
            (1..<secret.count).reversed().first { bytes.starts(with: secret.suffix($0)) } ?? 0
        }.max() ?? 0
    }

    private func hiding(_ bytes: [UInt8]) -> [UInt8] {
        guard !secrets.isEmpty else { return bytes }
        var shown: [UInt8] = []
        shown.reserveCapacity(bytes.count)
        var rest = bytes[...]
        while let byte = rest.first {
            if let secret = secrets.first(where: { $0[0] == byte && rest.starts(with: $0) }) {
                shown += Self.hidden.utf8
                rest.removeFirst(secret.count)
            } else {
                shown.append(byte)
                rest.removeFirst()
            }
        }
        return shown
    }
}

/// What the latest processes of one server wrote to stderr, also those that have ended.
final class Diaries: Sendable {
    private static let most = 8
    private let kept = Mutex<[Diary]>([])

    func begin(of user: UserID?, hiding secrets: [String], at moment: Timestamp) -> Diary {
        let diary = Diary(of: user, hiding: secrets, at: moment)
        kept.withLock { kept in
            kept.append(diary)
            if kept.count > Self.most { kept.removeFirst() }
        }
        return diary
    }

    var all: [Diary] { kept.withLock { $0 } }
}

extension Upstream {
    /// What its latest processes wrote to stderr, oldest first; at most 8, of each the last 64 KiB.
    package var errorOutput: [(user: UserID?, startedAt: Timestamp, text: String)] { diaries.all.map { ($0.user, $0.startedAt, $0.text) } }
}
