"""What the operator does about people and clients, on the command line, while they are signed in."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from browser import Browser
from gateway import MREG, Gateway
from oauth import ALLOWED_NETWORKS, Client, Tokens, answer_of, call, fake_entra, sign_in, whoami
from processes import DEADLINE

ISSUER = fake_entra()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "state", environment=ALLOWED_NETWORKS) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def mreg(gateway: Gateway, *arguments: str) -> str:
    command = [MREG, *arguments, "--state-dir", str(gateway.state_directory)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, f"{' '.join(command)}:\n{run.stdout}{run.stderr}"
    return run.stdout


def mreg_json(gateway: Gateway, *arguments: str) -> Any:
    return json.loads(mreg(gateway, *arguments, "--json"))


def is_refused(response: httpx2.Response, status: int, error: str) -> bool:
    return response.status_code == status and response.json()["error"] == error


def test_a_person_is_shown_with_where_they_come_from_and_what_they_allowed(gateway: Gateway, browser: Browser) -> None:
    client = Client.register(gateway)
    client.code(browser, ISSUER)  # nobody redeems it
    tokens = client.tokens(browser, ISSUER)
    client.tokens(browser, ISSUER)
    name = whoami(gateway, tokens.access)["preferred_username"]
    shown = mreg_json(gateway, "user", "show", name)
    assert (shown["role"], shown["role_from"], shown["disabled_at"]) == ("user", "issuer", None)
    assert shown["identity"]["issuer"].startswith("http") and shown["identity"]["subject"]
    assert shown["signed_in_at"] >= shown["created_at"]
    assert [(c["name"], c["client_id"], c["sign_ins"]) for c in shown["clients"]] == [("Hand-made", client.id, 2)]
    text = mreg(gateway, "user", "show", name)
    assert "as the issuer says" in text and "Hand-made" in text
    assert name in mreg(gateway, "user", "list")


def test_a_role_that_the_operator_gave_outlives_the_next_sign_in(gateway: Gateway, browser: Browser) -> None:
    client = Client.register(gateway)
    tokens = client.tokens(browser, ISSUER)
    name = whoami(gateway, tokens.access)["preferred_username"]
    mreg(gateway, "user", "role", name, "server_owner")
    assert whoami(gateway, tokens.access)["role"] == "server_owner"
    assert whoami(gateway, client.tokens(browser, ISSUER).access)["role"] == "server_owner"
    assert "given by the operator" in mreg(gateway, "user", "show", name)


def test_whoever_is_disabled_is_turned_away_at_every_door_until_enabled(gateway: Gateway, browser: Browser) -> None:
    client = Client.register(gateway)
    tokens = client.tokens(browser, ISSUER)
    code, asked = client.code(browser, ISSUER)
    name = whoami(gateway, tokens.access)["preferred_username"]
    mreg(gateway, "user", "disable", name)
    assert call(gateway, tokens.access).status_code == 401
    assert is_refused(client.refresh(tokens.refresh), 400, "invalid_grant")
    assert is_refused(client.redeem(code, asked), 400, "invalid_grant")
    assert answer_of(sign_in(browser, client.ask(), ISSUER, "alice"))["error"] == "access_denied"
    mreg(gateway, "user", "enable", name)
    assert is_refused(client.refresh(tokens.refresh), 400, "invalid_grant")
    assert call(gateway, tokens.access).status_code == 401
    assert call(gateway, client.tokens(browser, ISSUER).access).status_code == 200


def test_a_client_that_registered_itself_is_revoked_for_everybody(gateway: Gateway, browser: Browser) -> None:
    client, other = Client.register(gateway), Client.register(gateway, client_name="Another")
    held: list[Tokens] = [client.tokens(browser, ISSUER, user) for user in ("alice", "bob")]
    spared = other.tokens(browser, ISSUER)
    code, asked = client.code(browser, ISSUER)
    listed = {c["client_id"]: c for c in mreg_json(gateway, "client", "list")}
    assert (listed[client.id]["name"], listed[client.id]["kind"]) == ("Hand-made", "registered")
    mreg(gateway, "client", "revoke", client.id)
    for tokens in held:
        assert call(gateway, tokens.access).status_code == 401
        assert is_refused(client.refresh(tokens.refresh), 401, "invalid_client")
    assert is_refused(client.redeem(code, asked), 401, "invalid_client")
    page = browser.get(client.ask().url, until=client.redirect_uri)
    assert not page.is_ahead and page.status == 400, "it is refused here, before anybody is asked"
    assert call(gateway, spared.access).status_code == 200
    assert client.id not in {c["client_id"] for c in mreg_json(gateway, "client", "list")}


def test_a_confidential_client_of_the_operators_signs_its_users_in(gateway: Gateway, browser: Browser) -> None:
    redirect_uri = "https://portal.example/callback"
    made = mreg_json(gateway, "client", "add", "Portal", "--redirect-uri", redirect_uri)
    client = Client(gateway, made["client_id"], redirect_uri)
    code, asked = client.code(browser, ISSUER)
    assert is_refused(client.redeem(code, asked), 401, "invalid_client"), "its secret is missing"
    assert is_refused(client.redeem(code, asked, client_secret="mreg_cs_wrong"), 401, "invalid_client")
    answer = client.redeem(code, asked, client_secret=made["client_secret"])
    assert answer.status_code == 200, answer.text
    renewed = mreg_json(gateway, "client", "rotate", client.id)["client_secret"]
    answer = client.refresh(answer.json()["refresh_token"], client_secret=made["client_secret"])
    assert answer.status_code == 200, "the former secret is good for a day beside its successor"
    last = mreg_json(gateway, "client", "rotate", client.id, "--at-once")["client_secret"]
    refresh = answer.json()["refresh_token"]
    for former in (made["client_secret"], renewed):
        assert is_refused(client.refresh(refresh, client_secret=former), 401, "invalid_client")
    assert client.refresh(refresh, client_secret=last).status_code == 200


def test_a_key_is_made_on_the_command_line_and_used(gateway: Gateway) -> None:
    mreg(gateway, "user", "add", "robot")
    key = mreg(gateway, "key", "add", "ci", "--user", "robot", "--days", "1").splitlines()[0]
    assert call(gateway, key).status_code == 200
    assert whoami(gateway, key)["preferred_username"] == "robot"
    listed = mreg(gateway, "key", "list", "--user", "robot")
    assert key not in listed and key[:11] in listed
    following = mreg_json(gateway, "key", "rotate", "1")["key"]
    assert [call(gateway, k).status_code for k in (key, following)] == [200, 200]
    mreg(gateway, "key", "revoke", "1")
    assert [call(gateway, k).status_code for k in (key, following)] == [401, 200]


@pytest.mark.parametrize("ending", ["sign-out", "disable"])
def test_what_the_issuer_gave_is_renewed_for_who_is_in_and_gone_with_who_is_out(gateway: Gateway, browser: Browser, ending: str) -> None:
    tokens = Client.register(gateway).tokens(browser, ISSUER)
    name = whoami(gateway, tokens.access)["preferred_username"]
    admin = {"Authorization": f"Bearer {gateway.token('admin')}"}

    def outcome() -> str:
        answer = httpx2.post(f"{gateway.url}/api/v1/admin/force-token-refresh/{name}", headers=admin, timeout=DEADLINE, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["outcome"]

    assert outcome() == "renewed"
    report = httpx2.get(f"{gateway.url}/api/v1/admin/token-refresh-analytics", headers=admin, timeout=DEADLINE, trust_env=False).json()
    assert (report["tokens"], report["success_rate"]["value"]) == (1, 1)
    mreg(gateway, "user", ending, name)
    assert outcome() == "sign_in_again"
