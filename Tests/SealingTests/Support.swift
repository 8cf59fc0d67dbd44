import Gateway

@testable import Sealing

/// A key of consecutive bytes.
func key(_ seed: UInt8) -> SealingKey { SealingKey(Secret((0..<32).map { seed &+ $0 }))! }

func hexadecimal(_ seed: UInt8) -> String { key(seed).line.revealed }

/// The first is the current one.
func ring(_ current: UInt8, _ older: UInt8...) -> KeyRing { KeyRing(current: key(current), older: older.map(key)) }

/// The same bytes on every run.
struct Noise: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in .random(in: .min ... .max, using: &self) } }
}
