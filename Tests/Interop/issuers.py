"""Real OpenID Connect issuers on this machine, each with one client, which is the gateway, and the same users.

Each is a context manager and says what a gateway needs to know of it. `sign_in` does what a person does between the
page the gateway sends them to, before which the browser stopped, and the gateway's callback, before which it stops again.
"""

import gzip
import json
import re
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from browser import Browser, Page
from processes import DEADLINE, ListeningProcess

VENVS = Path(sys.prefix).parent
ISSUERS_PYTHON = VENVS / "issuers" / "bin" / "python"
GLEWLWYD = VENVS / "glewlwyd"
SERVERS = Path(__file__).with_name("servers")

CLIENT_ID, CLIENT_SECRET = "gateway", "the-gateway's-secret-at-its-issuer"
USERS = ("alice", "bob", "carol")
SCOPES = ("openid", "profile", "email", "offline_access")


def password_of(user: str) -> str:
    return f"correct-horse-of-{user}"


@dataclass(frozen=True)
class Issuer:
    name: str
    url: str
    client_id: str
    client_secret: str
    sign_in: Callable[[Browser, Page, str], Page]
    """Of a browser, at the authorization request the gateway sent it to, as a user."""
    announces_pkce: bool
    """Whether its metadata says so; a gateway has to be told to do without."""
    at_once: int = 8
    """How many may sign in at the same time before it makes mistakes of its own."""


def free_port() -> int:
    """One that nobody listens on now, for a server that must know its port beforehand."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def back(page: Page) -> Page:
    assert page.is_ahead, f"{page.url} answered {page.status} instead of a redirect to the gateway:\n{page.text[:4000]}"
    return page


def callback_of(request: Page) -> str:
    """The redirect URI an authorization request names."""
    return parse_qs(urlsplit(request.url).query)["redirect_uri"][0]


# Canaille: a login in two steps, a consent page, RFC 9207


@contextmanager
def canaille(callback: str, directory: Path) -> Iterator[Issuer]:
    directory.mkdir(parents=True)
    settings = {
        "directory": str(directory),
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uri": callback,
        "users": {user: password_of(user) for user in USERS},
    }
    with listening([str(ISSUERS_PYTHON), str(SERVERS / "canaille_issuer.py"), json.dumps(settings)]) as url:
        yield Issuer("canaille", url, CLIENT_ID, CLIENT_SECRET, sign_in_to_canaille, announces_pkce=True)


def sign_in_to_canaille(browser: Browser, request: Page, user: str) -> Page:
    page = log_in_to_canaille(browser, request, user)
    if any(form.button("accept") for form in page.forms):
        page = browser.submit(page, "accept", until=callback_of(request))
    return back(page)


def log_in_to_canaille(browser: Browser, request: Page, user: str) -> Page:
    """To its consent page, or past it if the user was there before."""
    callback = callback_of(request)
    page = browser.go_on(request, until=callback)
    # Who signed in before, in this browser, is not asked for everything again.
    for field, value in ("login", user), ("password", password_of(user)):
        if any(field in form.names for form in page.forms):
            page = submit_field(browser, page, field, value, callback)
    return page


def submit_field(browser: Browser, page: Page, name: str, value: str, until: str) -> Page:
    """Fills in the form that has this field, and presses its first button."""
    form = next((form for form in page.forms if name in form.names), None)
    assert form, f"no field “{name}” at {page.url} ({page.status}):\n{page.text[:4000]}"
    fields = [(field, value if field == name else given) for field, given in form.fields]
    button = form.buttons[0]
    if button.name:
        fields.append((button.name, button.value))
    return browser.send(form.method, form.action, fields, page=page, until=until)


# oidc-provider-mock: one click, and nothing is checked


@contextmanager
def mock(_callback: str, _directory: Path, *, lifetime: int = 3600) -> Iterator[Issuer]:
    """`lifetime` in seconds, of its access and ID tokens."""
    users = {user: {"email": f"{user}@example.test", "name": user.title()} for user in USERS}
    settings = json.dumps({"users": users, "lifetime": lifetime})
    with listening([str(ISSUERS_PYTHON), str(SERVERS / "mock_issuer.py"), settings]) as url:
        yield Issuer("mock", url, CLIENT_ID, CLIENT_SECRET, sign_in_to_mock, announces_pkce=False)


def sign_in_to_mock(browser: Browser, request: Page, user: str) -> Page:
    return back(browser.submit(browser.go_on(request), user, until=callback_of(request)))


# glewlwyd: the strict one; its login page is a script, so what the script sends is sent here


@contextmanager
def glewlwyd(callback: str, directory: Path) -> Iterator[Issuer]:
    directory.mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    database = directory / "glewlwyd.sqlite"
    schema = GLEWLWYD / "usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz"
    connection = sqlite3.connect(database)
    connection.executescript(gzip.decompress(schema.read_bytes()).decode())
    connection.close()
    configuration = directory / "glewlwyd.conf"
    configuration.write_text(glewlwyd_configuration(port, url, database))
    command = [str(GLEWLWYD / "usr/bin/glewlwyd"), f"--config-file={configuration}", "--log-mode=console", "--log-level=INFO"]
    process = ListeningProcess(command, announcement=re.compile(r"external URL: (\S+)"))
    try:
        process.wait_for_url()
        set_up_glewlwyd(url, callback)
        # Its rows are found by the last one inserted, whoever inserted it.
        yield Issuer("glewlwyd", f"{url}/api/oidc", CLIENT_ID, CLIENT_SECRET, sign_in_to_glewlwyd, announces_pkce=True, at_once=1)
    finally:
        process.end()


def glewlwyd_configuration(port: int, url: str, database: Path) -> str:
    modules = GLEWLWYD / "usr/lib/glewlwyd"
    return f"""
        port={port}
        bind_address="127.0.0.1"
        external_url="{url}"
        login_url="login.html"
        api_prefix="api"
        static_files_path="{GLEWLWYD}/usr/share/glewlwyd/webapp"
        static_files_mime_types=({{ extension=".html" mime_type="text/html" compress=0 }})
        log_mode="console"
        log_level="INFO"
        cookie_secure=0
        session_key="GLEWLWYD2_SESSION_ID"
        admin_scope="g_admin"
        profile_scope="g_profile"
        user_module_path="{modules}/user"
        client_module_path="{modules}/client"
        user_auth_scheme_module_path="{modules}/scheme"
        plugin_module_path="{modules}/plugin"
        hash_algorithm="SHA512"
        database={{ type="sqlite3" path="{database}" }};
    """


def set_up_glewlwyd(url: str, callback: str) -> None:
    key, certificate = rsa_key_and_certificate()
    plugin = {
        "module": "oidc",
        "name": "oidc",
        "display_name": "OpenID Connect",
        "enabled": True,
        "parameters": {
            "iss": f"{url}/api/oidc",
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "key": key,
            "cert": certificate,
            "jwks-show": True,
            "access-token-duration": 3600,
            "refresh-token-duration": 86_400,
            "code-duration": 60,
            "refresh-token-rolling": True,
            "refresh-token-one-use": "always",
            "auth-type-code-enabled": True,
            "auth-type-code-revoke-replayed": True,
            "auth-type-refresh-enabled": True,
            "auth-type-token-enabled": False,
            "auth-type-implicit-enabled": False,
            "auth-type-none-enabled": False,
            "auth-type-password-enabled": False,
            "auth-type-client-enabled": False,
            "auth-type-device-enabled": False,
            "allow-non-oidc": False,
            "allowed-scope": list(SCOPES),
            "pkce-allowed": True,
            "pkce-required": True,
            "pkce-method-plain-allowed": False,
            "name-claim": "mandatory",
            "email-claim": "mandatory",
            "request-parameter-allow": False,
            "session-management-allowed": False,
        },
    }
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "name": "MCP Registry Gateway",
        "confidential": True,
        "enabled": True,
        "redirect_uri": [callback],
        "authorization_type": ["code", "refresh_token"],
        "token_endpoint_auth_method": ["client_secret_basic"],
        "scope": list(SCOPES),
    }
    with httpx2.Client(base_url=f"{url}/api", timeout=DEADLINE, trust_env=False) as admin:

        def ask(path: str, body: dict[str, Any]) -> None:
            response = admin.post(path, json=body)
            assert response.status_code == 200, f"glewlwyd: {path} answered {response.status_code} {response.text}"

        ask("/auth/", {"username": "admin", "password": "password"})
        for scope in SCOPES[1:]:
            ask("/scope/", {"name": scope, "display_name": scope, "password_required": True, "password_max_age": 0, "scheme": {}})
        ask("/mod/plugin/", plugin)
        ask("/client/", client)
        for user in USERS:
            person = {"username": user, "password": password_of(user), "name": user.title(), "email": f"{user}@example.test"}
            ask("/user/", person | {"enabled": True, "scope": list(SCOPES)})


def rsa_key_and_certificate() -> tuple[str, str]:
    """In PEM. Glewlwyd publishes the key of the certificate."""
    key = rsa.generate_private_key(65_537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "glewlwyd")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, form, serialization.NoEncryption())
    return private.decode(), certificate.public_bytes(encoding).decode()


def sign_in_to_glewlwyd(browser: Browser, request: Page, user: str) -> Page:
    callback = callback_of(request)
    page = browser.go_on(request, until=callback)
    if page.is_ahead:
        return page
    login = parse_qs(urlsplit(page.url).query)
    assert "callback_url" in login, f"{page.url} is not the login page:\n{page.text[:4000]}"
    base = request.url.split("/api/")[0]
    scope = parse_qs(urlsplit(request.url).query)["scope"][0]
    signed_in = browser.fetch("POST", f"{base}/api/auth/", json={"username": user, "password": password_of(user)})
    assert signed_in.status_code == 200, signed_in.text
    granted = browser.fetch("PUT", f"{base}/api/auth/grant/{CLIENT_ID}/", json={"scope": scope})
    assert granted.status_code == 200, granted.text
    return back(browser.get(login["callback_url"][0] + "&g_continue", until=callback, come_from=page))


@contextmanager
def listening(command: list[str]) -> Iterator[str]:
    process = ListeningProcess(command)
    try:
        yield process.wait_for_url()
    finally:
        process.end()


ISSUERS: dict[str, Callable[[str, Path], Any]] = {"glewlwyd": glewlwyd, "canaille": canaille, "mock": mock}
"""Each takes the gateway's callback and a directory of its own that does not exist yet."""
