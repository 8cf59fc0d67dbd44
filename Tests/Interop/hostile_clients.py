"""Clients that nobody should be able to register."""

from typing import Any

GOOD = {"client_name": "Good", "redirect_uris": ["http://127.0.0.1:47123/callback"], "token_endpoint_auth_method": "none"}


def to(*redirect_uris: str) -> dict[str, Any]:
    return GOOD | {"redirect_uris": list(redirect_uris)}


REFUSED: dict[str, Any] = {
    "no redirect URI": {"client_name": "x"},
    "an empty list": to(),
    "100 redirect URIs": to(*(f"https://client.example.test/{number}" for number in range(100))),
    "a redirect URI that is none": to("callback"),
    "a number": GOOD | {"redirect_uris": [7]},
    "a text for the list": GOOD | {"redirect_uris": "https://client.example.test/cb"},
    "javascript": to("javascript:alert(1)"),
    "javascript in mixed case": to("JaVaScRiPt:alert(1)"),
    "javascript behind a space": to(" javascript:alert(1)"),
    "data": to("data:text/html,<script>alert(1)</script>"),
    "file": to("file:///etc/passwd"),
    "vbscript": to("vbscript:msgbox(1)"),
    "blob": to("blob:https://client.example.test/1"),
    "about": to("about:blank"),
    "one good, one bad": to(GOOD["redirect_uris"][0], "javascript:alert(1)"),
    "plain http elsewhere": to("http://client.example.test/cb"),
    "a fragment": to("https://client.example.test/cb#x"),
    "user info": to("https://user:password@client.example.test/cb"),
    "a wildcard": to("https://*.example.test/cb"),
    "a wildcard for a path": to("https://client.example.test/*"),
    "no host": to("https:///cb"),
    "a line feed": to("https://client.example.test/cb\nx"),
    "a redirect URI of 10,000 characters": to("https://client.example.test/" + "a" * 10_000),
    "a web client on loopback": GOOD | {"application_type": "web"},
    "a name that is a list": GOOD | {"client_name": ["x"]},
    "not an object": ["x"],
    "nothing": None,
}

DEFUSED: dict[str, Any] = {
    "a secret": GOOD | {"token_endpoint_auth_method": "client_secret_basic"},
    "a secret in the body": GOOD | {"token_endpoint_auth_method": "client_secret_post"},
    "a secret of its own choice": GOOD | {"client_secret": "hunter2hunter2"},
    "an id of its own choice": GOOD | {"client_id": "admin"},
    "implicit": GOOD | {"grant_types": ["implicit"], "response_types": ["token"]},
    "tokens in the front channel": GOOD | {"response_types": ["code", "token", "id_token token"]},
    "password": GOOD | {"grant_types": ["authorization_code", "password"]},
    "client credentials for itself": GOOD | {"grant_types": ["authorization_code", "client_credentials"]},
    "token exchange": GOOD | {"grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"]},
    "every scope": GOOD | {"scope": "* admin openid superuser"},
    "a logo that is a script": GOOD | {"logo_uri": "javascript:alert(1)"},
    "a home page that is a script": GOOD | {"client_uri": "javascript:alert(1)"},
    "a name of 10,000 characters": GOOD | {"client_name": "x" * 10_000},
}
"""Refused, or registered as something harmless: a server may put other values in the place of these (RFC 7591, 3.2.1)."""

TOO_LARGE = GOOD | {"software_statement": "x" * (2 << 20)}

SCRIPT_NAME = """</title><script>alert(1)</script>"'><img src=x onerror=alert(1)>&#x202e;"""
"""Somebody may be called so, but not in markup."""
