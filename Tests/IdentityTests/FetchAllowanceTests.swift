import Gateway
import Testing

@testable import Identity

struct FetchAllowanceTests {
    private func prefix(_ text: String) throws -> AddressPrefix { AddressPrefix(try #require(IPAddress(text))) }
    private func moment(_ seconds: Int64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }

    @Test func `an address takes ten at once, and then one every six seconds`() throws {
        var allowance = FetchAllowance()
        let address = try prefix("192.0.2.1")
        for _ in 0..<10 { #expect(allowance.take(for: address, at: moment(0)) == nil) }
        #expect(allowance.take(for: address, at: moment(0)) == .seconds(6))
        #expect(allowance.take(for: address, at: moment(5)) == .seconds(1))
        #expect(allowance.take(for: address, at: moment(6)) == nil)
        #expect(allowance.take(for: address, at: moment(6)) == .seconds(6))
        #expect(allowance.take(for: try prefix("192.0.2.2"), at: moment(6)) == nil)
    }

    @Test func `all addresses together take sixty at once, and then one a second`() throws {
        var allowance = FetchAllowance()
        for number in 0..<60 { #expect(allowance.take(for: try prefix("192.0.2.\(number)"), at: moment(0)) == nil) }
        for number in 60..<70 { #expect(allowance.take(for: try prefix("192.0.2.\(number)"), at: moment(0)) == .seconds(1)) }
        #expect(allowance.take(for: try prefix("192.0.2.200"), at: moment(1)) == nil)
    }

    @Test func `what is refused for one reason costs nothing of the other`() throws {
        var allowance = FetchAllowance(perAddress: 1, inAll: 2)
        let (greedy, other) = (try prefix("192.0.2.1"), try prefix("192.0.2.2"))
        #expect(allowance.take(for: greedy, at: moment(0)) == nil)
        for _ in 0..<100 { #expect(allowance.take(for: greedy, at: moment(0)) == .seconds(60)) }
        #expect(allowance.take(for: other, at: moment(0)) == nil)

        allowance = FetchAllowance(perAddress: 1, inAll: 1)
        #expect(allowance.take(for: other, at: moment(0)) == nil)
        #expect(allowance.take(for: greedy, at: moment(0)) == .seconds(60))
        #expect(allowance.take(for: greedy, at: moment(60)) == nil)
    }

    @Test func `a household of IPv6 addresses is one`() throws {
        var allowance = FetchAllowance(perAddress: 1)
        #expect(allowance.take(for: try prefix("2001:db8::1"), at: moment(0)) == nil)
        #expect(allowance.take(for: try prefix("2001:db8::2"), at: moment(0)) != nil)
        #expect(allowance.take(for: try prefix("2001:db8:0:1::1"), at: moment(0)) == nil)
    }

    @Test func `of a hundred thousand addresses few are remembered`() throws {
        var allowance = FetchAllowance()
        var granted = 0
        for number in 0..<100_000 {
            let bytes = [10, UInt8(number >> 16 & 0xFF), UInt8(number >> 8 & 0xFF), UInt8(number & 0xFF)]
            let address = AddressPrefix(try #require(IPAddress(bytes: bytes)))
            // A thousand a second.
            if allowance.take(for: address, at: BootInstant(nanoseconds: Int64(number) * 1_000_000)) == nil { granted += 1 }
        }
        #expect(granted == 60 + 99)
        #expect(allowance.addresses <= 257)
    }

    @Test func `zero is no limit`() throws {
        var allowance = FetchAllowance(perAddress: 0, inAll: 0)
        for _ in 0..<1000 { #expect(allowance.take(for: try prefix("192.0.2.1"), at: moment(0)) == nil) }
    }
}
