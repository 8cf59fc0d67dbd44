"""People sign in: the SDK's own OAuth client, a browser, and issuers that others wrote."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from browser import Blocked, Browser, Page
from clients.current_client import CURRENT_CLIENTS, PATIENCE, ClientKind
from conftest import Behind
from gateway import Gateway
from issuers import ISSUERS, Issuer, free_port, log_in_to_canaille
from metadata_host import Document, MetadataHost
from oauth import (
    DEMO_ALIAS,
    DENY,
    Client as RawClient,
    answer_of,
    approve,
    callback_at,
    call,
    confidential_client,
    consent,
    serve_command,
    settings_behind,
    sign_in,
    whoami,
)
from upstreams import DEMO_TOOLS

pytestmark = pytest.mark.anyio

EVERY_ISSUER = ("entra", *ISSUERS)
every_issuer = pytest.mark.parametrize("name", EVERY_ISSUER)
both_eras = pytest.mark.parametrize("kind", CURRENT_CLIENTS[:2], ids=lambda client: client.name)
REDIRECT = "http://localhost:47321/callback"


@dataclass
class Storage:
    """Where the SDK keeps what it must not forget."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Person:
    """Signs in where the SDK asks for it, in a browser of their own."""

    issuer: Issuer
    user: str
    browser: Browser = field(default_factory=Browser)
    asked: list[str] = field(default_factory=list)
    came_back: Page | None = None

    async def follow(self, url: str) -> None:
        self.asked.append(url)
        self.came_back = await anyio.to_thread.run_sync(partial(sign_in, self.browser, url, self.issuer, self.user))

    async def answer(self) -> AuthorizationCodeResult:
        assert self.came_back is not None
        answer = dict(parse_qsl(urlsplit(self.came_back.url).query))
        assert "error" not in answer, answer
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    def provider(self, gateway: Gateway, storage: Storage, metadata_url: str | None = None) -> OAuthClientProvider:
        metadata = OAuthClientMetadata(client_name="Interop", redirect_uris=[AnyUrl(REDIRECT)])
        return OAuthClientProvider(
            gateway.endpoint, metadata, storage, self.follow, self.answer, client_metadata_url=metadata_url
        )


@asynccontextmanager
async def connected(gateway: Gateway, provider: OAuthClientProvider, kind: ClientKind) -> AsyncIterator[Client]:
    assert kind.mode is not None
    async with (
        httpx2.AsyncClient(auth=provider, timeout=PATIENCE) as http,
        Client(
            streamable_http_client(gateway.endpoint, http_client=http), mode=kind.mode, read_timeout_seconds=PATIENCE
        ) as client,
    ):
        yield client


async def lists_and_calls(client: Client, text: str) -> None:
    listed = {tool.name for tool in (await client.list_tools()).tools}
    assert {f"{DEMO_ALIAS}__{tool}" for tool in DEMO_TOOLS} <= listed
    answer = await client.call_tool(f"{DEMO_ALIAS}__echo", {"text": text})
    assert not answer.is_error, answer
    assert text in json.dumps(answer.model_dump(mode="json"), ensure_ascii=False)


# The whole way, with each issuer


@every_issuer
async def test_a_client_that_registers_itself_signs_in_lists_calls_refreshes_and_calls_again(
    name: str, behind: Behind
) -> None:
    gateway, issuer = behind(name)
    person, storage = Person(issuer, "alice"), Storage()
    provider = person.provider(gateway, storage)
    async with connected(gateway, provider, CURRENT_CLIENTS[0]) as client:
        await lists_and_calls(client, "grüße 🎉")
        first = storage.tokens
        assert first and first.refresh_token, first

        provider.context.token_expiry_time = 1  # long ago
        await lists_and_calls(client, "once more")
        second = storage.tokens
        assert second and second.refresh_token
        assert second.access_token != first.access_token
        assert second.refresh_token != first.refresh_token, "a public client's refresh token is used once"
        assert len(person.asked) == 1, "nobody was asked to sign in again"
    assert storage.client and storage.client.client_secret is None
    assert person.browser.refused_cookies == []


@every_issuer
async def test_tokens_of_the_issuer_never_reach_the_client_or_its_browser(name: str, behind: Behind) -> None:
    gateway, issuer = behind(name)
    with Browser() as browser:
        client = RawClient.register(gateway)
        tokens = client.tokens(browser, issuer, "bob")
        assert set(tokens.document) <= {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
        of_the_gateway = [r for r in browser.responses if str(r.url).startswith(gateway.url)]
    secrets = [issuer.client_secret] if issuer.client_secret else []
    for response in of_the_gateway:
        seen = f"{response.headers} {response.text}"
        assert "id_token" not in seen
        assert not any(secret in seen for secret in secrets)


@both_eras
async def test_both_eras_sign_in_and_a_restarted_client_need_not(kind: ClientKind, behind: Behind) -> None:
    gateway, issuer = behind("entra")
    person, storage = Person(issuer, "alice"), Storage()
    async with connected(gateway, person.provider(gateway, storage), kind) as client:
        await lists_and_calls(client, "first")
        assert client.protocol_version == kind.revision
    async with connected(gateway, person.provider(gateway, storage), kind) as client:
        await lists_and_calls(client, "after a restart")
    assert len(person.asked) == 1


@both_eras
async def test_a_client_known_by_its_metadata_document_signs_in_without_registering(
    kind: ClientKind, behind: Behind, documents: MetadataHost
) -> None:
    gateway, issuer = behind("entra")
    path = f"/{kind.name}/client.json"
    url = documents.url + path
    document = {
        "client_id": url,
        "client_name": "Interop by document",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    documents.documents[path] = Document(json.dumps(document).encode())
    person, storage = Person(issuer, "alice"), Storage()
    provider = person.provider(gateway, storage, url)
    async with connected(gateway, provider, kind) as client:
        await lists_and_calls(client, "by document")
        provider.context.token_expiry_time = 1
        await lists_and_calls(client, "refreshed")
    assert storage.client and storage.client.client_id == url
    assert len(person.asked) == 1
    assert documents.asked.count(path) >= 1
    page = next(r for r in person.browser.responses if "<form" in r.text and str(r.url).startswith(gateway.url))
    assert urlsplit(documents.url).hostname in page.text, "the consent page names the host that vouches for the client"


async def test_a_client_of_the_operators_acts_by_itself(behind: Behind) -> None:
    gateway, _ = behind("entra")
    client_id, secret = confidential_client(gateway, acts_as="user")
    for method in ("client_secret_basic", "client_secret_post"):
        storage = Storage()
        provider = ClientCredentialsOAuthProvider(
            gateway.endpoint, storage, client_id, secret, token_endpoint_auth_method=method, issuer=gateway.url
        )
        async with connected(gateway, provider, CURRENT_CLIENTS[0]) as client:
            await lists_and_calls(client, method)
        assert storage.tokens and storage.tokens.refresh_token is None, "it can ask again at any time"


# Who it was


@every_issuer
async def test_two_people_at_the_same_time_are_never_taken_for_one_another(name: str, behind: Behind) -> None:
    gateway, issuer = behind(name)
    client = RawClient.register(gateway)

    def subject_of(user: str) -> str:
        with Browser() as browser:
            tokens = client.tokens(browser, issuer, user)
            assert call(gateway, tokens.access).status_code == 200
            return str(whoami(gateway, tokens.access)["sub"])

    expected = {user: await anyio.to_thread.run_sync(subject_of, user) for user in ("alice", "bob")}
    assert expected["alice"] != expected["bob"]
    found: list[tuple[str, str]] = []

    at_once = anyio.CapacityLimiter(issuer.at_once)

    async def once_more(user: str) -> None:
        found.append((user, await anyio.to_thread.run_sync(subject_of, user, limiter=at_once)))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(once_more, ("alice", "bob")[number % 2])
    assert sorted(found) == sorted([*expected.items()] * 4)


# When it does not go well


async def test_a_denial_is_told_to_the_client_and_nobody_is_sent_to_the_issuer(behind: Behind) -> None:
    gateway, _ = behind("entra")
    client = RawClient.register(gateway)
    asked = client.ask()
    with Browser() as browser:
        page = browser.submit(consent(browser, asked), DENY, until=asked.redirect_uri)
    answer = answer_of(page)
    assert answer == {"error": "access_denied", "state": asked.state, "iss": gateway.url} | {
        name: value for name, value in answer.items() if name == "error_description"
    }


async def test_a_refusal_of_the_issuer_is_relayed_to_the_client_with_the_gateways_name(behind: Behind) -> None:
    gateway, _ = behind("canaille")
    client = RawClient.register(gateway)
    asked = client.ask()
    with Browser() as browser:
        door = approve(browser, consent(browser, asked))
        # Carol allows nobody anything: once allowed, the gateway would not be asked about again.
        page = browser.submit(log_in_to_canaille(browser, door, "carol"), "deny", until=asked.redirect_uri)
    answer = answer_of(page)
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", asked.state, gateway.url)
    assert "code" not in answer


async def test_whom_the_issuer_turned_away_without_a_word_to_whom_stays_here_and_may_try_again(behind: Behind) -> None:
    """This issuer leaves `state` out of its refusals: nobody knows which client to tell."""
    gateway, issuer = behind("mock")
    client = RawClient.register(gateway)
    with Browser() as browser:
        asked = client.ask()
        door = browser.go_on(approve(browser, consent(browser, asked)))
        page = browser.submit(door, "deny", until=asked.redirect_uri)
        if page.response is not None:
            assert 400 <= page.response.status_code < 500
        else:
            assert "code" not in answer_of(page)
        assert call(gateway, client.tokens(browser, issuer).access).status_code == 200


async def test_an_issuer_that_does_not_announce_pkce_is_used_only_where_the_operator_said_so(
    behind: Behind, tmp_path: Path
) -> None:
    _, issuer = behind("mock")
    port = free_port()
    settings = settings_behind(issuer, port)
    del settings["MREG_ISSUER_WITHOUT_PKCE_METADATA"]
    state = tmp_path / "state"
    with Gateway(state, serve_command(state), settings) as gateway, Browser() as browser:
        asked = RawClient.register(gateway).ask()
        page = browser.get(asked.url, until=asked.redirect_uri)
        if not page.is_ahead and page.status == 200:
            page = browser.submit(page, "approve", until=lambda url: url.startswith((issuer.url, asked.redirect_uri)))
        assert not page.url.startswith(issuer.url), "the user was sent to an issuer whose PKCE nobody vouched for"
        assert "code=" not in page.url


async def test_the_callback_of_the_gateway_is_what_the_issuer_was_told(behind: Behind) -> None:
    """Exactly, for issuers compare it byte by byte."""
    gateway, _ = behind("glewlwyd")
    with Browser() as browser:
        page = approve(browser, consent(browser, RawClient.register(gateway).ask()))
    parameters = dict(parse_qsl(urlsplit(page.url).query))
    assert parameters["redirect_uri"] == callback_at(urlsplit(gateway.url).port or 80)
    assert parameters["code_challenge_method"] == "S256"
    assert parameters["response_type"] == "code"
    assert "openid" in parameters["scope"].split()
    assert len(parameters["state"]) >= 32 and len(parameters["nonce"]) >= 32
    assert "resource" not in parameters, "its clients' resources are none of the issuer's"


async def test_a_browser_that_signs_in_again_goes_all_the_way_without_being_stopped(behind: Behind) -> None:
    """Known to its issuer, one press of a button leads through every redirect: `form-action` has to allow them all."""
    gateway, issuer = behind("glewlwyd")
    client = RawClient.register(gateway)
    with Browser() as browser:
        client.tokens(browser, issuer, "alice")
        asked = client.ask()
        page = browser.get(asked.url, until=asked.redirect_uri)
        try:
            while not page.is_ahead and any(form.button("approve") for form in page.forms):
                page = browser.submit(page, "approve", until=asked.redirect_uri)
        except Blocked as blocked:
            pytest.fail(f"Chromium would stop here: {blocked}")
    if page.is_ahead:
        assert "code" in answer_of(page)
    else:  # the issuer wants to be asked anew
        assert not page.url.startswith(gateway.url), f"{page.url} answered {page.status}"
