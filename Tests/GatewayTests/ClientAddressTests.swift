import Testing

@testable import Gateway

struct ClientAddressTests {
    static let proxies = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]

    static func client(_ peer: String, _ fields: [String], trusted: [String] = proxies) throws -> String {
        let ranges = try trusted.map { try #require(AddressRange($0)) }
        return ClientAddress.of(peer: try #require(IPAddress(peer)), forwardedFor: fields, trusted: ranges).description
    }

    @Test(
        arguments: [
            ([], "10.0.0.1"), (["203.0.113.7"], "203.0.113.7"), (["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            (["203.0.113.7, 10.0.0.2, 10.0.0.3"], "203.0.113.7"), (["203.0.113.7 ,\t10.0.0.2 "], "203.0.113.7"),
            (["203.0.113.7,fd00::1"], "203.0.113.7"),
            // Several fields are one list.
            (["203.0.113.7", "10.0.0.2"], "203.0.113.7"), (["203.0.113.7, 10.0.0.3", "10.0.0.2,10.0.0.4"], "203.0.113.7"),
            // All proxies: the first of them is whose request it is.
            (["10.0.0.9, 10.0.0.2"], "10.0.0.9"), (["192.0.2.1"], "192.0.2.1"),
        ] as [([String], String)])
    func `the client is the first from the right that is no proxy`(fields: [String], client: String) throws {
        #expect(try Self.client("10.0.0.1", fields) == client)
    }

    @Test(
        arguments: [
            (["127.0.0.1, 203.0.113.7"], "203.0.113.7"), (["10.0.0.5, 203.0.113.7"], "203.0.113.7"),
            (["127.0.0.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"), (["1.1.1.1, 2.2.2.2, 3.3.3.3, 203.0.113.7"], "203.0.113.7"),
            // Written by the second proxy, which is none of ours.
            (["127.0.0.1, 203.0.113.8, 192.0.2.2"], "192.0.2.2"),
        ] as [([String], String)])
    func `what a client wrote into the header itself is not believed`(fields: [String], client: String) throws {
        #expect(try Self.client("10.0.0.1", fields) == client)
    }

    @Test(arguments: ["203.0.113.9", "192.0.2.2", "127.0.0.1", "::1", "2001:db8::1"])
    func `nobody but a proxy is believed`(peer: String) throws {
        #expect(try Self.client(peer, ["10.0.0.2, 127.0.0.1"]) == peer)
        #expect(try Self.client("10.0.0.1", ["203.0.113.7"], trusted: []) == "10.0.0.1")
    }

    @Test(arguments: [
        ("203.0.113.7:4711", "203.0.113.7"), ("203.0.113.7", "203.0.113.7"), ("[2001:db8::1]:4711", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"), ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"), ("::ffff:cb00:7107", "203.0.113.7"), ("1::", "1::"),
        // A mapped address of a proxy is a proxy; the peer is left.
        ("::ffff:10.0.0.2", "10.0.0.2"), ("[::ffff:10.0.0.2]:1", "10.0.0.2"),
    ])
    func `ports and brackets are no part of an address, and a mapped one is unwrapped`(entry: String, client: String) throws {
        #expect(try Self.client("10.0.0.1", [entry]) == client)
        #expect(try Self.client("::ffff:10.0.0.1", [entry]) == client)
        #expect(try Self.client("fd00::5", ["203.0.113.99, \(entry), 10.0.0.7"]) == (client.hasPrefix("10.") ? "203.0.113.99" : client))
    }

    @Test(arguments: [
        "", " ", "unknown", "_hidden", "localhost", "203.0.113", "203.0.113.256", "0xcb.0.113.7", "203.0.113.7/8", ":4711", ":", "::1:", "[", "[]",
        "[]:1",
        "[::1", "::1]", "[203.0.113.7", "[fe80::1%eth0]", "fe80::1%eth0", "for=203.0.113.7", "\"203.0.113.7\"", "203.0.113.7;10.0.0.1", "203.0.113.７",
        "\u{202E}1", "\0", "203.0.113.7\0", "\u{A0}203.0.113.7", "*",
    ])
    func `at an entry that is no address the proxy that passed it on is the client`(entry: String) throws {
        #expect(try Self.client("10.0.0.1", [entry]) == "10.0.0.1")
        #expect(try Self.client("10.0.0.1", ["203.0.113.7, \(entry), 10.0.0.2"]) == "10.0.0.2")
        #expect(try Self.client("10.0.0.1", ["203.0.113.7", entry, "10.0.0.2"]) == "10.0.0.2")
    }

    @Test func `of ten thousand entries the last thirty-two are looked at`() throws {
        let many = Array(repeating: "203.0.113.7", count: 10_000)
        #expect(try Self.client("10.0.0.1", [many.joined(separator: ",")]) == "203.0.113.7")
        let chain = (0..<10_000).map { "10.1.\($0 / 256).\($0 % 256)" }
        #expect(try Self.client("10.0.0.1", [chain.joined(separator: ",")]) == chain[10_000 - 32])
        #expect(try Self.client("10.0.0.1", chain) == chain[10_000 - 32])
        #expect(try Self.client("10.0.0.1", [String(repeating: ",", count: 10_000)]) == "10.0.0.1")
        #expect(try Self.client("10.0.0.1", ["203.0.113.7," + Array(repeating: "10.0.0.2", count: 31).joined(separator: ",")]) == "203.0.113.7")
    }
}

struct AddressPrefixTests {
    static func prefix(_ address: String) throws -> AddressPrefix { AddressPrefix(try #require(IPAddress(address))) }

    @Test(arguments: [
        ("2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::"), ("::1", "::2", "0:0:0:1::"),
        ("fe80::1", "fe80::ffff", "fe80:0:0:1::1"),
    ])
    func `an IPv6 address is counted with all of its 64`(first: String, same: String, other: String) throws {
        #expect(try Self.prefix(first) == Self.prefix(same))
        #expect(try Self.prefix(first) != Self.prefix(other))
    }

    @Test func `an IPv4 address is counted alone, and is the same when it is mapped`() throws {
        #expect(try Self.prefix("203.0.113.7") != Self.prefix("203.0.113.8"))
        #expect(try Self.prefix("203.0.113.7") == Self.prefix("::ffff:203.0.113.7"))
        // Else all mapped addresses were one.
        #expect(try Self.prefix("::ffff:203.0.113.7") != Self.prefix("::ffff:203.0.113.8"))
        #expect(try Self.prefix("::203.0.113.7") != Self.prefix("::"))
    }

    @Test(arguments: [
        ("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::1", "::/64"), ("::", "::/64"), ("1::", "1::/64"),
        ("0:0:0:7::9", "0:0:0:7::/64"), ("::ffff:203.0.113.7", "203.0.113.7"), ("ffff:ffff:ffff:ffff::", "ffff:ffff:ffff:ffff::/64"),
    ])
    func `what is written is read back`(address: String, text: String) throws {
        let prefix = try Self.prefix(address)
        #expect(prefix.description == text)
        #expect(AddressPrefix(text) == prefix)
        #expect(AddressPrefix(address) == prefix)
        #expect(AddressPrefix(bytes: prefix.bytes) == prefix)
        #expect(AddressPrefix(prefix.base) == prefix)
    }

    @Test(arguments: [
        "", "/", "/64", "203.0.113.7/64", "203.0.113.7/32", "203.0.113.7/", "2001:db8::/63", "2001:db8::/", "2001:db8::/064", "2001:db8::/64/64",
        "2001:db8::/+64", "2001:db8:: /64", "2001:db8::/٦٤", "[2001:db8::]/64", "fe80::%1/64", "localhost",
    ])
    func `anything else is not a prefix`(text: String) {
        #expect(AddressPrefix(text) == nil)
    }

    @Test(arguments: [0, 1, 3, 5, 7, 9, 16])
    func `a prefix has 4 or 8 bytes`(count: Int) {
        #expect(AddressPrefix(bytes: [UInt8](repeating: 1, count: count)) == nil)
    }
}
