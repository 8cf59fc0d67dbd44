"""What the tests of the authorization server take for granted that is written in no RFC, and an OAuth client by hand.

Everything here that names a button, a setting or a command of the gateway stands here once.
"""

import base64
import hashlib
import json
import secrets
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2

from browser import Browser, Page
from gateway import MREG, Gateway
from issuers import Issuer, back, callback_of
from processes import DEADLINE

# The gateway's pages

APPROVE, DENY = "approve", "deny"
"""Values of the buttons of the consent page."""

# Its built-in issuer: a page with a button for each user

EVALUATION_USERS = {
    name: f"5e000000-0000-4000-8000-{number:012}"
    for name, number in {"admin": 1, "bob": 2, "server_owner": 2, "alice": 3, "user": 3, "auditor": 4, "carol": 4}.items()
}
"""Whom the users of the other issuers are there."""


def sign_in_to_fake_entra(browser: Browser, request: Page, user: str) -> Page:
    return back(browser.submit(browser.go_on(request), EVALUATION_USERS.get(user, user), until=callback_of(request)))


def fake_entra() -> Issuer:
    return Issuer("entra", "", "", "", sign_in_to_fake_entra, announces_pkce=False)


# Its settings and commands

ALLOWED_NETWORKS = {"MREG_ALLOWED_PRIVATE_UPSTREAMS": "127.0.0.0/8,::1/128"}
DEMO_ALIAS = "demo"


def settings_behind(issuer: Issuer, port: int, **changes: str) -> dict[str, str]:
    """The environment of a gateway at this port that lets users sign in there."""
    settings = {
        "MREG_PORT": str(port),
        "MREG_OIDC_ISSUER": issuer.url,
        "MREG_OIDC_CLIENT_ID": issuer.client_id,
        "MREG_OIDC_CLIENT_SECRET": issuer.client_secret,
        "MREG_FASTMCP_OAUTH_CALLBACK_URL": callback_at(port),
        "MREG_ROLE_MAP": "user=everyone",
        "MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM": "6000",
        **ALLOWED_NETWORKS,
    }
    if not issuer.announces_pkce:
        settings["MREG_ISSUER_WITHOUT_PKCE_METADATA"] = issuer.url
    return settings | changes


def serve_command(state_directory: Path) -> list[str]:
    return [MREG, "serve", "--state-dir", str(state_directory)]


def callback_at(port: int) -> str:
    return f"http://localhost:{port}/oauth/callback"


def add_demo_server(gateway: Gateway) -> None:
    """What `mreg evaluate` has by itself."""
    gateway.add_stdio(DEMO_ALIAS, [MREG, "demo-server", "--stdio"], "--shared")


def confidential_client(gateway: Gateway, acts_as: str) -> tuple[str, str]:
    """The id and secret of a client of the operator's, which acts by itself as this user."""
    state = ["--state-dir", str(gateway.state_directory)]
    command = [MREG, "client", "add", "nightly-report", "--user", acts_as, "--json", *state]
    added = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert added.returncode == 0, added.stdout + added.stderr
    client = json.loads(added.stdout)
    return client["client_id"], client["client_secret"]


def signing_key(gateway: Gateway) -> str:
    """The gateway's private key, in PEM, as whoever owns its disk has it."""
    return (gateway.state_directory / "keys" / "signing-key.pem").read_text()


# An OAuth client by hand

LOOPBACK_REDIRECT = "http://127.0.0.1:47123/callback"
"""Nobody listens there: a browser stops before it."""


@dataclass(frozen=True)
class Asked:
    """An authorization request."""

    url: str
    redirect_uri: str
    state: str
    verifier: str


@dataclass(frozen=True)
class Tokens:
    access: str
    refresh: str
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Client:
    """A public client, registered with one redirect URI. Whatever it sends can be changed; a change to None leaves it out."""

    gateway: Gateway
    id: str
    redirect_uri: str = LOOPBACK_REDIRECT

    @classmethod
    def register(cls, gateway: Gateway, **metadata: Any) -> "Client":
        usual = {"client_name": "Hand-made", "redirect_uris": [LOOPBACK_REDIRECT], "token_endpoint_auth_method": "none"}
        metadata = usual | metadata
        response = register(gateway, metadata)
        assert response.status_code == 201, response.text
        return cls(gateway, response.json()["client_id"], metadata["redirect_uris"][0])

    def ask(self, **changes: str | None) -> Asked:
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        parameters = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect_uri,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            "resource": self.gateway.endpoint,
        }
        url = f"{self.gateway.url}/authorize?{urlencode(changed(parameters, changes))}"
        return Asked(url, changes.get("redirect_uri") or self.redirect_uri, state, verifier)

    def redeem(self, code: str, asked: Asked, /, **changes: str | None) -> httpx2.Response:
        parameters = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asked.redirect_uri,
            "client_id": self.id,
            "code_verifier": asked.verifier,
            "resource": self.gateway.endpoint,
        }
        return token(self.gateway, changed(parameters, changes))

    def refresh(self, refresh_token: str, /, **changes: str | None) -> httpx2.Response:
        parameters = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": self.id,
            "resource": self.gateway.endpoint,
        }
        return token(self.gateway, changed(parameters, changes))

    def code(self, browser: Browser, issuer: Issuer, user: str = "alice") -> tuple[str, Asked]:
        """A fresh code, which the user allowed."""
        asked = self.ask()
        answer = answer_of(sign_in(browser, asked, issuer, user))
        assert "code" in answer, answer
        return answer["code"], asked

    def tokens(self, browser: Browser, issuer: Issuer, user: str = "alice") -> Tokens:
        code, asked = self.code(browser, issuer, user)
        return tokens_of(self.redeem(code, asked))


def changed(parameters: dict[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**parameters, **changes}.items() if value is not None}


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def tokens_of(response: httpx2.Response) -> Tokens:
    assert response.status_code == 200, response.text
    document = response.json()
    return Tokens(document["access_token"], document["refresh_token"], document)


def register(gateway: Gateway, metadata: Any) -> httpx2.Response:
    return httpx2.post(f"{gateway.url}/register", json=metadata, timeout=DEADLINE)


def token(gateway: Gateway, parameters: dict[str, str]) -> httpx2.Response:
    return httpx2.post(f"{gateway.url}/token", data=parameters, timeout=DEADLINE)


def call(gateway: Gateway, access_token: str, tool: str = f"{DEMO_ALIAS}__echo") -> httpx2.Response:
    """Whether a token is good shows here."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"text": "x"}}}
    return httpx2.post(gateway.endpoint, json=body, headers={"Authorization": f"Bearer {access_token}"}, timeout=DEADLINE)


def whoami(gateway: Gateway, access_token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {access_token}"}
    response = httpx2.get(f"{gateway.url}/oauth/userinfo", headers=headers, timeout=DEADLINE)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


# A person with a browser


def consent(browser: Browser, asked: Asked | str) -> Page:
    """The gateway's consent page, which nobody gets past without pressing a button."""
    request = Page(asked if isinstance(asked, str) else asked.url)
    page = browser.go_on(request, until=leads_out(request))
    assert not page.is_ahead, f"no consent was asked before {page.url}"
    page.form_with(APPROVE)
    return page


def approve(browser: Browser, page: Page) -> Page:
    """From the consent page to the issuer, before which the browser stops."""
    page = browser.submit(page, APPROVE, until=is_issuers)
    assert page.is_ahead, f"{page.url} answered {page.status} instead of a redirect to the issuer:\n{page.text[:4000]}"
    return page


def sign_in(browser: Browser, asked: Asked | str, issuer: Issuer, user: str) -> Page:
    """From the authorization request to the client, before which the browser stops."""
    request = Page(asked if isinstance(asked, str) else asked.url)
    page = issuer.sign_in(browser, approve(browser, consent(browser, asked)), user)
    return browser.go_on(page, until=callback_of(request))


def is_issuers(url: str) -> bool:
    """Whether this is the gateway's request to its issuer."""
    named = parse_qs(urlsplit(url).query)
    callback = urlsplit(named.get("redirect_uri", [""])[0])
    return "client_id" in named and (callback.hostname, callback.path) == ("localhost", "/oauth/callback")


def leads_out(request: Page) -> Callable[[str], bool]:
    """Whether an address is the issuer's or the client's, and so no page of the gateway's."""
    redirect_uri = callback_of(request)
    return lambda url: is_issuers(url) or url.startswith(redirect_uri)


def answer_of(page: Page) -> dict[str, str]:
    """What the client is told."""
    assert page.is_ahead, f"{page.url} answered {page.status} instead of a redirect to the client:\n{page.text[:4000]}"
    return dict(parse_qsl(urlsplit(page.url).query))
