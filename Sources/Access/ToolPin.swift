package import Gateway

/// What is done about a tool that is not as it was approved.
package enum ToolChangePolicy: String, Sendable, CaseIterable {
    /// It is neither listed nor called until somebody approves it.
    case hold
    /// It is used, and on record.
    case report
}

/// What is known of a tool of a server: what was approved, and what the server listed last.
package struct ToolPin: Hashable, Sendable {
    package enum State: String, Sendable, CaseIterable {
        /// As it was approved.
        case approved
        /// Not as it was approved.
        case changed
        /// Never approved: it appeared after the server's first listing.
        case new
        /// Not on the last list. What was approved of it still is.
        case gone
    }

    package let name: String
    package let approved: ToolFingerprint?
    package let seen: ToolFingerprint
    package let isGone: Bool
    /// Whether its server's owner says that calling it twice does no more than calling it once. Said of what was approved.
    package let isIdempotent: Bool

    package init(_ name: String, approved: ToolFingerprint?, seen: ToolFingerprint, isGone: Bool = false, isIdempotent: Bool = false) {
        self.name = name
        self.approved = approved
        self.seen = seen
        self.isGone = isGone
        self.isIdempotent = isIdempotent
    }

    package var state: State {
        if isGone { return .gone }
        guard let approved else { return .new }
        return approved == seen ? .approved : .changed
    }

    /// Whether somebody is to look at it.
    package var waits: Bool { state == .changed || state == .new }
}

/// A tool's pin with what people want to know of it.
package struct PinnedTool: Sendable {
    package let pin: ToolPin
    /// Canonical; nil where it is not known, or was too long to be kept.
    package let approvedDefinition: String?
    package let seenDefinition: String?
    package let firstSeen: Timestamp
    /// When it was last listed differently than before, or went.
    package let changedAt: Timestamp
    package let approvedAt: Timestamp?
    /// Nil also for what was approved because it was there first.
    package let approvedBy: String?

    package init(
        _ pin: ToolPin, approvedDefinition: String?, seenDefinition: String?, firstSeen: Timestamp, changedAt: Timestamp, approvedAt: Timestamp?,
        approvedBy: String?
    ) {
        self.pin = pin
        self.approvedDefinition = approvedDefinition
        self.seenDefinition = seenDefinition
        self.firstSeen = firstSeen
        self.changedAt = changedAt
        self.approvedAt = approvedAt
        self.approvedBy = approvedBy
    }
}
