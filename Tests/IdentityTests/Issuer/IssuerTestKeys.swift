import Crypto
import Foundation
import JWTKit

/// Keys of the issuers in these tests, and of nobody else.
enum IssuerTestKeys {
    static let rsa = RSAPair(
        """
        -----BEGIN PRIVATE KEY-----
        MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQCngrPqSUYBNYPb
        /x+llUnM/v55w7Gptz5IRN3DeOvNOgZxeFTl4w69T4ADbkwhEpe8p89XnbCIokto
        llBMLU6rP6X6V0oleoyQdBErPu/iXxcC4AqRMk9Ic/1GGgER0pEItDVU1/sGfUG3
        4fTv8+RUNkLE6CGHkYkqhz1yGMTcmODCxXTgAof0DL0nC2565XYFhBqqQIwSN94E
        orqApBkP4B+Mdq89L9oUZ8tJe6vbbXsW3GWMkvpmF5IOl3Z9F82//yO0/qSRXB2l
        QnSOfHis4mk6rbyNXpdQtsbOv4wgHVFZX23ecdxc847kpQ2paX0gSTKQ61FilGZe
        21qQv+h7AgMBAAECggEAQakJDwgDycuJUT3S0NwQ3qsBYwdjZ6wtXLSp3MpUW9Cn
        3+iUFryG9YvpGO8uJjSch9Wbf7OPFC/RsUBiX0nPMW80h0maBdDgsmrco//6ldhC
        M91QJxP6YeMdX1IoIy1ProK8+PHkMun8TbDjiv8l/CB80aRQKEzS4Hm8izHMUM90
        fs9DhMmc30e5TELHOs9noJob6gZfemB0Ksu6NyijVRaqgKJCT8zW795EMnJ82HD3
        SN4fMERK+gSc6uF4bl/AMjUJHCz1cSv6j3z6ebP0S24Nti33RROyvZcbaONLOdre
        RFMU0oJwKoxyP7JMn3SAPkz5bNe0B2JQh8rrMpH3GQKBgQDq8vg+XDowMuHtvVL+
        y3Y+UIsRw0FlCSsLymIdW8aa3CdUaNRPSLw9/gR5x2db5gV3o7BxZP/zG0sVLWk5
        rUTtBgLpl9J/XFikp1fUBTlUM+lUTVht0JvvigfX74LKs69ECAf/pDAjf5+Lsp6i
        pxM9zIfQMSxswGZzx0a2EvW1LwKBgQC2hOT6H8yC/swIrxvEGx0eX/scxZwht2J6
        XEuLtK08X6Yuq5BoZ6jY5iI5Wt5qskWGr3An81xtBoAVhiSq7jdc4BSb6/uWhZbX
        zC8cAAj5hyuOCy7EXjMOcj+XFla21DK8rRla2+bzcOiylZBD/LwyKje3M3A84sWA
        aHMy69sGdQKBgQCvNmceylSyoR+P1kLQtRcHPbWYl45rNL0fW9xznH+t+URzVIIQ
        ZmPLr2XTE3vnMtEc+buZtQKTX+VMc8MnOipOwM7nOUvHoyyQDiQXf5XTT6tQLSYn
        Lw07RCq5RGq7k+i+yWZ9pQopTwHCgoB/OC3HRoJ6JlHFAG7nJNN88QLADQKBgQCB
        5wvhSYiRIy+sbpTgeju7Rqy+yZZaGN8qH05VXH5/ncP1K35YEI8H8KMjFx196uu4
        9Fxq0rZRknLO3u5yCaG1pHaGkuo5M1Msu9I7p3q7vgytyB+8+x5zhbTkn62P6m9C
        AiEtnZ0+Xnn/wJsxCEwZmBqXdTDI5M2UmsKC14LHkQKBgQCGY3aW3P3wT4TEOtF0
        4lSE7n+uGhttAXs3dkwwzGoJZT3KKJNhNmZVQKZ7ihmCEDha3D3ZYdbltynRuYH3
        DAiT1brkbof/d0bKvThXMByAOg6SKVTAUU9v/9xPhkY1pjJTagg+wNSHrTUSf1qO
        Ac3A/BGTMvylI6+mKz8zea56Ug==
        -----END PRIVATE KEY-----
        """)

    static let otherRSA = RSAPair(
        """
        -----BEGIN PRIVATE KEY-----
        MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCxVffNadsAlRqn
        PWy5pmTNvA1W2221RAp1NXShyxyDxaXsSdgEQ+1E8og6dPVm9VRrTS79d5asr3mY
        LNqFAwlIS0JTQA3ftc1JXjh7oNjH1p8G1s6uVRS0TKzUOkPODiTDa/fzM4RXj8+m
        FTCkwAkX3UoGvh8JPz+DmVnDZKfCeb9cGhcqZAIwJgYTbTkrp8c87uX+Hxhcty1w
        hbn0j7l949SHqOLNrBqEVArqJjqdK6qSCnTggZo1WohRS/8SsDt9f32v07DlAWTj
        CQC6UGk9VUGfT8f+m94Xp2OrJQDLi+I4skJHV+SwFbATk+JVYGhMSf6Ts+1kZw41
        XR/P0tc3AgMBAAECggEAB5qiRY+EcZ8KaHLijeTUp+Z52n+Z3WvwY/NVZD2RXlry
        jhIoK0x4iNOXsl5dJ3uXwDCsKmxk4N/T6GbssgGYDQdbp/wFs4w1O3X3jVWMsErP
        TLAjfhwE7/wT4Xopv5q4vqhz/y4Nm8raf3kAaJu8JSy64slP3NWlF+4M5Xy3EetO
        WYqFA8WHTTkMLBwIB8W9l/FJDlpu+kVt1Nng0Yp05pOgLxLHM7d9YI2TMvV8Rt4x
        6xNkAsULi2eJe8jOroaSdo3rUsWHg0u++6x3V4AtzQy9c4ZUn9rcfdN6zOprMfTb
        hO81+EVYrVp+dE2CVfWHpWAxXH6t2C8erCRBFMw0AQKBgQDsBHNTQQUbpScq0LuC
        jrWKloWXkOyhJHCQZs+rc9EUBA82fFxO9nrrXjTcKHHsVffC9DTpRWi2buzmcgJg
        Vf0f8O7TZwDc8eaflHD5GihogKLpgxsk8qqorfa3gSAJ17MC1UJ1r7xByTlnEd2n
        x12GX1YggXAyqfHbIhLJs0uimQKBgQDAWaBFhls94NO7QSbeSHp+UZPhziNWl6z2
        3hPAWDsk+/gK+4a0o+Y4FtBD6KosKLM8oqaW1m36qFV39ohE5KKWPuHaMDt/ZwPF
        sO4EFYiDgdTmIbD6u0sdbtxGoRBIpBMB4BL60UbhENc7/4/cKP0BZVkmdLZVAG6c
        t1SG+e06TwKBgQCrFhLPT/u27YI17DdwzahVvQU8OIb/zN14H778ZykxXDv24DE9
        4Dh8c77XtM3YZv0CKmpMis78J+68ofqNAOhLhihpwGoEv6nRFhbKzCZskosFwM8l
        em8xdWG55fVmjSCrthHGI8zQ12AwEehengtyw5s4VvwRDdZPZiS+Z6U1SQKBgBro
        btNLCFiPqw72/kj6OqiRIO7lt2vVrAyc5IZz0VJLLVfb9+wtQXd3OYtGcQfcabaB
        ymwvcxMtmUc+5bE9isEZ6t5rAOfBsXVmWuWXXZGICBBphiiNKuTjLU10GqMO0Nni
        TsVnoVK62GE8TxOtaDdZxi7rBNa/SLoDq392VwlhAoGAC4W2ucoQwktlJ2jbJtbC
        hgROnZGQk6eR6muupWbMXdr+s3ee0hs0E6p5EHlGhSf5VjrWzUfw44od0YhccIL9
        2fWMRBPMgNw/PjgAtdDHDLxQRBRsZYvWleBXqr3WHk+RU8SIfkpQhFB+mzTmIEbQ
        P2c1Hx8lJ9VpbZek4qAJPvI=
        -----END PRIVATE KEY-----
        """)

    /// The modulus of a key of 1024 bits.
    static let weakModulus =
        "t2WAbDEdNs3K9-g5w3tMEoJjLIUNMj1Vx5_tRMrFQGm5kbcN3_N903fpX4U6AlHEJC_ETu0GIfExa5C6mfcgX304F2f2hOW25z9LgTqH_y8X8nkt4CpAwiKZckxQwovOawtFqs1V5_yIvGqOEXFVezIXsfDJN79anA5y5uq6GLs"

    static let p256 = P256.Signing.PrivateKey()
    static let p384 = P384.Signing.PrivateKey()
    static let ed25519 = Curve25519.Signing.PrivateKey()
}

struct RSAPair: Sendable {
    let privateKey: JWTKit.Insecure.RSA.PrivateKey
    init(_ pem: String) {
        guard let key = try? JWTKit.Insecure.RSA.PrivateKey(pem: pem) else { preconditionFailure("a literal above is no key") }
        privateKey = key
    }

    var publicPEM: String { privateKey.publicKey.pemRepresentation }

    func sign(_ text: Data, _ digest: DigestAlgorithm = .sha256, pss: Bool = false) async throws -> Data {
        let keys = JWTKeyCollection()
        if pss { await keys.add(pss: privateKey, digestAlgorithm: digest) } else { await keys.add(rsa: privateKey, digestAlgorithm: digest) }
        return Data(try await keys.getKey().sign(text))
    }

    func jwk(_ members: [String: String?] = [:]) -> String {
        guard let (modulus, exponent) = try? privateKey.publicKey.getKeyPrimitives() else { preconditionFailure("a key without numbers") }
        return JWKText.object(
            ["kty": "RSA", "use": "sig", "kid": "key-1", "n": Gatehouse.base64URL(modulus), "e": Gatehouse.base64URL(exponent)], changed: members)
    }
}

enum JWKText {
    static func object(_ members: [String: String], changed: [String: String?] = [:]) -> String {
        let all = members.mapValues { Optional($0) }.merging(changed) { $1 }
        return "{" + all.compactMap { name, value in value.map { "\"\(name)\":\"\($0)\"" } }.sorted().joined(separator: ",") + "}"
    }

    static func p256(_ key: P256.Signing.PrivateKey = IssuerTestKeys.p256, _ members: [String: String?] = [:]) -> String {
        let point = key.publicKey.rawRepresentation
        return object(
            ["kty": "EC", "crv": "P-256", "kid": "key-ec", "x": Gatehouse.base64URL(point.prefix(32)), "y": Gatehouse.base64URL(point.suffix(32))],
            changed: members)
    }

    static func p384(_ key: P384.Signing.PrivateKey = IssuerTestKeys.p384) -> String {
        let point = key.publicKey.rawRepresentation
        return object(
            ["kty": "EC", "crv": "P-384", "kid": "key-384", "x": Gatehouse.base64URL(point.prefix(48)), "y": Gatehouse.base64URL(point.suffix(48))])
    }

    static func ed25519(_ key: Curve25519.Signing.PrivateKey = IssuerTestKeys.ed25519) -> String {
        object(["kty": "OKP", "crv": "Ed25519", "kid": "key-ed", "x": Gatehouse.base64URL(key.publicKey.rawRepresentation)])
    }

    static func set(_ keys: String...) -> String { "{\"keys\":[\(keys.joined(separator: ","))]}" }
}
