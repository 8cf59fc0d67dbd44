import Gateway
import Testing

@testable import Access

struct EgressPolicyTests {
    /// First and last address of every range that is closed, and some that are famous.
    static let closed4 = [
        "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.255.255.255",
        "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.168.0.0",
        "192.168.255.255", "198.18.0.0", "198.19.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255",
        "100.100.100.200", "192.0.0.192",
    ]
    static let closed6 = [
        "::", "::1", "fc00::", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "fe80::1",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "64:ff9b::", "64:ff9b::169.254.169.254", "64:ff9b::8.8.8.8", "64:ff9b::ffff:ffff",
    ]
    /// Special-purpose ranges beyond the usual ones: transition, documentation, benchmarks, multicast, segment routing.
    static let special = [
        "192.0.2.1", "192.88.99.1", "198.51.100.1", "203.0.113.1", "64:ff9b:1::a9fe:a9fe", "100::1", "2001::1", "2001:2::1", "2001:db8::1",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "fec0::1", "ff02::1", "ff0e::1", "3fff::1", "5f00::1",
    ]
    /// Addresses that no registry has given to anybody: outside 2000::/3, and the compatible forms of 0.0.0.0/8.
    static let unassigned = ["::2", "::0.1.2.3", "::ffff:0:7f00:1", "::ffff:0:a9fe:a9fe", "1::", "1fff:ffff::1", "4000::1", "8000::1", "fe00::1"]
    static let open = [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
        "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
        "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2003::1",
    ]

    @Test(arguments: closed4 + closed6 + special + unassigned)
    func `an address that is not for servers is refused`(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(throws: Refusal.self) { try EgressPolicy().check(address) }
        #expect(!EgressPolicy().allowsPlainText(to: address))
    }

    @Test(arguments: closed4, ["::ffff:", "::"])
    func `writing it inside an IPv6 address does not help`(text: String, prefix: String) throws {
        let address = try #require(IPAddress(prefix + text))
        #expect(throws: Refusal.self) { try EgressPolicy().check(address) }
    }

    @Test(arguments: open)
    func `a public address is reached, over TLS only`(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(throws: Never.self) { try EgressPolicy().check(address) }
        #expect(!EgressPolicy().allowsPlainText(to: address))
    }

    @Test func `a refusal names the address, its range and the setting that would open it`() throws {
        let address = try #require(IPAddress("::ffff:169.254.169.254"))
        let refusal = #expect(throws: Refusal.self) { try EgressPolicy().check(address) }
        #expect(
            refusal?.sentence
                == "169.254.169.254 is in 169.254.0.0/16, which is not reachable from here; an operator can allow it with MREG_ALLOWED_PRIVATE_UPSTREAMS."
        )
    }

    @Test(arguments: [
        ("10.1.0.0/16", "10.1.2.3", true), ("10.1.0.0/16", "10.2.0.0", false), ("10.1.0.0/16", "10.0.255.255", false),
        ("10.1.0.0/16", "::ffff:10.1.2.3", true), ("10.1.0.0/16", "::10.1.2.3", true), ("10.1.0.0/16", "64:ff9b::10.1.2.3", false),
        ("10.1.0.0/16", "2002:a01:203::", false), ("127.0.0.1", "127.0.0.1", true), ("127.0.0.1", "127.0.0.2", false), ("127.0.0.1", "::1", false),
        ("::1", "::1", true), ("::1", "127.0.0.1", false), ("fd00::/8", "fd12::1", true), ("fd00::/8", "fc12::1", false),
        ("0.0.0.0/0", "169.254.169.254", true), ("0.0.0.0/0", "fd00::1", false), ("::/0", "10.1.2.3", false), ("::/0", "::ffff:10.1.2.3", false),
    ])
    func `an operator opens exactly the range they name, for plain text too`(range: String, text: String, isOpen: Bool) throws {
        let policy = EgressPolicy(allowed: [try #require(AddressRange(range))])
        let address = try #require(IPAddress(text))
        #expect(((try? policy.check(address)) != nil) == isOpen)
        #expect(policy.allowsPlainText(to: address) == isOpen)
    }

    @Test func `each of several ranges is open`() throws {
        let ranges = ["10.1.0.0/16", "192.168.7.7", "fd00::/8"]
        let policy = EgressPolicy(allowed: ranges.compactMap { AddressRange($0) })
        let inside = try ["10.1.2.3", "192.168.7.7", "fd00::1"].map { try #require(IPAddress($0)) }
        let outside = try ["10.2.2.3", "192.168.7.8", "fc00::1", "127.0.0.1"].map { try #require(IPAddress($0)) }
        #expect(inside.allSatisfy { policy.allowsPlainText(to: $0) && (try? policy.check($0)) != nil })
        #expect(outside.allSatisfy { !policy.allowsPlainText(to: $0) && (try? policy.check($0)) == nil })
    }
}
