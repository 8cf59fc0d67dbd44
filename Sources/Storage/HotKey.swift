import Gateway
import Pacing

/// What hot state is kept under: one byte that says what it is, and whose.
enum HotKey: Hashable, Sendable {
    case bucket(BucketKey)
    case window(TenantID)
    case quota(QuotaPeriod, TenantID)
    case violations(AddressPrefix)
    case misdeeds(UserID)

    /// Longer names are cut: LMDB takes 511 bytes.
    private static let mostName = 256

    /// As it lies in the map.
    var bytes: [UInt8] {
        switch self {
        case .bucket(.address(let prefix)): Self.key("a", prefix.bytes)
        case .bucket(.global): Self.key("g", [])
        case .bucket(.tenant(let id)): Self.key("t", id.rawValue)
        case .bucket(.user(let id)): Self.key("u", id.rawValue)
        case .bucket(.key(let id)): Self.key("k", id.rawValue)
        case .bucket(.server(let tenant, let alias)): Self.key("s", tenant.rawValue, alias)
        case .bucket(.tool(let tenant, let name)): Self.key("x", tenant.rawValue, name)
        case .window(let tenant): Self.key("w", tenant.rawValue)
        case .quota(.day, let tenant): Self.key("d", tenant.rawValue)
        case .quota(.month, let tenant): Self.key("m", tenant.rawValue)
        case .violations(let prefix): Self.key("v", prefix.bytes)
        case .misdeeds(let user): Self.key("c", user.rawValue)
        }
    }

    init?(bytes: some Collection<UInt8>) {
        guard let kind = bytes.first else { return nil }
        let rest = Array(bytes.dropFirst())
        let number = rest.count >= 8 ? rest[0..<8].reduce(Int64(0)) { $0 << 8 | Int64($1) } : 0
        let name = String(decoding: rest.dropFirst(8), as: UTF8.self)
        switch UnicodeScalar(kind) {
        case "a":
            guard let prefix = AddressPrefix(bytes: rest) else { return nil }
            self = .bucket(.address(prefix))
        case "g" where rest.isEmpty: self = .bucket(.global)
        case "t" where rest.count == 8: self = .bucket(.tenant(TenantID(number)))
        case "u" where rest.count == 8: self = .bucket(.user(UserID(number)))
        case "k" where rest.count == 8: self = .bucket(.key(APIKeyID(number)))
        case "s" where rest.count > 8: self = .bucket(.server(TenantID(number), alias: name))
        case "x" where rest.count > 8: self = .bucket(.tool(TenantID(number), name: name))
        case "w" where rest.count == 8: self = .window(TenantID(number))
        case "d" where rest.count == 8: self = .quota(.day, TenantID(number))
        case "m" where rest.count == 8: self = .quota(.month, TenantID(number))
        case "v":
            guard let prefix = AddressPrefix(bytes: rest) else { return nil }
            self = .violations(prefix)
        case "c" where rest.count == 8: self = .misdeeds(UserID(number))
        default: return nil
        }
    }

    /// Whether anybody can make up new ones: the first to find no room.
    var isAnonymous: Bool {
        switch self {
        case .bucket(.address), .violations: true
        default: false
        }
    }

    private static func key(_ kind: UnicodeScalar, _ rest: [UInt8]) -> [UInt8] { [UInt8(ascii: kind)] + rest }

    private static func key(_ kind: UnicodeScalar, _ number: Int64, _ name: String = "") -> [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(9 + name.utf8.count)
        bytes.append(UInt8(ascii: kind))
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: name.utf8.prefix(mostName))
        return bytes
    }
}

extension HotKey {
    /// As the record of truth names it.
    var text: String {
        switch self {
        case .bucket(.address(let prefix)): "address:\(prefix)"
        case .bucket(.global): "global"
        case .bucket(.tenant(let id)): "tenant:\(id.rawValue)"
        case .bucket(.user(let id)): "user:\(id.rawValue)"
        case .bucket(.key(let id)): "key:\(id.rawValue)"
        case .bucket(.server(let tenant, let alias)): "server:\(tenant.rawValue):\(alias)"
        case .bucket(.tool(let tenant, let name)): "tool:\(tenant.rawValue):\(name)"
        case .window(let tenant): "window:\(tenant.rawValue)"
        case .quota(let period, let tenant): "\(period.rawValue)_quota:\(tenant.rawValue)"
        case .violations(let prefix): "violations:\(prefix)"
        case .misdeeds(let user): "misdeeds:\(user.rawValue)"
        }
    }

    init?(text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else {
            guard text == "global" else { return nil }
            self = .bucket(.global)
            return
        }
        if let prefix = AddressPrefix(parts[1]) {
            switch parts[0] {
            case "address": self = .bucket(.address(prefix))
            case "violations": self = .violations(prefix)
            default: return nil
            }
            return
        }
        let owner = parts[1].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let number = Int64(owner[0]) else { return nil }
        switch (parts[0], owner.count) {
        case ("tenant", 1): self = .bucket(.tenant(TenantID(number)))
        case ("user", 1): self = .bucket(.user(UserID(number)))
        case ("key", 1): self = .bucket(.key(APIKeyID(number)))
        case ("server", 2): self = .bucket(.server(TenantID(number), alias: owner[1]))
        case ("tool", 2): self = .bucket(.tool(TenantID(number), name: owner[1]))
        case ("window", 1): self = .window(TenantID(number))
        case ("day_quota", 1): self = .quota(.day, TenantID(number))
        case ("month_quota", 1): self = .quota(.month, TenantID(number))
        case ("misdeeds", 1): self = .misdeeds(UserID(number))
        default: return nil
        }
    }
}
