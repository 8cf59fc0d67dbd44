"""The authorization server and its tokens, attacked from outside over HTTP.

Behind the gateway is its built-in issuer: what is attacked here is all in front of it.
"""

import html
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import pytest

from browser import Browser, Directive, Page, origin_of
from conftest import Behind
from gateway import Gateway
from hostile_clients import DEFUSED, REFUSED, SCRIPT_NAME, TOO_LARGE
from hostile_redirects import OF_A_NATIVE_CLIENT, OF_A_WEB_CLIENT, WEB_REDIRECT
from hostile_tokens import TOKENS, WAYS, Forge
from issuers import Issuer
from metadata_host import Document, MetadataHost
from oauth import (
    APPROVE,
    LOOPBACK_REDIRECT,
    Asked,
    Client,
    Tokens,
    answer_of,
    approve,
    call,
    challenge_of,
    consent,
    is_issuers,
    leads_out,
    register,
    sign_in,
    signing_key,
    tokens_of,
    whoami,
)
from processes import DEADLINE
from recorder import recording

EVIL = "evil.example"


def named(cases: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", list(cases))


@pytest.fixture(scope="module")
def house(behind: Behind) -> tuple[Gateway, Issuer]:
    return behind("entra")


@pytest.fixture(scope="module")
def gateway(house: tuple[Gateway, Issuer]) -> Gateway:
    return house[0]


@pytest.fixture(scope="module")
def issuer(house: tuple[Gateway, Issuer]) -> Issuer:
    return house[1]


@pytest.fixture(scope="module")
def native(gateway: Gateway) -> Client:
    return Client.register(gateway)


@pytest.fixture(scope="module")
def other(gateway: Gateway) -> Client:
    return Client.register(gateway, client_name="Another")


@pytest.fixture(scope="module")
def web(gateway: Gateway) -> Client:
    return Client.register(gateway, redirect_uris=[WEB_REDIRECT], application_type="web")


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def get(url: str) -> httpx2.Response:
    return httpx2.get(url, timeout=DEADLINE, follow_redirects=False)


def assert_refused_here(response: httpx2.Response) -> None:
    """The user stays where they are: nothing leads on, not by itself and not by a click."""
    found = f"{response.status_code} {response.headers.get('Location')}\n{response.text[:2000]}"
    assert 400 <= response.status_code < 500, found
    assert "Location" not in response.headers
    assert "Refresh" not in response.headers
    assert "http-equiv" not in response.text.lower()
    for target in re.findall(r"""(?:href|action|src)\s*=\s*["']?([^"'\s>]*)""", response.text, re.IGNORECASE):
        where = urlsplit(html.unescape(target))
        assert where.scheme in ("", "data") or origin_of(where.geturl()) == origin_of(str(response.url)), target
    if is_html(response):
        assert_hardened(response)


def assert_oauth_error(response: httpx2.Response, *codes: str) -> None:
    assert response.status_code in (400, 401), f"{response.status_code} {response.text}"
    assert response.json()["error"] in codes, response.text
    assert response.headers["Cache-Control"] == "no-store"


def assert_no_code(page: Page, asked: Asked, *codes: str) -> None:
    """Refused on the spot, or with an error that the client is told in due form."""
    if not page.is_ahead:
        assert page.response is not None
        assert_refused_here(page.response)
        return
    answer = answer_of(page)
    assert "code" not in answer, answer
    assert answer["error"] in codes, answer
    assert answer["state"] == asked.state
    assert answer["iss"] == asked.url.split("/authorize")[0]


def is_html(response: httpx2.Response) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


def assert_hardened(response: httpx2.Response) -> None:
    page = Page(str(response.url), response)
    headers = response.headers
    ancestors, default, script = (Directive.of(page, name) for name in ("frame-ancestors", "default-src", "script-src"))
    policy = headers.get("Content-Security-Policy")
    assert ancestors and ancestors.sources == ("'none'",), policy
    assert default and default.sources == ("'none'",), policy
    for name in ("base-uri", "form-action"):
        assert Directive.of(page, name), f"default-src does not stand in for {name}: {policy}"
    lax = {"'unsafe-inline'", "'unsafe-eval'", "*", "data:", "https:", "http:"}
    assert script is None or not lax & set(script.sources), policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] in ("no-referrer", "same-origin"), headers["Referrer-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "charset=utf-8" in headers["Content-Type"].lower()
    assert not re.search(r"<script(?![^>]*\bsrc=)", response.text, re.IGNORECASE), "an inline script"
    assert not re.search(r"<[^>]+\son\w+\s*=", response.text, re.IGNORECASE), "an event handler in markup"


# Redirect URIs


@named(OF_A_WEB_CLIENT)
def test_a_redirect_uri_that_only_looks_like_the_web_clients_is_refused_here(case: str, web: Client) -> None:
    assert_refused_here(get(web.ask(redirect_uri=OF_A_WEB_CLIENT[case]).url))


@named(OF_A_NATIVE_CLIENT)
def test_a_redirect_uri_that_only_looks_like_the_native_clients_is_refused_here(case: str, native: Client) -> None:
    assert_refused_here(get(native.ask(redirect_uri=OF_A_NATIVE_CLIENT[case]).url))


def test_the_registered_redirect_uris_are_taken_and_a_native_client_may_have_another_port(
    web: Client, native: Client, browser: Browser
) -> None:
    for asked in (web.ask(), native.ask(), native.ask(redirect_uri=LOOPBACK_REDIRECT.replace("47123", "51877"))):
        consent(browser, asked)


@pytest.mark.parametrize(
    "extra", [f"redirect_uri=https://{EVIL}", f"client_id={EVIL}", "response_type=token", "code_challenge=x"]
)
@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_a_parameter_that_is_there_twice_is_not_chosen_from(extra: str, is_first: bool, native: Client) -> None:
    base, query = native.ask().url.split("?", 1)
    name = extra.split("=")[0]
    response = get(f"{base}?{extra}&{query}" if is_first else f"{base}?{query}&{extra}")
    if name in ("redirect_uri", "client_id"):
        assert_refused_here(response)
    else:
        assert response.status_code >= 300, "a consent page"
        assert "code=" not in response.headers.get("Location", "")


@pytest.mark.parametrize("client_id", ["", "unknown", "' OR 1=1 --", "../../etc/passwd", "a" * 5_000, "\0", "%00", "https://"])
def test_an_unknown_client_is_refused_here(client_id: str, native: Client) -> None:
    assert_refused_here(get(native.ask(client_id=client_id).url))


def test_only_the_response_type_code_is_known(native: Client, browser: Browser) -> None:
    for response_type in ("token", "id_token", "code token", "none", None):
        asked = native.ask(response_type=response_type)
        page = browser.get(asked.url, until=asked.redirect_uri)
        assert_no_code(page, asked, "unsupported_response_type", "invalid_request")


# PKCE


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "S512"},
        {"code_challenge": "short"},
        {"code_challenge": "a" * 42},
        {"code_challenge": "a" * 42 + "="},
        {"code_challenge": "a" * 129},
        {"code_challenge": "ä" * 43},
    ],
    ids=lambda changes: ", ".join(f"{name}={str(value)[:12]}" for name, value in changes.items()),
)
def test_no_code_without_a_challenge_of_s256(changes: dict[str, str | None], native: Client, browser: Browser) -> None:
    asked = native.ask(**changes)
    page = browser.get(asked.url, until=leads_out(Page(asked.url)))
    assert_no_code(page, asked, "invalid_request")


@pytest.mark.parametrize("verifier", [None, "", "a" * 43, "the challenge", "upper case", "one character less", "a" * 129])
def test_a_code_without_its_verifier_is_worth_nothing(
    verifier: str | None, native: Client, issuer: Issuer, browser: Browser
) -> None:
    code, asked = native.code(browser, issuer)
    known = {
        "the challenge": challenge_of(asked.verifier),
        "upper case": asked.verifier.swapcase(),
        "one character less": asked.verifier[:-1],
    }
    shown = None if verifier is None else known.get(verifier, verifier)
    assert_oauth_error(native.redeem(code, asked, code_verifier=shown), "invalid_grant", "invalid_request")


# Codes


def test_a_code_that_is_used_again_revokes_all_that_came_of_it(
    native: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    code, asked = native.code(browser, issuer)
    tokens = tokens_of(native.redeem(code, asked))
    assert call(gateway, tokens.access).status_code == 200
    assert_oauth_error(native.redeem(code, asked), "invalid_grant")
    assert_oauth_error(native.refresh(tokens.refresh), "invalid_grant")
    assert call(gateway, tokens.access).status_code == 401


def test_of_many_who_redeem_a_code_at_once_at_most_one_gets_tokens(
    native: Client, issuer: Issuer, browser: Browser
) -> None:
    code, asked = native.code(browser, issuer)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: native.redeem(code, asked), range(8)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert {answer.status_code for answer in answers} <= {200, 400}


def test_a_code_is_worth_nothing_to_another_client(
    native: Client, other: Client, issuer: Issuer, browser: Browser
) -> None:
    code, asked = native.code(browser, issuer)
    assert_oauth_error(other.redeem(code, asked), "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"redirect_uri": LOOPBACK_REDIRECT.replace("47123", "47124")}, ("invalid_grant",)),
        ({"redirect_uri": f"https://{EVIL}/callback"}, ("invalid_grant",)),
        ({"resource": "https://other.example/mcp"}, ("invalid_target",)),
        ({"client_id": "unknown"}, ("invalid_client", "invalid_grant")),
        ({"client_id": None}, ("invalid_client", "invalid_request", "invalid_grant")),
        ({"code": "made-up"}, ("invalid_grant",)),
        ({"code": None}, ("invalid_request",)),
        ({"code": "x" * 10_000}, ("invalid_grant", "invalid_request")),
        ({"grant_type": "password"}, ("unsupported_grant_type", "unauthorized_client")),
        ({"grant_type": None}, ("invalid_request", "unsupported_grant_type")),
        ({"client_secret": "guessed"}, ("invalid_client", "invalid_request")),
    ],
    ids=lambda value: ", ".join(f"{name}={str(text)[:40]}" for name, text in value.items()) if isinstance(value, dict) else "",
)
def test_a_code_is_redeemed_only_as_it_was_asked_for(
    changes: dict[str, str | None], codes: tuple[str, ...], native: Client, issuer: Issuer, browser: Browser
) -> None:
    code, asked = native.code(browser, issuer)
    assert_oauth_error(native.redeem(code, asked, **changes), *codes)


def test_the_token_endpoint_takes_forms_by_post_and_nothing_else(gateway: Gateway) -> None:
    form = {"grant_type": "authorization_code", "code": "x", "client_id": "x", "code_verifier": "x"}
    assert get(f"{gateway.url}/token?{urlencode(form)}").status_code in (400, 404, 405)
    in_query = httpx2.post(f"{gateway.url}/token?{urlencode(form)}", timeout=DEADLINE)
    assert_oauth_error(in_query, "invalid_request", "unsupported_grant_type")
    as_json = httpx2.post(f"{gateway.url}/token", json=form, timeout=DEADLINE)
    assert as_json.status_code in (400, 415)
    twice = httpx2.post(
        f"{gateway.url}/token",
        content=urlencode(form) + "&code=y",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        timeout=DEADLINE,
    )
    assert_oauth_error(twice, "invalid_request")


# Resources


@pytest.mark.parametrize(
    "resource",
    ["https://other.example/mcp", "{origin}.evil.example/mcp", "{origin}/mcp/../admin", "{origin}/mcp#x", "{origin}/mcpx", "mcp", "*"],
)
def test_a_resource_that_is_none_of_ours_is_an_invalid_target(
    resource: str, native: Client, gateway: Gateway, browser: Browser
) -> None:
    asked = native.ask(resource=resource.replace("{origin}", gateway.url))
    page = browser.get(asked.url, until=leads_out(Page(asked.url)))
    assert_no_code(page, asked, "invalid_target")


def test_a_refresh_widens_no_resource(native: Client, issuer: Issuer, gateway: Gateway, browser: Browser) -> None:
    tokens = native.tokens(browser, issuer)
    for resource in ("https://other.example/mcp", f"{gateway.url}/api"):
        assert_oauth_error(native.refresh(tokens.refresh, resource=resource), "invalid_target")
    assert call(gateway, tokens_of(native.refresh(tokens.refresh)).access).status_code == 200, "a mistake revokes nothing"


# Refresh tokens


def test_a_refresh_token_repeated_within_the_grace_brings_the_same_successor(
    native: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    """A client that lost the answer, or two processes of one: no theft."""
    first = native.tokens(browser, issuer)
    with ThreadPoolExecutor(6) as pool:
        answers = [tokens_of(answer) for answer in pool.map(lambda _: native.refresh(first.refresh), range(6))]
    assert len({answer.refresh for answer in answers}) == 1
    assert answers[0].refresh != first.refresh
    assert all(call(gateway, answer.access).status_code == 200 for answer in answers)


def test_a_refresh_token_older_than_the_previous_one_revokes_its_family(
    native: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    first = native.tokens(browser, issuer)
    second = tokens_of(native.refresh(first.refresh))
    third = tokens_of(native.refresh(second.refresh))
    assert_oauth_error(native.refresh(first.refresh), "invalid_grant")
    assert_oauth_error(native.refresh(third.refresh), "invalid_grant")
    for tokens in (first, second, third):
        assert call(gateway, tokens.access).status_code == 401


def test_one_family_revoked_is_no_other_familys_concern(
    native: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    (code, asked), kept = native.code(browser, issuer), native.tokens(browser, issuer)
    tokens_of(native.redeem(code, asked))
    native.redeem(code, asked)
    assert call(gateway, kept.access).status_code == 200
    assert call(gateway, tokens_of(native.refresh(kept.refresh)).access).status_code == 200


@pytest.mark.parametrize("kind", ["of another client", "an access token", "made up", "cut", "one character else", "empty"])
def test_a_refresh_token_is_taken_only_as_it_was_given(
    kind: str, native: Client, other: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    tokens = native.tokens(browser, issuer)
    middle = len(tokens.refresh) // 2
    flipped = "A" if tokens.refresh[middle] != "A" else "B"
    shown = {
        "of another client": tokens.refresh,
        "an access token": tokens.access,
        "made up": "made-up",
        "cut": tokens.refresh[:-1],
        "one character else": tokens.refresh[:middle] + flipped + tokens.refresh[middle + 1 :],
        "empty": "",
    }[kind]
    who = other if kind == "of another client" else native
    assert_oauth_error(who.refresh(shown), "invalid_grant", "invalid_request")
    assert call(gateway, tokens.access).status_code == 200, "nobody can end a session with a token that is none"


def test_a_refresh_token_opens_no_door(native: Client, issuer: Issuer, gateway: Gateway, browser: Browser) -> None:
    tokens = native.tokens(browser, issuer)
    for shown in (tokens.refresh, native.code(browser, issuer)[0]):
        response = call(gateway, shown)
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_what_is_revoked_is_over_at_once(
    kind: str, native: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    tokens = native.tokens(browser, issuer)
    assert call(gateway, tokens.access).status_code == 200
    form = {"token": getattr(tokens, kind), "token_type_hint": f"{kind}_token", "client_id": native.id}
    revoked = httpx2.post(f"{gateway.url}/revoke", data=form, timeout=DEADLINE)
    if kind == "access" and revoked.status_code == 400:
        assert_oauth_error(revoked, "unsupported_token_type")  # RFC 7009, section 2.2.1
        return
    assert revoked.status_code == 200, revoked.text
    assert call(gateway, tokens.access).status_code == 401
    if kind == "refresh":
        assert_oauth_error(native.refresh(tokens.refresh), "invalid_grant")


def test_nobody_revokes_what_is_anothers_and_unknown_tokens_are_no_error(
    native: Client, other: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    tokens = native.tokens(browser, issuer)
    for shown in (tokens.refresh, tokens.access, "made-up"):
        form = {"token": shown, "client_id": other.id}
        response = httpx2.post(f"{gateway.url}/revoke", data=form, timeout=DEADLINE)
        assert response.status_code in (200, 400), "RFC 7009, section 2.2: an unknown token is no error"
    assert call(gateway, tokens.access).status_code == 200
    assert call(gateway, tokens_of(native.refresh(tokens.refresh)).access).status_code == 200


# State, callback, consent


def test_a_callback_is_good_once(native: Client, issuer: Issuer, browser: Browser) -> None:
    asked = native.ask()
    callback = issuer.sign_in(browser, approve(browser, consent(browser, asked)), "alice")
    assert "code" in answer_of(browser.go_on(callback, until=asked.redirect_uri))
    again = browser.get(callback.url, until=asked.redirect_uri)
    assert again.response is not None, f"a second answer: {again.url}"
    assert_refused_here(again.response)


def test_a_callback_in_another_browser_is_refused(native: Client, issuer: Issuer, browser: Browser) -> None:
    """The victim is given the attacker's callback, or the attacker the victim's."""
    asked = native.ask()
    callback = issuer.sign_in(browser, approve(browser, consent(browser, asked)), "alice")
    with Browser() as victim:
        consent(victim, native.ask())
        page = victim.get(callback.url, until=asked.redirect_uri)
    assert page.response is not None, f"signed in from another browser: {page.url}"
    assert_refused_here(page.response)


def test_a_sign_in_that_the_attacker_consented_to_is_not_finished_by_the_victim(
    native: Client, issuer: Issuer, browser: Browser
) -> None:
    """The attacker stops at the issuer's door and sends the victim there, who has a consent page open of their own."""
    asked = native.ask()
    door = approve(browser, consent(browser, asked))
    with Browser() as victim:
        consent(victim, native.ask())
        callback = issuer.sign_in(victim, Page(door.url), "bob")
        page = victim.go_on(callback, until=asked.redirect_uri)
    assert page.response is not None, f"the victim's identity went to the attacker's client: {page.url}"
    assert_refused_here(page.response)


@pytest.mark.parametrize("state", ["made-up", "", None, "' OR 1=1 --", "x" * 5_000])
def test_a_callback_with_no_state_of_ours_is_refused(
    state: str | None, native: Client, issuer: Issuer, gateway: Gateway, browser: Browser
) -> None:
    asked = native.ask()
    issuer.sign_in(browser, approve(browser, consent(browser, asked)), "alice")
    query = {"code": "x"} if state is None else {"code": "x", "state": state}
    page = browser.get(f"{gateway.url}/oauth/callback?{urlencode(query)}", until=asked.redirect_uri)
    assert page.response is not None
    assert_refused_here(page.response)


def test_consent_given_to_one_client_is_none_to_another(
    native: Client, other: Client, issuer: Issuer, browser: Browser
) -> None:
    """All cookies of a whole sign-in are in the browser; the other client still has to be allowed."""
    native.tokens(browser, issuer)
    page = consent(browser, other.ask())
    assert "Another" in page.text


def test_the_page_of_an_earlier_tab_still_counts(native: Client, issuer: Issuer, browser: Browser) -> None:
    asked = native.ask()
    earlier = consent(browser, asked)
    consent(browser, native.ask())
    callback = issuer.sign_in(browser, approve(browser, earlier), "alice")
    assert "code" in answer_of(browser.go_on(callback, until=asked.redirect_uri))


def test_a_consent_page_is_answered_once(native: Client, browser: Browser) -> None:
    page = consent(browser, native.ask())
    approve(browser, page)
    again = browser.submit(page, APPROVE, until=is_issuers)
    assert again.response is not None, "the same page led to the issuer twice"
    assert_refused_here(again.response)


def hostile_consents(gateway: Gateway, native: Client, browser: Browser) -> dict[str, Page]:
    """Answers to a consent page that its user never gave."""
    mine = consent(browser, native.ask())
    form = mine.form_with(APPROVE)
    button = form.button(APPROVE)
    assert button
    fields = [*form.fields, (button.name, button.value)]
    hidden = [name for name, _ in form.fields]
    assert hidden, "nothing in the form says whose page it is"
    with Browser() as attacker:
        theirs = dict(consent(attacker, native.ask()).form_with(APPROVE).fields)
    evil = Page(f"https://{EVIL}/")
    answers = {
        "from another site": browser.send("POST", form.action, fields, page=evil, until=is_issuers),
        "from another port": browser.send("POST", form.action, fields, page=Page("http://localhost:1/"), until=is_issuers),
        "by GET": browser.get(f"{form.action.split('?')[0]}?{urlencode(fields)}", until=is_issuers),
        "with nothing": browser.send("POST", form.action, [(button.name, button.value)], page=mine, until=is_issuers),
        "with all that is the attacker's": browser.send(
            "POST", form.action, [*theirs.items(), (button.name, button.value)], page=mine, until=is_issuers
        ),
    }
    for name in hidden:
        without = [field for field in fields if field[0] != name]
        answers[f"without {name}"] = browser.send("POST", form.action, without, page=mine, until=is_issuers)
        if theirs.get(name, "") != dict(fields)[name]:
            swapped = [*without, (name, theirs[name])]
            answers[f"with {name} of another browser"] = browser.send("POST", form.action, swapped, page=mine, until=is_issuers)
        made_up = [*without, (name, "0" * len(dict(fields)[name]))]
        answers[f"with {name} made up"] = browser.send("POST", form.action, made_up, page=mine, until=is_issuers)
    # As a browser that knows no SameSite would, cookies and all; and from nowhere, without any cookie.
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies_of("localhost"))
    for name, headers in {
        "from another site with cookies": {"Origin": f"https://{EVIL}", "Sec-Fetch-Site": "cross-site", "Cookie": cookies},
        "without cookies": {"Origin": gateway.url},
    }.items():
        response = httpx2.post(form.action, data=dict(fields), headers=headers, timeout=DEADLINE)
        answers[name] = Page(form.action, response)
    return answers


def test_nobody_but_the_user_answers_a_consent_page(gateway: Gateway, native: Client, browser: Browser) -> None:
    for case, page in hostile_consents(gateway, native, browser).items():
        assert page.response is not None, f"{case}: led to {page.url}"
        assert page.response.status_code < 500, f"{case}: {page.status}"
        is_again_asked = page.status == 200 and is_html(page.response)
        assert is_again_asked or 400 <= page.response.status_code, f"{case}: {page.status} {page.headers.get('Location')}"
        assert "Location" not in page.headers, f"{case}: {page.headers['Location']}"


# What a browser is told


@pytest.mark.parametrize("redirect_uri", ["http://[::1]:8765/callback", "http://localhost:8765/callback", "app.example:/callback"])
def test_the_page_lets_the_browser_go_back_to_where_the_client_is(gateway: Gateway, browser: Browser, redirect_uri: str) -> None:
    """`form-action` holds for the redirect behind the form, and has no way to name an IPv6 address."""
    client = Client.register(gateway, redirect_uris=[redirect_uri])
    page = browser.submit(consent(browser, client.ask(redirect_uri=redirect_uri)), "deny", until=redirect_uri)
    assert answer_of(page)["error"] == "access_denied"


def test_every_page_is_hardened_and_every_cookie_is_the_hosts_alone(
    gateway: Gateway, native: Client, web: Client, issuer: Issuer, browser: Browser
) -> None:
    native.tokens(browser, issuer)
    browser.get(native.ask(redirect_uri=f"https://{EVIL}").url)
    browser.get(native.ask(client_id="unknown").url)
    browser.get(f"{gateway.url}/oauth/callback?state=made-up&code=x")
    browser.get(f"{gateway.url}/consent")
    browser.submit(consent(browser, native.ask()), "deny", until=native.redirect_uri)
    ours = [response for response in browser.responses if origin_of(str(response.url)) == gateway.url]
    pages = [response for response in ours if is_html(response)]
    assert pages
    for page in pages:
        assert_hardened(page)
    cookies = [header for response in ours for header in response.headers.get_list("Set-Cookie")]
    assert cookies, "nothing binds a sign-in to its browser"
    assert browser.refused_cookies == []
    for header in cookies:
        pair, *attributes = (part.strip() for part in header.split(";"))
        assert pair.startswith("__Host-"), header
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes), header
        assert not any(attribute.lower().startswith("domain") for attribute in attributes), header


def test_no_cookie_is_given_to_those_that_are_no_browsers(
    gateway: Gateway, native: Client, issuer: Issuer, browser: Browser
) -> None:
    code, asked = native.code(browser, issuer)
    redeemed = native.redeem(code, asked)
    tokens = tokens_of(redeemed)
    bearer = {"Authorization": f"Bearer {tokens.access}"}
    answers = [
        redeemed,
        call(gateway, tokens.access),
        call(gateway, "nonsense"),
        httpx2.get(f"{gateway.url}/oauth/userinfo", headers=bearer, timeout=DEADLINE),
        *(get(gateway.url + path) for path in METADATA),
    ]
    assert not [str(answer.url) for answer in answers if "Set-Cookie" in answer.headers]
    assert redeemed.headers["Cache-Control"] == "no-store"


def test_a_browsers_cookies_open_no_endpoint_of_the_api(
    gateway: Gateway, native: Client, issuer: Issuer, browser: Browser
) -> None:
    native.tokens(browser, issuer)
    for method, path in (("GET", "/api/v1/servers"), ("POST", "/mcp"), ("GET", "/oauth/userinfo"), ("GET", "/api/v1/admin/audit")):
        assert browser.fetch(method, gateway.url + path, json={} if method == "POST" else None).status_code == 401


WANDERING = "next return_to returnTo redirect redirect_uri redirect_url url target continue dest r".split()
TARGETS = (
    f"https://{EVIL}/",
    f"//{EVIL}",
    f"/\\{EVIL}",
    f"https:{EVIL}",
    f"/%2f%2f{EVIL}",
    f"http://localhost@{EVIL}/",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("path", ["/authorize", "/consent", "/oauth/callback", "/", "/token", "/oauth/login", "/console/"])
def test_no_address_sends_a_browser_wherever_a_stranger_says(path: str, gateway: Gateway) -> None:
    with httpx2.Client(timeout=DEADLINE, follow_redirects=False) as http:
        for target in TARGETS:
            response = http.get(f"{gateway.url}{path}?{urlencode({name: target for name in WANDERING})}")
            location = response.headers.get("Location", "")
            assert EVIL not in location and "javascript" not in location, f"{target}: {location}"


@pytest.mark.parametrize(
    "path",
    [f"//{EVIL}", f"//{EVIL}/..", f"/\\{EVIL}", f"/%5c{EVIL}", f"/.//{EVIL}", f"/consent//{EVIL}", "/%0d%0aLocation:%20x"],
)
def test_no_path_is_taken_for_a_host(path: str, gateway: Gateway) -> None:
    port = urlsplit(gateway.url).port
    with socket.create_connection(("127.0.0.1", port or 80), DEADLINE) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    head = answer.decode(errors="replace").split("\r\n\r\n")[0].lower()
    assert "location:" not in head, head


# Clients that register themselves


@pytest.fixture(scope="module")
def registrar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of its own: what is spent here of the allowance for registrations is nobody else's."""
    with Gateway(tmp_path_factory.mktemp("registrar") / "state") as running:
        yield running


@named(REFUSED)
def test_a_client_that_nobody_should_be_able_to_register_is_refused(case: str, registrar: Gateway) -> None:
    response = register(registrar, REFUSED[case])
    assert response.status_code == 400, f"{response.status_code} {response.text[:500]}"
    assert response.json()["error"] in ("invalid_redirect_uri", "invalid_client_metadata"), response.text


@named(DEFUSED)
def test_a_client_that_asks_for_too_much_gets_something_harmless_or_nothing(case: str, registrar: Gateway) -> None:
    response = register(registrar, DEFUSED[case])
    if response.status_code == 400:
        assert response.json()["error"] == "invalid_client_metadata", response.text
        return
    assert response.status_code == 201, response.text
    client = response.json()
    assert "client_secret" not in client
    assert client["client_id"] != DEFUSED[case].get("client_id")
    assert client["token_endpoint_auth_method"] == "none"
    assert set(client.get("grant_types", [])) <= {"authorization_code", "refresh_token"}
    assert set(client.get("response_types", [])) <= {"code"}
    assert not {"*", "superuser"} & set(client.get("scope", "").split())
    assert len(client.get("client_name", "")) <= 1_000
    assert "javascript:" not in response.text


def test_a_registration_that_is_too_large_or_no_json_is_refused(registrar: Gateway) -> None:
    assert register(registrar, TOO_LARGE).status_code in (400, 413)
    for body in (b"", b"{", b"\xff\xfe", b"[" * 50_000, b'{"redirect_uris": ["https://a.example/cb"]} x'):
        headers = {"Content-Type": "application/json"}
        response = httpx2.post(f"{registrar.url}/register", content=body, headers=headers, timeout=DEADLINE)
        assert response.status_code == 400, f"{body[:20]!r}: {response.status_code} {response.text}"


def test_a_name_in_markup_is_shown_and_not_run(gateway: Gateway, browser: Browser) -> None:
    page = consent(browser, Client.register(gateway, client_name=SCRIPT_NAME).ask())
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert page.response is not None
    assert_hardened(page.response)


def test_a_consent_page_says_who_wants_what_and_where_it_leads(native: Client, web: Client, browser: Browser) -> None:
    of_native, of_web = consent(browser, native.ask()), consent(browser, web.ask())
    assert "Hand-made" in of_native.text and "127.0.0.1" in of_native.text
    assert "client.example.test" in of_web.text


def test_a_flood_of_registrations_is_answered_429_and_hurts_nobody_who_is_known(tmp_path: Path) -> None:
    with Gateway(tmp_path / "state") as gateway, httpx2.Client(timeout=DEADLINE) as http:
        answer = httpx2.Response(0)
        for number in range(3_000):
            metadata = {"client_name": f"Flood {number}", "redirect_uris": [LOOPBACK_REDIRECT]}
            answer = http.post(f"{gateway.url}/register", json=metadata)
            if answer.status_code != 201:
                break
        assert answer.status_code == 429, f"after {number + 1}: {answer.status_code} {answer.text[:500]}"
        assert int(answer.headers["Retry-After"]) > 0
        assert call(gateway, gateway.token("user")).status_code == 200


# Clients by document


def document(url: str, **changes: Any) -> dict[str, Any]:
    good = {
        "client_id": url,
        "client_name": "By document",
        "redirect_uris": [LOOPBACK_REDIRECT],
        "token_endpoint_auth_method": "none",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


HOSTILE_DOCUMENTS: dict[str, Any] = {
    "of another client": lambda url: Document(json.dumps(document(url + "x")).encode()),
    "of another spelling": lambda url: Document(json.dumps(document(url.replace("https", "HTTPS"))).encode()),
    "without an id": lambda url: Document(json.dumps(document(url, client_id=None)).encode()),
    "without redirect URIs": lambda url: Document(json.dumps(document(url, redirect_uris=None)).encode()),
    "with another redirect URI": lambda url: Document(json.dumps(document(url, redirect_uris=["https://a.example/"])).encode()),
    "with a script": lambda url: Document(json.dumps(document(url, redirect_uris=["javascript:alert(1)"])).encode()),
    "with a secret": lambda url: Document(json.dumps(document(url, client_secret="hunter2")).encode()),
    "with a shared secret's method": lambda url: Document(
        json.dumps(document(url, token_endpoint_auth_method="client_secret_basic")).encode()
    ),
    "of 1 MB": lambda url: Document(json.dumps(document(url, client_name="x" * (1 << 20))).encode()),
    "no JSON": lambda _: Document(b"<html>"),
    "a list": lambda url: Document(json.dumps([document(url)]).encode()),
    "as HTML": lambda url: Document(json.dumps(document(url)).encode(), headers={"Content-Type": "text/html"}),
    "missing": lambda _: Document(b"{}", 404),
    "in error": lambda url: Document(json.dumps(document(url)).encode(), 500),
    "elsewhere": lambda url: Document(b"", 302, {"Location": url.rsplit("/", 1)[0] + "/good.json"}),
    "on this machine": lambda _: Document(b"", 307, {"Location": "http://127.0.0.1:1/"}),
}


@named(HOSTILE_DOCUMENTS)
def test_a_client_whose_document_does_not_speak_for_it_is_refused_here(
    case: str, gateway: Gateway, documents: MetadataHost
) -> None:
    path = f"/{quote(case)}/client.json"
    url = documents.url + path
    documents.documents[path] = HOSTILE_DOCUMENTS[case](url)
    good = f"/{quote(case)}/good.json"
    documents.documents[good] = Document(json.dumps(document(url)).encode())
    assert_refused_here(get(Client(gateway, url).ask().url))
    assert good not in documents.asked, "a redirect was followed"


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:{port}/plain.json",
        "https://localhost:{port}",
        "https://localhost:{port}/",
        "https://localhost:{port}/a.json#x",
        "https://user@localhost:{port}/a.json",
        "https://localhost:{port}/x/../a.json",
        "https://localhost:{port}/./a.json",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/client.json",
        "https://[fd00::1]/client.json",
        "https://[::ffff:169.254.169.254]/client.json",
        "https://0x7f.1/client.json",
        "file:///etc/passwd",
        "https://localhost:1/client.json",
    ],
)
def test_a_client_id_that_is_no_address_for_a_document_is_refused_here_and_asked_of_nobody(
    address: str, gateway: Gateway, documents: MetadataHost
) -> None:
    url = address.replace("{port}", str(urlsplit(documents.url).port))
    documents.documents[urlsplit(url).path] = Document(json.dumps(document(url)).encode())
    asked = len(documents.asked)
    assert_refused_here(get(Client(gateway, url).ask().url))
    assert documents.asked[asked:] == []


# Bearer tokens


class Canary:
    """Counts who connects."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/keys.json"
        self.visits = 0
        self.thread = threading.Thread(target=self._count, daemon=True)
        self.thread.start()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture(scope="module")
def forge(gateway: Gateway, canary: Canary) -> Forge:
    (key,) = get(f"{gateway.url}/oauth/jwks.json").json()["keys"]
    return Forge(gateway.token("user"), signing_key(gateway), key, canary.url)


def send_tools_list(gateway: Gateway, headers: list[tuple[str, str]], query: str = "") -> httpx2.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    return httpx2.post(gateway.endpoint + query, json=body, headers=headers, timeout=DEADLINE)


def assert_challenged(response: httpx2.Response, gateway: Gateway, *, is_shown: bool) -> None:
    assert response.status_code == 401, f"{response.status_code} {response.text[:500]}"
    (challenge,) = response.headers.get_list("WWW-Authenticate")
    assert challenge.startswith("Bearer "), challenge
    parameters = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    assert parameters["resource_metadata"] == f"{gateway.url}/.well-known/oauth-protected-resource/mcp", challenge
    assert parameters.get("error") == ("invalid_token" if is_shown else None), challenge


def test_the_genuine_token_and_a_copy_of_it_are_taken(gateway: Gateway, forge: Forge) -> None:
    """Else the refusals below would say nothing."""
    for token in (forge.genuine, forge.signed()):
        assert send_tools_list(gateway, [("Authorization", f"Bearer {token}")]).status_code == 200


@named(TOKENS)
def test_a_token_that_is_wrong_in_one_way_is_refused(case: str, gateway: Gateway, forge: Forge, canary: Canary) -> None:
    response = send_tools_list(gateway, [("Authorization", f"Bearer {TOKENS[case](forge)}")])
    assert_challenged(response, gateway, is_shown=True)
    assert canary.visits == 0, "somebody went where a token said that its key is"


@named(WAYS)
def test_a_token_is_taken_from_one_authorization_header_and_from_nowhere_else(
    case: str, gateway: Gateway, forge: Forge
) -> None:
    attempt = WAYS[case](forge.genuine)
    response = send_tools_list(gateway, attempt.headers, attempt.query)
    assert_challenged(response, gateway, is_shown=attempt.is_shown)


def test_the_tokens_of_a_sign_in_are_for_what_was_asked_and_say_so(
    gateway: Gateway, native: Client, issuer: Issuer, browser: Browser, forge: Forge
) -> None:
    tokens = native.tokens(browser, issuer)
    of_sign_in = Forge(tokens.access, signing_key(gateway), forge.public_jwk, "")
    assert of_sign_in.header["typ"].lower() == "at+jwt"
    assert of_sign_in.header["alg"] == "ES256"
    assert of_sign_in.claims["iss"] == gateway.url
    audience = of_sign_in.claims["aud"]
    assert audience in (gateway.endpoint, [gateway.endpoint])
    assert 0 < of_sign_in.claims["exp"] - of_sign_in.claims["iat"] <= 3600
    assert tokens.document["token_type"].lower() == "bearer"
    assert 0 < tokens.document["expires_in"] <= 3600
    headers = {"Authorization": f"Bearer {tokens.access}"}
    assert httpx2.get(gateway.registry, headers=headers, timeout=DEADLINE).status_code == 401, "it is for /mcp"


# Documents

METADATA = (
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/oauth/jwks.json",
)


def test_the_documents_agree_with_one_another_and_with_what_there_is(gateway: Gateway) -> None:
    answers = {path: get(gateway.url + path) for path in METADATA}
    for path, answer in answers.items():
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        assert answer.headers["Content-Type"].split(";")[0] == "application/json", path
        assert answer.headers["Access-Control-Allow-Origin"] == "*", path
    root, resource, server, openid, keys = (answer.json() for answer in answers.values())
    assert root == resource
    assert resource["resource"] == gateway.endpoint
    assert resource["authorization_servers"] == [gateway.url]
    assert resource["bearer_methods_supported"] == ["header"]
    assert "offline_access" not in resource.get("scopes_supported", [])

    assert server["issuer"] == gateway.url, "byte by byte what the resource lists"
    shared = set(server) & set(openid)
    assert {name: server[name] for name in shared} == {name: openid[name] for name in shared}
    assert openid["issuer"] == gateway.url
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert server["authorization_response_iss_parameter_supported"] is True
    assert server["client_id_metadata_document_supported"] is True
    assert server["response_types_supported"] == ["code"]
    assert {"authorization_code", "refresh_token"} <= set(server["grant_types_supported"])
    assert not {"implicit", "password"} & set(server["grant_types_supported"])
    assert "none" in server["token_endpoint_auth_methods_supported"]
    endpoints = {
        "authorization_endpoint": "/authorize",
        "token_endpoint": "/token",
        "registration_endpoint": "/register",
        "revocation_endpoint": "/revoke",
        "jwks_uri": "/oauth/jwks.json",
    }
    assert {name: server.get(name) for name in endpoints} == {name: gateway.url + path for name, path in endpoints.items()}

    for key in keys["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key), "half a key is enough"
        assert key["kid"] and key["use"] == "sig"


def test_a_strangers_host_name_gets_into_no_document(gateway: Gateway) -> None:
    for path in METADATA:
        for headers in ({"Host": EVIL}, {"X-Forwarded-Host": EVIL}, {"Forwarded": f"host={EVIL}"}):
            response = httpx2.get(gateway.url + path, headers=headers, timeout=DEADLINE)
            assert EVIL not in response.text or response.status_code >= 400, f"{path} {headers}"


# Identities


def test_people_who_sign_in_at_once_in_many_browsers_are_never_mixed_up(
    gateway: Gateway, native: Client, issuer: Issuer
) -> None:
    """Every step of every sign-in is taken for all of them before the next: nothing belongs to whoever came last."""
    users = ["user", "server_owner", "auditor", "admin"] * 3
    browsers = [Browser() for _ in users]
    asked = [native.ask() for _ in users]
    with ThreadPoolExecutor(len(users)) as pool:

        def all_of(step: Any, *arguments: Any) -> list[Any]:
            return list(pool.map(step, browsers, *arguments))

        pages = all_of(consent, asked)
        doors = all_of(approve, pages)
        callbacks = all_of(lambda browser, door, user: issuer.sign_in(browser, door, user), doors, users)
        backs = all_of(lambda browser, page, a: browser.go_on(page, until=a.redirect_uri), callbacks, asked)
        answers = [answer_of(page) for page in backs]
        assert [answer["state"] for answer in answers] == [a.state for a in asked]
        tokens: list[Tokens] = [
            tokens_of(response) for response in pool.map(lambda answer, a: native.redeem(answer["code"], a), answers, asked)
        ]
        subjects = list(pool.map(lambda t: whoami(gateway, t.access)["sub"], tokens))
    for browser in browsers:
        browser.__exit__()
    by_user: dict[str, set[str]] = {}
    for user, subject in zip(users, subjects, strict=True):
        by_user.setdefault(user, set()).add(str(subject))
    assert all(len(found) == 1 for found in by_user.values()), by_user
    assert len(set.union(*by_user.values())) == len(by_user), by_user


def test_nothing_of_a_caller_reaches_a_server(
    gateway: Gateway, native: Client, issuer: Issuer, browser: Browser, endpoints: dict[str, str]
) -> None:
    upstream = urlsplit(endpoints["current"])
    tokens = native.tokens(browser, issuer)
    with recording(upstream.port or 80) as recorder:
        gateway.register("recorder", f"http://127.0.0.1:{recorder.port}{upstream.path}")
        cookies = browser.cookies_of("localhost")
        secrets = [tokens.access, tokens.refresh, "canary-of-a-header", *(cookie.value for cookie in cookies)]
        headers = {
            "Authorization": f"Bearer {tokens.access}",
            "Cookie": "; ".join(["own=canary-of-a-header", *(f"{cookie.name}={cookie.value}" for cookie in cookies)]),
            "X-Forwarded-Authorization": f"Bearer {tokens.access}",
            "Proxy-Authorization": "Basic canary-of-a-header",
            "X-Api-Key": "canary-of-a-header",
            "Referer": f"https://client.example.test/?token={tokens.access}",
        }
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "recorder__greet", "arguments": {"name": "the-recorder"}},
        }
        response = httpx2.post(gateway.endpoint, json=body, headers=headers, timeout=DEADLINE)
        assert response.status_code == 200, response.text
        seen = bytes(recorder.sent)
        served = {record["alias"]: record for record in gateway.servers().values()}["recorder"]
        httpx2.delete(f"{gateway.registry}/{served['id']}", headers=gateway.bearer("admin"), timeout=DEADLINE)
    assert b"the-recorder" in seen, "the recorder saw the call"
    for secret in filter(None, secrets):
        assert secret.encode() not in seen
        assert quote(secret).encode() not in seen
    head = seen.lower()
    for header in (b"\r\nauthorization:", b"\r\ncookie:", b"\r\nproxy-authorization:", b"\r\nx-forwarded-", b"\r\nreferer:"):
        assert header not in head, header
