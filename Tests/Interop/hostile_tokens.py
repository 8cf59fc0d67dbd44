"""Bearer tokens that are wrong in one way each, made from a genuine one.

Some only the holder of the gateway's key can make: they are made with it, so that nothing but the one claim is wrong.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Sign = Callable[[bytes], bytes]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def hs(secret: bytes, digest: str = "sha256") -> Sign:
    return lambda message: hmac.new(secret, message, getattr(hashlib, digest)).digest()


def rs256(message: bytes) -> bytes:
    return OTHER_RSA_KEY.sign(message, padding.PKCS1v15(), hashes.SHA256())


def unsigned(_message: bytes) -> bytes:
    return b""


OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_RSA_KEY = rsa.generate_private_key(65_537, 2048)
OTHER_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": encoded(OTHER_KEY.public_key().public_numbers().x.to_bytes(32)),
    "y": encoded(OTHER_KEY.public_key().public_numbers().y.to_bytes(32)),
}


class Forge:
    """A genuine token and the key it was signed with."""

    def __init__(self, genuine: str, key_pem: str, public_jwk: dict[str, Any], canary: str) -> None:
        self.genuine = genuine
        self.head, self.body, self.signature = genuine.split(".")
        self.header: dict[str, Any] = json.loads(decoded(self.head))
        self.claims: dict[str, Any] = json.loads(decoded(self.body))
        key = serialization.load_pem_private_key(key_pem.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key
        self.public_jwk = public_jwk
        self.canary = canary
        """A URL where somebody waits for whoever believes a token about keys."""

    @property
    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def signed(self, sign: Sign | None = None, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
        """With the gateway's key if nothing else is said. A member that is changed to None is left out."""
        head, body = (
            json.dumps({name: value for name, value in {**old, **(new or {})}.items() if value is not None})
            for old, new in ((self.header, header), (self.claims, claims))
        )
        message = f"{encoded(head.encode())}.{encoded(body.encode())}"
        return f"{message}.{encoded((sign or es256(self.key))(message.encode()))}"

    def by_stranger(self, **header: Any) -> str:
        return self.signed(es256(OTHER_KEY), header)

    def about(self, **claims: Any) -> str:
        return self.signed(claims=claims)

    def at_origin(self, path: str) -> str:
        return self.claims["iss"] + path


def now(offset: float = 0) -> int:
    return int(time.time() + offset)


TOKENS: dict[str, Callable[[Forge], str]] = {
    # No signature, or another algorithm than ours
    "alg none": lambda f: f.signed(unsigned, {"alg": "none"}),
    "alg None": lambda f: f.signed(unsigned, {"alg": "None"}),
    "alg nOnE": lambda f: f.signed(unsigned, {"alg": "nOnE"}),
    "alg NONE": lambda f: f.signed(unsigned, {"alg": "NONE"}),
    "alg none with a signature": lambda f: f.signed(header={"alg": "none"}),
    "no alg": lambda f: f.signed(header={"alg": None}),
    "empty alg": lambda f: f.signed(header={"alg": ""}),
    "alg a list": lambda f: f.signed(header={"alg": ["ES256"]}),
    "alg in lower case": lambda f: f.signed(header={"alg": "es256"}),
    "alg ES384": lambda f: f.signed(header={"alg": "ES384"}),
    "alg EdDSA": lambda f: f.signed(header={"alg": "EdDSA"}),
    "HS256 with the public key in PEM": lambda f: f.signed(hs(f.public_pem), {"alg": "HS256"}),
    "HS256 with the PEM without its last line feed": lambda f: f.signed(hs(f.public_pem.rstrip()), {"alg": "HS256"}),
    "HS256 with the public key as JSON": lambda f: f.signed(hs(json.dumps(f.public_jwk).encode()), {"alg": "HS256"}),
    "HS256 with the key id": lambda f: f.signed(hs(str(f.header.get("kid")).encode()), {"alg": "HS256"}),
    "HS256 with nothing": lambda f: f.signed(hs(b""), {"alg": "HS256"}),
    "HS512 with the public key in PEM": lambda f: f.signed(hs(f.public_pem, "sha512"), {"alg": "HS512"}),
    "RS256 with another key": lambda f: f.signed(rs256, {"alg": "RS256"}),
    # Another signature
    "another key": lambda f: f.by_stranger(),
    "r and s are 0": lambda f: f.signed(lambda _: bytes(64)),
    "r and s are the order": lambda f: f.signed(lambda _: P256_ORDER * 2),
    "the signature in DER": lambda f: f.signed(lambda message: f.key.sign(message, ec.ECDSA(hashes.SHA256()))),
    "half a signature": lambda f: f.signed(lambda message: es256(f.key)(message)[:32]),
    "one byte more": lambda f: f.signed(lambda message: es256(f.key)(message) + b"\0"),
    "somebody else's claims": lambda f: f"{f.head}.{f.about(sub='1').split('.')[1]}.{f.signature}",
    "a later expiry": lambda f: f"{f.head}.{f.about(exp=now(86_400)).split('.')[1]}.{f.signature}",
    "no signature": lambda f: f"{f.head}.{f.body}.",
    "two parts": lambda f: f"{f.head}.{f.body}",
    "four parts": lambda f: f"{f.genuine}.x",
    "five parts": lambda f: f"{f.genuine}.x.x",
    "an empty part before": lambda f: f".{f.genuine}",
    "padded": lambda f: f"{f.genuine}=",
    "no JSON": lambda f: f"{encoded(b'nonsense')}.{f.body}.{f.signature}",
    "nonsense": lambda _: "nonsense",
    "only dots": lambda _: "..",
    "9,000 characters": lambda _: "a" * 9_000,
    "claims 1,000 deep": lambda f: f.signed(es256(OTHER_KEY), claims={"deep": json.loads("[" * 900 + "]" * 900)}),
    # What a header says about keys
    "kid of another key": lambda f: f.by_stranger(kid="another"),
    "kid climbs to an empty file": lambda f: f.signed(hs(b""), {"alg": "HS256", "kid": "../../../../../../dev/null"}),
    "kid with SQL": lambda f: f.by_stranger(kid="' OR '1'='1"),
    "kid is a URL": lambda f: f.by_stranger(kid=f.canary),
    "kid with NUL": lambda f: f.by_stranger(kid=f"{f.header.get('kid')}\0"),
    "kid of 5,000 characters": lambda f: f.by_stranger(kid="k" * 5_000),
    "kid a number": lambda f: f.by_stranger(kid=1),
    "kid a list": lambda f: f.by_stranger(kid=[f.header.get("kid")]),
    "jku": lambda f: f.by_stranger(kid="another", jku=f.canary),
    "x5u": lambda f: f.by_stranger(kid="another", x5u=f.canary),
    "jwk": lambda f: f.by_stranger(kid="another", jwk=OTHER_JWK),
    "jwk beside our kid": lambda f: f.by_stranger(jwk=OTHER_JWK),
    "x5c": lambda f: f.by_stranger(x5c=["MIIB"]),
    "unknown crit": lambda f: f.signed(header={"crit": ["urn:example:unknown"], "urn:example:unknown": True}),
    "empty crit": lambda f: f.signed(header={"crit": []}),
    "crit b64": lambda f: f.signed(header={"crit": ["b64"], "b64": False}),
    # Other kinds of token
    "typ JWT": lambda f: f.signed(header={"typ": "JWT"}),
    "no typ": lambda f: f.signed(header={"typ": None}),
    "typ of a logout token": lambda f: f.signed(header={"typ": "logout+jwt"}),
    "an ID token": lambda f: f.signed(header={"typ": "JWT"}, claims={"aud": "client", "nonce": "n", "azp": "client"}),
    # Claims
    "for another resource of ours": lambda f: f.about(aud=[f.at_origin("/api")]),
    "for another gateway": lambda f: f.about(aud=["https://other.example/mcp"]),
    "for the origin": lambda f: f.about(aud=[f.claims["iss"]]),
    "for a longer path": lambda f: f.about(aud=[f.at_origin("/mcp.evil")]),
    "for a longer host": lambda f: f.about(aud=[f"{f.claims['iss']}.evil.example/mcp"]),
    "for nothing": lambda f: f.about(aud=[]),
    "no aud": lambda f: f.about(aud=None),
    "for a number": lambda f: f.about(aud=7),
    "another issuer": lambda f: f.about(iss="https://evil.example"),
    "a longer issuer": lambda f: f.about(iss=f.at_origin(".evil.example")),
    "a slash after the issuer": lambda f: f.about(iss=f.at_origin("/")),
    "no issuer": lambda f: f.about(iss=None),
    "expired": lambda f: f.about(iat=now(-7200), exp=now(-3600)),
    "no exp": lambda f: f.about(exp=None),
    "exp a text": lambda f: f.about(exp="never"),
    "exp beyond all time": lambda f: f.about(exp=10**30),
    "not yet good": lambda f: f.about(nbf=now(3600)),
    "from the future": lambda f: f.about(iat=now(3600), exp=now(7200)),
    "no iat": lambda f: f.about(iat=None),
    "of nobody": lambda f: f.about(sub="999999999"),
    "of no number": lambda f: f.about(sub="admin"),
    "no sub": lambda f: f.about(sub=None),
}

P256_ORDER = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")


@dataclass(frozen=True)
class Attempt:
    """A genuine token, shown in another way than RFC 6750 and one header have it."""

    headers: list[tuple[str, str]]
    query: str = ""
    is_shown: bool = True
    """Whether something stands in `Authorization`, so that the challenge names an error."""


WAYS: dict[str, Callable[[str], Attempt]] = {
    "nothing": lambda _: Attempt([], is_shown=False),
    "in the query": lambda t: Attempt([], f"?access_token={t}", is_shown=False),
    "in a cookie": lambda t: Attempt([("Cookie", f"access_token={t}; __Host-access_token={t}")], is_shown=False),
    "in another header": lambda t: Attempt([("X-Forwarded-Authorization", f"Bearer {t}")], is_shown=False),
    "twice": lambda t: Attempt([("Authorization", f"Bearer {t}"), ("Authorization", f"Bearer {t}")]),
    "after nonsense": lambda t: Attempt([("Authorization", "Bearer nonsense"), ("Authorization", f"Bearer {t}")]),
    "two in one header": lambda t: Attempt([("Authorization", f"Bearer {t}, Bearer {t}")]),
    "Basic": lambda t: Attempt([("Authorization", f"Basic {base64.b64encode(f'user:{t}'.encode()).decode()}")]),
    "DPoP": lambda t: Attempt([("Authorization", f"DPoP {t}")]),
    "without a scheme": lambda t: Attempt([("Authorization", t)]),
    "in quotes": lambda t: Attempt([("Authorization", f'Bearer "{t}"')]),
    "no token after the scheme": lambda _: Attempt([("Authorization", "Bearer")]),
    "as a made-up API key": lambda _: Attempt([("Authorization", "Bearer mreg_0123456789abcdef0123456789abcdef")]),
}
