package import Gateway

/// Names what a user granted to a client: the tokens that come from one code.
package struct GrantID: Hashable, Sendable, Comparable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func random() -> Self { Self(.random(in: 1 ... .max)) }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What refresh tokens are made and recognised with.
package struct RefreshTokenKey: Sendable {
    fileprivate let marks: MarkKeys

    /// - Parameters:
    ///   - secret: at least 32 bytes, random. New tokens are made with it.
    ///   - older: former secrets, whose tokens are still good.
    package init(_ secret: Secret<[UInt8]>, older: [Secret<[UInt8]>] = []) { marks = MarkKeys(secret, older: older, label: "mreg refresh token\n") }
}

/// `mrr_`, the grant, a generation, and a mark that only this gateway can make. Nothing of it is kept.
///
/// The token after another is computed, not drawn: two requests with the same token that come together get the same
/// successor, whichever of them was first.
package struct RefreshToken: Sendable {
    package let grant: GrantID
    package let generation: UInt32
    private let mark: [UInt8]

    private static let prefix = "mrr_"

    /// - Parameter text: as presented; nil for what is no refresh token of ours by its form. Whether it is genuine only its
    ///   family can tell.
    package init?(_ text: String) {
        guard text.utf8.count == 63, text.utf8.starts(with: Self.prefix.utf8), let bytes = Base64URL.decode(text.utf8.dropFirst(4)), bytes.count == 44
        else { return nil }
        grant = GrantID(bytes[..<8].reduce(0) { $0 << 8 | Int64($1) })
        generation = bytes[8..<12].reduce(0) { $0 << 8 | UInt32($1) }
        mark = Array(bytes[12...])
    }

    fileprivate init(grant: GrantID, generation: UInt32, salt: [UInt8], key: RefreshTokenKey) {
        self.grant = grant
        self.generation = generation
        mark = key.marks.mark(of: Self.content(grant, generation, salt))
    }

    package var text: Secret<String> { Secret(Self.prefix + Base64URL.encode(Self.place(grant, generation) + mark)) }

    fileprivate func isGenuine(salt: [UInt8], key: RefreshTokenKey) -> Bool { key.marks.isMark(mark, of: Self.content(grant, generation, salt)) }

    private static func place(_ grant: GrantID, _ generation: UInt32) -> [UInt8] {
        withUnsafeBytes(of: grant.rawValue.bigEndian) { Array($0) } + withUnsafeBytes(of: generation.bigEndian) { Array($0) }
    }

    private static func content(_ grant: GrantID, _ generation: UInt32, _ salt: [UInt8]) -> [UInt8] { salt + place(grant, generation) }
}

/// The refresh tokens of one grant, of which one is good at a time.
package struct RefreshFamily: Hashable, Sendable {
    package let grant: GrantID
    /// 16 random bytes, known to nobody else: with the key alone nobody makes a token of this family.
    package let salt: [UInt8]
    /// Of the token that is good.
    package let generation: UInt32
    /// When it took its predecessor's place.
    package let rotatedAt: Timestamp
    package let isRevoked: Bool
    package let expiresAt: Timestamp

    /// From one use to the next.
    package static let lifetime = Duration.seconds(30 * 86_400)
    /// How long a token is answered again that was just rotated: for answers that were lost, and clients that refresh twice
    /// at once. Backward too, for who came first is not always recorded first.
    package static let grace = Duration.seconds(10)

    package init(grant: GrantID, salt: [UInt8], generation: UInt32, rotatedAt: Timestamp, isRevoked: Bool, expiresAt: Timestamp) {
        precondition(salt.count == 16, "a salt of 16 bytes")
        self.grant = grant
        self.salt = salt
        self.generation = generation
        self.rotatedAt = rotatedAt
        self.isRevoked = isRevoked
        self.expiresAt = expiresAt
    }

    package static func begin(_ grant: GrantID, at now: Timestamp) -> Self {
        Self(grant: grant, salt: randomBytes(16), generation: 0, rotatedAt: now, isRevoked: false, expiresAt: now.advanced(by: lifetime))
    }

    /// The token that is good now.
    package func token(key: RefreshTokenKey) -> RefreshToken { RefreshToken(grant: grant, generation: generation, salt: salt, key: key) }

    package enum Decision: Hashable, Sendable {
        /// To be kept in place of this one, if this is still what is kept, before the answer leaves with its token.
        case rotate(to: RefreshFamily)
        /// The token that is good now is answered again, and nothing changes.
        case `repeat`
        /// One that was replaced, and not just now: two have it. The family is revoked, whoever of them it was.
        case reused
        /// None of this family's.
        case unknown
        case revoked
        case expired
    }

    /// What becomes of a token that somebody presents.
    package func redeem(_ token: RefreshToken, key: RefreshTokenKey, at now: Timestamp) -> Decision {
        // A generation that is still to come was given out before the record was restored from a backup.
        guard token.grant == grant, token.isGenuine(salt: salt, key: key), token.generation <= generation else { return .unknown }
        guard !isRevoked else { return .revoked }
        guard now < expiresAt else { return .expired }
        if token.generation == generation {
            guard generation < .max else { return .expired }
            return .rotate(
                to: Self(
                    grant: grant, salt: salt, generation: generation + 1, rotatedAt: now, isRevoked: false, expiresAt: now.advanced(by: Self.lifetime)
                ))
        }
        let isRecent = now >= rotatedAt.advanced(by: .zero - Self.grace) && now <= rotatedAt.advanced(by: Self.grace)
        return token.generation == generation - 1 && isRecent ? .repeat : .reused
    }

    /// The same, good for nothing any more.
    package var revoked: Self {
        Self(grant: grant, salt: salt, generation: generation, rotatedAt: rotatedAt, isRevoked: true, expiresAt: expiresAt)
    }
}
