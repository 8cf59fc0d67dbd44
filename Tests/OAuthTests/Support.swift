import Gateway

@testable import OAuth

/// Numbers that are the same in every run.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func bytes(upTo most: Int) -> [UInt8] { bytes(Int.random(in: 0...most, using: &self)) }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) } }
}

extension Timestamp {
    static let start = Timestamp(microseconds: 1_785_000_000_000_000)
    func after(_ seconds: Int64) -> Timestamp { advanced(by: .seconds(seconds)) }
}

extension ClientIDKey {
    static let test = ClientIDKey(Secret([UInt8](repeating: 7, count: 32)))
}

func registered(_ uris: String...) throws -> ClientMetadata {
    try ClientMetadata(name: "Editor", redirectURIs: uris.map { try RedirectURI($0) }, applicationType: .native)
}
