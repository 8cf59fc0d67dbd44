import Gateway

/// The pins of one server's tools, which say what of its listing is used.
///
/// The first listing that holds anything is trusted (on first use). From then on what differs from it, or comes later, has to be
/// approved. A value of what is on disk: what is not, counts for nothing.
package struct ToolPins: Sendable {
    private let pins: [ExactName: ToolPin]

    package init(_ pins: some Sequence<ToolPin> = []) {
        self.pins = Dictionary(pins.map { (ExactName($0.name), $0) }) { $1 }
    }

    package subscript(name: String) -> ToolPin? { pins[ExactName(name)] }
    package var count: Int { pins.count }

    /// Those that somebody is to look at, by name.
    package var waiting: [ToolPin] { pins.values.filter(\.waits).sorted { ExactName($0.name) < ExactName($1.name) } }

    /// One text for exactly the tools that wait, as they are now: whoever saw it may approve all of them by it.
    package var waitingMark: ToolFingerprint {
        // A name holds no NUL.
        ToolFingerprint(of: waiting.flatMap { Array($0.name.utf8) + [0] + $0.seen.bytes })
    }

    // MARK: Judging

    /// Whether a tool that the server lists now is listed to callers, and called.
    package func isUsed(_ name: String, _ fingerprint: ToolFingerprint, under policy: ToolChangePolicy) -> Bool {
        guard let pin = self[name] else { return false }
        switch policy {
        case .hold: return pin.approved == fingerprint
        // What it changed to is on record before it is used.
        case .report: return pin.approved == fingerprint || pin.seen == fingerprint
        }
    }

    /// Whether calling it again does no harm, as far as somebody said so of what the server lists now.
    package func isIdempotent(_ name: String, _ fingerprint: ToolFingerprint) -> Bool {
        self[name].map { $0.isIdempotent && $0.approved == fingerprint } ?? false
    }

    // MARK: Noting

    /// What a listing says that is not on record.
    package struct News: Hashable, Sendable {
        /// Of the first listing everything is approved.
        package var isFirst = false
        package var new: [ListedTool] = []
        /// Listed differently than last time, or again.
        package var changed: [ListedTool] = []
        package var gone: [String] = []

        package var isEmpty: Bool { new.isEmpty && changed.isEmpty && gone.isEmpty }

        /// For people: how many of which, with some names.
        package var summary: String {
            if isFirst { return "\(new.count) tools at first sight" }
            let parts = [("new", new.map(\.name)), ("changed", changed.map(\.name)), ("gone", gone)].filter { !$0.1.isEmpty }
            return parts.map { word, names in
                let shown = names.prefix(3).map { $0.cut(24).withoutControls }.joined(separator: ", ")
                return "\(names.count) \(word) (\(shown)\(names.count > 3 ? ", …" : ""))"
            }.joined(separator: ", ")
        }
    }

    package func news(in listing: ToolListing) -> News {
        var news = News(isFirst: pins.isEmpty)
        for tool in listing.tools {
            guard let pin = self[tool.name] else {
                news.new.append(tool)
                continue
            }
            if pin.isGone || pin.seen != tool.fingerprint { news.changed.append(tool) }
        }
        news.gone = pins.filter { !$0.value.isGone && !listing.contains($0.key) }.map(\.key).sorted().map(\.text)
        return news
    }

    // MARK: Approving

    /// What is to be approved, if it is still what whoever asks for it saw.
    package enum Approval: Sendable {
        case tools([Named])
        /// Everything that waits, by its mark.
        case all(mark: ToolFingerprint)

        package struct Named: Hashable, Sendable {
            package let name: String
            package let fingerprint: ToolFingerprint
            /// Nil: as it was said of the same definition before, else no.
            package let isIdempotent: Bool?

            package init(_ name: String, _ fingerprint: ToolFingerprint, isIdempotent: Bool? = nil) {
                self.name = name
                self.fingerprint = fingerprint
                self.isIdempotent = isIdempotent
            }
        }
    }

    /// Why nothing is approved.
    package enum Disapproval: Error, Hashable, Sendable {
        case unknown(String)
        /// The server does not list it any more.
        case gone(String)
        /// It is something else by now.
        case differs(String, now: ToolFingerprint)
        /// What waits is something else by now.
        case othersWait(mark: ToolFingerprint)
    }

    /// The pins as they are once that is approved: all of it or nothing.
    package func approved(_ approval: Approval) throws(Disapproval) -> [ToolPin] {
        switch approval {
        case .all(let mark):
            guard mark == waitingMark else { throw .othersWait(mark: waitingMark) }
            return waiting.map { ToolPin($0.name, approved: $0.seen, seen: $0.seen) }
        case .tools(let named):
            var approved: [ToolPin] = []
            for tool in named {
                guard let pin = self[tool.name] else { throw .unknown(tool.name) }
                guard !pin.isGone else { throw .gone(tool.name) }
                guard pin.seen == tool.fingerprint else { throw .differs(tool.name, now: pin.seen) }
                let isSame = pin.approved == tool.fingerprint
                approved.append(
                    ToolPin(
                        tool.name, approved: tool.fingerprint, seen: tool.fingerprint,
                        isIdempotent: tool.isIdempotent ?? (isSame && pin.isIdempotent)))
            }
            return approved
        }
    }
}
