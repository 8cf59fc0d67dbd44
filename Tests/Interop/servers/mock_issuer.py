"""oidc-provider-mock as an issuer: a loose peer, which checks no PKCE, names no key, and takes any client.

Runs in the environment of the issuers. The one argument is JSON: users, names with their claims, and lifetime, in
seconds, of access and ID tokens.
"""

import json
import logging
import sys
import warnings
from datetime import timedelta

warnings.simplefilter("ignore")

from oidc_provider_mock import app
from oidc_provider_mock._storage import User
from werkzeug.serving import make_server

if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    users = [User(sub=name, claims=claims) for name, claims in settings["users"].items()]
    issuer = app(user_claims=users, access_token_max_age=timedelta(seconds=settings["lifetime"]))
    server = make_server("127.0.0.1", 0, issuer, threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
