import Gateway
import Testing

@testable import Pacing

struct BlockListTests {
    let start = Moment(wall: Timestamp(microseconds: 1_000_000_000_000), boot: BootInstant(nanoseconds: 500_000_000_000))
    static let hour = Duration.seconds(3600)

    static func address(_ text: String) throws -> AddressPrefix { try #require(AddressPrefix(text)) }

    static func block(_ address: AddressPrefix, from now: Moment, for length: Duration) -> Block {
        Block(address: address, reason: .violations, blockedAt: now.wall, until: now.wall.advanced(by: length))
    }

    func list(_ lengths: [(String, Duration)]) throws -> BlockList {
        var list = BlockList()
        for (text, length) in lengths { list.add(Self.block(try Self.address(text), from: start, for: length), at: start, longest: Self.hour) }
        return list
    }

    func later(_ duration: Duration) -> BootInstant { start.boot.advanced(by: duration) }

    @Test func `a block lasts as long as it says, to the nanosecond, and hits no other address`() throws {
        let list = try list([("203.0.113.7", .seconds(60))])
        let address = try Self.address("203.0.113.7")
        #expect(list.remaining(address, at: start.boot) == .seconds(60))
        #expect(list.remaining(address, at: later(.nanoseconds(59_999_999_999))) == .nanoseconds(1))
        #expect(list.remaining(address, at: later(.seconds(60))) == nil)
        #expect(list.remaining(try Self.address("203.0.113.8"), at: start.boot) == nil)
        #expect(BlockList().remaining(address, at: start.boot) == nil)
    }

    @Test func `a block hits all of an IPv6 address's 64`() throws {
        let list = try list([("2001:db8:0:1::5", .seconds(60))])
        #expect(list.remaining(try Self.address("2001:db8:0:1:ffff::"), at: start.boot) != nil)
        #expect(list.remaining(try Self.address("2001:db8:0:2::5"), at: start.boot) == nil)
    }

    @Test func `no block lasts longer than the longest, whatever the wall clock says`() throws {
        let (century, address) = (Duration.seconds(100 * 366 * 86_400), try Self.address("203.0.113.7"))
        var list = try list([("203.0.113.7", century)])
        #expect(list.remaining(address, at: start.boot) == Self.hour)
        // Stored by a clock that was ten years ahead.
        let wrong = Moment(wall: start.wall.advanced(by: .seconds(3650 * 86_400)), boot: start.boot)
        list.add(Self.block(address, from: wrong, for: .seconds(60)), at: start, longest: Self.hour)
        #expect(list.remaining(address, at: start.boot) == Self.hour)
    }

    @Test(arguments: [.zero, .microseconds(-1), .seconds(-3600)] as [Duration])
    func `a block that is over is none`(length: Duration) throws {
        var list = try list([("203.0.113.7", length)])
        #expect(list.count == 0)
        #expect(list.remaining(try Self.address("203.0.113.7"), at: start.boot) == nil)
        #expect(list.sweep(at: start.boot).isEmpty)
    }

    @Test func `a block that is lifted is over, once`() throws {
        var list = try list([("203.0.113.7", .seconds(60)), ("203.0.113.8", .seconds(60))])
        let address = try Self.address("203.0.113.7")
        #expect(list.remove(address)?.block.address == address)
        #expect(list.remove(address) == nil)
        #expect(list.remaining(address, at: start.boot) == nil)
        #expect(list.count == 1)
    }

    @Test func `from a blocked address a hundred tokens are tried at once, and twenty a second`() throws {
        var list = try list([("203.0.113.7", .seconds(60)), ("203.0.113.8", .seconds(60))])
        let address = try Self.address("203.0.113.7")
        #expect((0..<2000).count { _ in list.mayTryToken(address, at: start.boot) } == 100)
        #expect((0..<2000).count { _ in list.mayTryToken(address, at: later(.seconds(3))) } == 60)
        // Another address has tries of its own.
        #expect(list.mayTryToken(try Self.address("203.0.113.8"), at: later(.seconds(3))))
    }

    @Test func `from all blocked addresses a thousand tokens are tried at once, and two hundred a second`() throws {
        var list = BlockList()
        let addresses = try (0..<50).map { try Self.number($0) }
        for address in addresses { list.add(Self.block(address, from: start, for: .seconds(60)), at: start, longest: Self.hour) }
        func tried(at now: BootInstant) -> Int { (0..<5000).count { list.mayTryToken(addresses[$0 % 50], at: now) } }
        #expect(tried(at: start.boot) == 1000)
        #expect(tried(at: later(.seconds(2))) == 400)
    }

    @Test func `what was refused goes on record once, also of a block that is over`() throws {
        var list = try list([("203.0.113.7", .seconds(60)), ("203.0.113.8", .seconds(60))])
        let address = try Self.address("203.0.113.7")
        for _ in 0..<3 { list.noteRefusal(of: address) }
        let swept = list.sweep(at: later(.seconds(1)))
        #expect(swept.map(\.block.address) == [address])
        #expect(swept.map(\.unrecorded) == [3])
        #expect(list.sweep(at: later(.seconds(2))).isEmpty)
        list.noteRefusal(of: address)
        let last = list.sweep(at: later(.seconds(60)))
        #expect(last.map(\.unrecorded) == [1])
        #expect(last.map(\.refused) == [4])
        #expect(list.count == 0)
        list.noteRefusal(of: address)
        #expect(list.sweep(at: later(.seconds(61))).isEmpty)
    }

    @Test func `what was refused goes on record also when the address was blocked anew meanwhile`() throws {
        var list = try list([("203.0.113.7", .seconds(60))])
        let address = try Self.address("203.0.113.7")
        for _ in 0..<3 { list.noteRefusal(of: address) }
        list.add(Self.block(address, from: start, for: .seconds(90)), at: start, longest: Self.hour)
        #expect(list.sweep(at: start.boot).map(\.unrecorded) == [3])
    }

    @Test func `a mistake counts once for a block, and for a day`() throws {
        var list = try list([("203.0.113.7", .seconds(60)), ("203.0.113.8", .seconds(60))])
        let address = try Self.address("203.0.113.7")
        for _ in 0..<3 { list.noteMistake(address, at: later(.seconds(1))) }
        list.noteMistake(try Self.address("203.0.113.9"), at: later(.seconds(1)))
        list.noteMistake(try Self.address("203.0.113.8"), at: later(.seconds(60)))
        #expect(list.listed(at: later(.seconds(2))).filter(\.isMistaken).map(\.block.address) == [address])
        #expect(list.mistakes(at: later(.seconds(2))) == 1)
        // The block is over, the mistake is not.
        _ = list.sweep(at: later(.seconds(3600)))
        #expect(list.mistakes(at: later(.seconds(86_400))) == 1)
        #expect(list.mistakes(at: later(.seconds(86_401))) == 0)
    }

    @Test func `what is blocked now is listed, the latest first`() throws {
        var list = try list([("203.0.113.9", .seconds(60)), ("203.0.113.7", .seconds(60)), ("203.0.113.8", .seconds(1))])
        let later = Moment(wall: start.wall.advanced(by: .seconds(5)), boot: later(.seconds(5)))
        list.add(Self.block(try Self.address("203.0.113.200"), from: later, for: .seconds(60)), at: later, longest: Self.hour)
        let listed = list.listed(at: later.boot).map { "\($0.block.address)" }
        #expect(listed == ["203.0.113.200", "203.0.113.7", "203.0.113.9"])
    }

    static func number(_ number: Int) throws -> AddressPrefix {
        try #require(AddressPrefix(bytes: [20, UInt8(number >> 16), UInt8(number >> 8 & 0xFF), UInt8(number & 0xFF)]))
    }

    @Test func `when there are too many the one that ends first goes`() throws {
        var list = BlockList()
        for number in 0..<BlockList.most {
            list.add(Self.block(try Self.number(number), from: start, for: .seconds(number == 4711 ? 10 : 60)), at: start, longest: Self.hour)
        }
        list.add(Self.block(try Self.number(BlockList.most), from: start, for: .seconds(30)), at: start, longest: Self.hour)
        #expect(list.count == BlockList.most)
        #expect(list.remaining(try Self.number(4711), at: start.boot) == nil)
        #expect(list.remaining(try Self.number(BlockList.most), at: start.boot) == .seconds(30))
        // One that is there already pushes out nobody.
        list.add(Self.block(try Self.number(1), from: start, for: .seconds(90)), at: start, longest: Self.hour)
        #expect(list.remaining(try Self.number(BlockList.most), at: start.boot) != nil)
        // Nor does one that is over.
        list.add(Self.block(try Self.number(BlockList.most + 1), from: start, for: .zero), at: start, longest: Self.hour)
        #expect(list.count == BlockList.most)
    }
}
