import Gateway

@testable import MCP

extension ServerAlias: ExpressibleByStringLiteral {
    package init(stringLiteral text: String) {
        guard let alias = ServerAlias(text) else { preconditionFailure("“\(text)” is no alias") }
        self = alias
    }
}

func parsed(_ text: String, limits: JSON.Limits = JSON.Limits()) throws -> JSON {
    try JSON(parsing: Array(text.utf8), limits: limits)
}

func message(_ text: String) throws -> Message {
    try Message(parsing: Array(text.utf8))
}

/// SplitMix64: the same numbers in every run, so that a failure can be looked at again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: Int) { state = UInt64(truncatingIfNeeded: seed) }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

extension Message {
    var id: MessageID? {
        switch self {
        case .request(let id, _, _): id
        case .response(let id, _): id
        case .notification: nil
        }
    }
}

extension Reading {
    var request: Incoming? {
        if case .request(let incoming) = self { incoming } else { nil }
    }
}
