"""The browser and the issuers themselves, without a gateway: what fails here is no fault of its."""

import base64
import hashlib
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import jwt
import pytest

from browser import Browser, Cookie, Directive, Navigation, Page, fetch_site, origin_of_post, redirected
from issuers import ISSUERS, SCOPES, free_port
from processes import DEADLINE

GATEWAY, ISSUER = "http://localhost:8001", "http://127.0.0.1:9001"


@pytest.mark.parametrize("name", ISSUERS)
def test_each_issuer_signs_in_alice_and_bob_and_tells_them_apart(name: str, tmp_path: Path) -> None:
    callback = f"http://localhost:{free_port()}/oauth/callback"
    subjects = []
    with ISSUERS[name](callback, tmp_path / "issuer") as issuer:
        document = httpx2.get(f"{issuer.url}/.well-known/openid-configuration", timeout=DEADLINE).json()
        assert document["issuer"] == issuer.url
        assert ("S256" in document.get("code_challenge_methods_supported", [])) == issuer.announces_pkce
        keys = httpx2.get(document["jwks_uri"], timeout=DEADLINE).json()["keys"]
        for user in ("alice", "bob"):
            verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
            parameters = {
                "response_type": "code",
                "client_id": issuer.client_id,
                "redirect_uri": callback,
                "scope": " ".join(SCOPES),
                "state": user,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
            with Browser() as browser:
                request = Page(f"{document['authorization_endpoint']}?{urlencode(parameters)}")
                answer = parse_qs(urlsplit(issuer.sign_in(browser, request, user).url).query)
            assert answer["state"] == [user]
            form = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": callback}
            form["code_verifier"] = verifier
            who = issuer.client_id, issuer.client_secret
            tokens = httpx2.post(document["token_endpoint"], data=form, auth=who, timeout=DEADLINE).json()
            assert tokens["refresh_token"]
            header = jwt.get_unverified_header(tokens["id_token"])
            (key,) = (key for key in keys if header.get("kid") in (None, key.get("kid")))
            public = jwt.PyJWK(key, header["alg"])
            claims = jwt.decode(tokens["id_token"], public, audience=issuer.client_id, issuer=issuer.url)
            assert claims["nonce"] == nonce
            assert claims["email"] == f"{user}@example.test"
            subjects.append(claims["sub"])
    assert subjects[0] != subjects[1]


@pytest.mark.parametrize(
    ("header", "is_kept"),
    [
        ("__Host-a=1; Secure; Path=/; HttpOnly; SameSite=Lax", True),
        ("__Host-a=1; Path=/", False),
        ("__Host-a=1; Secure", False),
        ("__Host-a=1; Secure; Path=/oauth", False),
        ("__Host-a=1; Secure; Path=/; Domain=localhost", False),
        ("__Secure-a=1", False),
        ("a=1", True),
    ],
)
def test_a_cookie_with_a_prefix_keeps_its_promise_or_is_refused(header: str, is_kept: bool) -> None:
    assert Cookie.parse(header, "localhost").is_acceptable == is_kept


@pytest.mark.parametrize(
    ("same_site", "method", "is_cross_site", "goes"),
    [
        ("Lax", "GET", True, True),
        ("Lax", "POST", True, False),
        ("Strict", "GET", True, False),
        ("Strict", "POST", False, True),
        ("None", "POST", True, True),
    ],
)
def test_a_cookie_crosses_sites_as_it_says(same_site: str, method: str, is_cross_site: bool, goes: bool) -> None:
    cookie = Cookie.parse(f"__Host-a=1; Secure; Path=/; SameSite={same_site}", "localhost")
    assert cookie.goes_to(f"{GATEWAY}/oauth/callback", method=method, is_cross_site=is_cross_site) == goes
    assert not cookie.goes_to(ISSUER, method=method, is_cross_site=False)


@pytest.mark.parametrize(
    ("sources", "url", "is_allowed"),
    [
        ("'self'", f"{GATEWAY}/consent", True),
        ("'self'", f"{ISSUER}/authorize", False),
        ("'self' http://127.0.0.1:9001", f"{ISSUER}/authorize", True),
        ("http://127.0.0.1:*", f"{ISSUER}/authorize", True),
        ("http://127.0.0.1", f"{ISSUER}/authorize", False),
        ("https:", f"{ISSUER}/authorize", False),
        ("https://*.example.test", "https://login.example.test/", True),
        ("https://*.example.test", "https://example.test.evil.example/", False),
        ("'none'", f"{GATEWAY}/consent", False),
    ],
)
def test_form_action_is_held_against_where_a_form_leads(sources: str, url: str, is_allowed: bool) -> None:
    headers = {"Content-Security-Policy": f"default-src 'none'; form-action {sources}"}
    directive = Directive.of(Page(GATEWAY, httpx2.Response(200, headers=headers)), "form-action")
    assert directive and directive.allows(url, GATEWAY) == is_allowed


@pytest.mark.parametrize(
    ("policy", "url", "origin"),
    [
        ("no-referrer", GATEWAY, "null"),
        ("same-origin", GATEWAY, GATEWAY),
        ("same-origin", ISSUER, "null"),
        ("strict-origin-when-cross-origin", ISSUER, GATEWAY),
        ("", GATEWAY, GATEWAY),
    ],
)
def test_a_form_says_where_it_is_from_as_the_referrer_policy_lets_it(policy: str, url: str, origin: str) -> None:
    page = Page(GATEWAY, httpx2.Response(200, headers={"Referrer-Policy": policy}))
    assert origin_of_post(page, url) == origin


def test_a_form_that_is_redirected_to_another_site_and_back_comes_from_another_site() -> None:
    page = Page(f"{GATEWAY}/consent")
    posted = Navigation("POST", page.url, [("a", "b")], GATEWAY, page, (page.url,))
    assert fetch_site(posted) == "same-origin"
    at_issuer = redirected(posted, 302, f"{ISSUER}/authorize")
    assert (at_issuer.method, at_issuer.fields, at_issuer.origin, fetch_site(at_issuer)) == ("GET", None, None, "cross-site")
    assert fetch_site(redirected(at_issuer, 302, f"{GATEWAY}/oauth/callback")) == "cross-site"
    assert fetch_site(redirected(Navigation("GET", page.url, None, None), 302, ISSUER)) == "none", "typed"
