"""Canaille as an issuer with one client and some users: a realistic peer, with login and consent pages and RFC 9207.

Runs in the environment of the issuers. The one argument is JSON: directory, client_id, client_secret, redirect_uri,
and users, a password for each name. Set up through Canaille's own models: each of its commands would take two seconds.
"""

import json
import logging
import secrets
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from canaille.oidc import provider
from flask import Flask
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

SCOPES = ["openid", "profile", "email", "offline_access"]


# Its own are alike for one user in one second, and its database takes no two that are: an error 500 for a quick client.
provider.generate_access_token = lambda **_: secrets.token_urlsafe(48)


def configuration(authority: str, directory: Path) -> dict[str, Any]:
    return {
        "SECRET_KEY": secrets.token_hex(),
        "SERVER_NAME": authority,
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE_SQL": {"DATABASE_URI": f"sqlite:///{directory}/canaille.sqlite"},
        "CANAILLE_OIDC": {
            "ACTIVE_JWKS": [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)],
            "REQUIRE_NONCE": False,
        },
    }


def fill(settings: dict[str, Any]) -> None:
    for name, password in settings["users"].items():
        Backend.instance.save(
            models.User(
                user_name=name,
                password=password,
                emails=[f"{name}@example.test"],
                family_name=name.title(),
                given_name=name.title(),
                formatted_name=name.title(),
                display_name=name,
            )
        )
    client = models.Client(
        client_id=settings["client_id"],
        client_secret=settings["client_secret"],
        client_id_issued_at=datetime.now(UTC),
        client_name="MCP Registry Gateway",
        client_uri="https://gateway.example.test",  # not among the trusted domains, so there is a consent page
        redirect_uris=[settings["redirect_uri"]],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        scope=SCOPES,
        token_endpoint_auth_method="client_secret_basic",
    )
    client.audience = [client]  # else ID tokens are for nobody
    Backend.instance.save(client)


def serve(settings: dict[str, Any]) -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app: Flask = create_app(configuration(f"127.0.0.1:{port}", Path(settings["directory"])), init_backend=True)
        with app.app_context():
            fill(settings)
        server = make_server("127.0.0.1", port, app, threaded=True, fd=listener.fileno())
        print(f"listening on http://127.0.0.1:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
