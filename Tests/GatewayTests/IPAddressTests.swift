import Testing

@testable import Gateway

struct IPAddressTests {
    /// RFC 5952, sections 4 and 5, beside RFC 4291, section 2.2.
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("127.0.0.1", "127.0.0.1"),
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("0:0:0:0:0:0:0:0", "::"), ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"), ("2001:DB8::AbCd", "2001:db8::abcd"),
        ("2001:db8::0:1", "2001:db8::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"), ("::ffff:1.2.3.4", "::ffff:102:304"), ("::1.2.3.4", "::102:304"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"), ("fe80::", "fe80::"),
    ])
    func `an address is read, and written as RFC 5952 says`(text: String, form: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == form)
        #expect(IPAddress(form) == address)
    }

    @Test(arguments: [
        "", ".", ":", ":::", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.256", "1.2.3.04", "1.2.3.00", "01.2.3.4", "0x1.2.3.4",
        "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4", "1.2.3.+4", "1.2.3.٤", "1.2.3.4/8", "0x7f.1", "017700000001", "2130706433", "1,2,3,4",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "1::2::3", "::1::", "1:", ":1",
        ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "12345::", "::g", "::+1", "::-1", "::1%eth0", "fe80::1%1", "[::1]", "::1]", "::1.2.3", "::1.2.3.4.5",
        "::1.2.3.4:5", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "1:1.2.3.4", "::ffff:01.2.3.4", "::ffff:1.2.3.256", "::１", ":\u{301}:1",
        "::\u{200B}1", "::1\0", "127.0.0.1\0", "::1\n",
    ])
    func `anything else is not an address`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: [0, 1, 3, 5, 15, 17])
    func `an address has 4 or 16 bytes`(count: Int) {
        #expect(IPAddress(bytes: [UInt8](repeating: 1, count: count)) == nil)
    }

    /// Every pattern of zero and other groups: each choice of the run to shorten is made once.
    @Test(arguments: 0..<256)
    func `what is written is read back`(pattern: Int) throws {
        let bytes = (0..<16).map { byte in (pattern >> (byte / 2)) & 1 == 0 ? UInt8(0) : UInt8(byte) }
        let address = try #require(IPAddress(bytes: bytes))
        #expect(IPAddress(address.description) == address)
    }

    @Test(arguments: [
        ("::ffff:127.0.0.1", "127.0.0.1"), ("::ffff:a9fe:a9fe", "169.254.169.254"), ("::ffff:0.0.0.0", "0.0.0.0"), ("::10.1.2.3", "10.1.2.3"),
        ("::", "::"), ("::1", "::1"), ("1::ffff:127.0.0.1", "1::ffff:7f00:1"), ("::fffe:127.0.0.1", "::fffe:7f00:1"), ("10.0.0.1", "10.0.0.1"),
    ])
    func `an address inside another is unwrapped`(text: String, inner: String) throws {
        #expect(try #require(IPAddress(text)).unmapped == IPAddress(inner))
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.255.255.254", true), ("::1", true), ("::ffff:127.0.0.1", true), ("::127.0.0.1", true), ("126.255.255.255", false),
        ("128.0.0.0", false), ("0.0.0.0", false), ("::", false), ("::2", false), ("1::1", false), ("::ffff:128.0.0.1", false), ("7f00::1", false),
    ])
    func `loopback is 127/8 and ::1, in every guise`(text: String, isLoopback: Bool) throws {
        #expect(try #require(IPAddress(text)).isLoopback == isLoopback)
    }
}

struct AddressRangeTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
        ("100.64.0.0/10", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
        ("172.16.0.0/12", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
        ("198.18.0.0/15", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
        ("192.0.2.8/31", "192.0.2.8", "192.0.2.9", "192.0.2.7", "192.0.2.10"),
        ("192.0.2.8/32", "192.0.2.8", "192.0.2.8", "192.0.2.7", "192.0.2.9"),
        ("192.0.2.8", "192.0.2.8", "192.0.2.8", "192.0.2.7", "192.0.2.9"),
        ("fc00::/7", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff::ffff", "fe00::"),
        ("fe80::/10", "fe80::", "febf:ffff::", "fe7f:ffff::", "fec0::"),
        ("64:ff9b::/96", "64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:0:0"),
        ("::1/128", "::1", "::1", "::", "::2"),
    ])
    func `a range ends where its length says`(text: String, first: String, last: String, before: String, after: String) throws {
        let range = try #require(AddressRange(text))
        #expect(range.contains(try #require(IPAddress(first))))
        #expect(range.contains(try #require(IPAddress(last))))
        #expect(!range.contains(try #require(IPAddress(before))))
        #expect(!range.contains(try #require(IPAddress(after))))
    }

    @Test func `a range of everything is of one family`() throws {
        let version4 = try #require(AddressRange("0.0.0.0/0"))
        let version6 = try #require(AddressRange("::/0"))
        let old = try #require(IPAddress("203.0.113.1"))
        let new = try #require(IPAddress("2001:db8::1"))
        #expect(version4.contains(old) && !version4.contains(new))
        #expect(version6.contains(new) && !version6.contains(old))
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0 /8",
        "10.0.0.0/8 ", "10.0.0.0/255.0.0.0", "10.0.0.0/٨", "10/8", "10.0.0/8", "example.com/8", "*",
        "10.1.2.3/8", "10.0.0.0/08", "::1/127", "10.0.0.0/99999999999999999999", "fe80::1%1/64",
    ])
    func `anything else is not a range`(text: String) {
        #expect(AddressRange(text) == nil)
    }
}
