"""Sessions of the older era as a client sees them: whose they are, how they end, and what they outlast."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest

from gateway import Gateway
from issuers import free_port
from processes import DEADLINE
from upstreams import EVERYTHING, OPEN_HANDED, everything_behind
from wire import LEGACY, Wire, answer_to, check, events, legacy, modern

OUTCOME_UNKNOWN = 1004
every_server = pytest.mark.parametrize("alias", [server.alias for server in EVERYTHING])
over_http = pytest.mark.parametrize("alias", [server.alias for server in EVERYTHING[:2]])


def until(holds: Callable[[], bool]) -> float:
    """Seconds until that holds; fails when it never does."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() < start + DEADLINE, "it never came to that"
        time.sleep(0.05)
    return time.monotonic() - start


# Whose it is


def test_a_session_is_its_users_and_its_endpoints_and_nobody_elses(everything: Gateway) -> None:
    own = legacy(everything.endpoint, everything.token("session-owner"))
    assert own.send("tools/list").status == 200
    stranger = Wire(everything.endpoint, everything.token("session-thief"), LEGACY, session=own.session)
    elsewhere = Wire(everything.endpoint_of("ec-http"), everything.token("session-owner"), LEGACY, session=own.session)
    for wire in (stranger, elsewhere):
        assert wire.send("tools/list").status == 404
        assert wire.notify("notifications/cancelled", {"requestId": 1}).status_code == 404
        assert wire.close().status_code == 404
        with wire.listen() as response:
            assert response.status_code == 404
    assert own.send("tools/list").status == 200, "and it goes on"


def test_a_session_of_a_sign_in_is_none_of_a_key(everything: Gateway) -> None:
    """A key may reach less than its owner does: what the owner's calls say is not for it."""
    owner = legacy(everything.endpoint, everything.token("session-owner"))
    made = httpx2.post(
        everything.endpoint.removesuffix("/mcp") + "/api/v1/keys",
        json={"name": "narrow", "servers": [EVERYTHING[0].alias]},
        headers={"Authorization": f"Bearer {owner.token}"},
    )
    assert made.status_code == 201, made.text
    thief = legacy(everything.endpoint, made.json()["key"])
    own, thief.session = thief.session, owner.session
    assert thief.send("ping").status == 404
    with thief.listen() as response:
        assert response.status_code == 404
    assert thief.close().status_code == 404
    assert owner.send("ping").status == 200
    thief.session = own
    assert thief.send("ping").status == 200


def test_a_session_that_was_ended_is_unknown(everything: Gateway) -> None:
    wire = legacy(everything.endpoint, everything.token("session-owner"))
    assert wire.close().status_code == 204
    assert wire.send("tools/list").status == 404
    assert wire.close().status_code == 404


def test_a_session_left_over_means_nothing_in_the_newer_era(everything: Gateway) -> None:
    wire = modern(everything.endpoint, everything.token("session-owner"))
    wire.session = "0123456789abcdef"
    assert wire.send("tools/list").status == 200


def test_without_a_session_there_is_no_stream_and_nothing_to_end(everything: Gateway) -> None:
    wire = Wire(everything.endpoint, everything.token("session-owner"), LEGACY)
    with wire.listen() as response:
        assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert wire.close().status_code == 405


# Streams that break off


@every_server
def test_a_broken_stream_goes_on_where_it_broke_off(alias: str, everything: Gateway) -> None:
    """The client asks again with the id of the last event it saw, and has the rest once."""
    wire = legacy(everything.endpoint, everything.token("session-resumed"))
    seen, last = read_until_progress(wire, f"{alias}__ask_form", {})
    assert "method" in seen[-1] and seen[-1]["method"] == "elicitation/create"
    with wire.listen(last) as response:
        assert response.status_code == 200
        stream = events(response)
        answer = {"action": "accept", "content": {"name": "Zoë"}}
        assert wire.post({"jsonrpc": "2.0", "id": seen[-1]["id"], "result": answer}).status_code == 202
        rest = [event for event in stream if event.message is not None]
    for event in rest:
        assert event.message is not None
        check(event.message, LEGACY, "tools/call")
    assert [event.message["id"] for event in rest if event.message] == ["the call"]
    assert "Zoë" in json.dumps(rest[0].message, ensure_ascii=False)
    with wire.listen(rest[0].id) as response:
        assert [event for event in events(response)] == [], "there is nothing after the answer"
    with wire.listen(last) as response:
        assert [event.message for event in events(response)] == [rest[0].message], "who missed it may have it again"


@over_http
def test_a_call_that_says_nothing_can_be_come_back_to(alias: str, everything: Gateway) -> None:
    wire = legacy(everything.endpoint, everything.token("session-resumed"))
    params = {"name": f"{alias}__slow", "arguments": {"key": "quiet"}}
    with wire.stream("tools/call", params, id_="quiet") as response:
        first = next(events(response))
    assert first.id is not None and first.message is None
    wire.notify("notifications/cancelled", {"requestId": "quiet"})
    with wire.listen(first.id) as response:
        assert [event.message["id"] for event in events(response) if event.message] == ["quiet"]


def read_until_progress(wire: Wire, tool: str, arguments: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Calls, and breaks the connection off after the first message; what came, and the id of the last event."""
    params = {"name": tool, "arguments": arguments}
    with wire.stream("tools/call", params, {"progressToken": "p"}, id_="the call") as response:
        messages, last = [], None
        for event in events(response):
            last = event.id or last
            if event.message is not None:
                messages.append(event.message)
                break
    assert last is not None
    return messages, last


def test_an_event_of_no_stream_of_the_session_is_refused(everything: Gateway) -> None:
    wire = legacy(everything.endpoint, everything.token("session-resumed"))
    for made_up in ["nonsense", "31-1.1", "31-1~AAAA.1"]:
        with wire.listen(made_up) as response:
            assert response.status_code == 400, made_up


@over_http
def test_who_is_signed_out_is_told_what_became_of_the_call(alias: str, everything: Gateway) -> None:
    user = f"session-signed-out-{alias}"
    wire = legacy(everything.endpoint_of(alias), everything.token(user))
    params = {"name": "slow", "arguments": {"key": user}}
    with wire.stream("tools/call", params, {"progressToken": 1}, id_=5) as response:
        stream = events(response)
        first = next(event.message for event in stream if event.message is not None)
        assert first["method"] == "notifications/progress"
        ended = httpx2.post(
            f"{everything.url}/api/v1/admin/users/{user}/sign-out", headers=everything.bearer("admin"), timeout=DEADLINE
        )
        assert ended.status_code < 300, ended.text
        *_, last = (event.message for event in stream if event.message is not None)
    assert (last["id"], last["error"]["code"]) == (5, OUTCOME_UNKNOWN)


# Questions


@every_server
@pytest.mark.parametrize("speak", [legacy, modern])
def test_a_server_that_asks_who_cannot_be_asked_is_told_so(speak: Callable[..., Wire], alias: str, everything: Gateway) -> None:
    answer = speak(everything.endpoint_of(alias), everything.token("session-owner"), {}).call("roots").answer
    assert "error" in answer or answer["result"]["isError"], answer


# Cancellation


@every_server
def test_a_word_from_the_client_ends_the_call_at_the_server(alias: str, everything: Gateway) -> None:
    wire = legacy(everything.endpoint, everything.token("session-cancels"))
    params = {"name": f"{alias}__slow", "arguments": {"key": "by word"}}
    with wire.stream("tools/call", params, {"progressToken": 1}, id_=77) as response:
        stream = events(response)
        assert next(event for event in stream if event.message is not None)
        assert wire.notify("notifications/cancelled", {"requestId": "77"}).status_code == 202, "another's id, which is none of it"
        assert wire.notify("notifications/cancelled", {"requestId": 77}).status_code == 202
        until(lambda: is_cancelled(wire, alias, "by word"))
        rest = [event.message for event in stream if event.message is not None]
    assert all("result" not in message for message in rest), "and the stream ends"
    # A client that sees its stream end without an answer comes back for the rest.
    assert (rest[-1]["id"], rest[-1]["error"]["code"]) == (77, 1004)


@every_server
def test_a_connection_that_breaks_ends_the_call_in_the_newer_era_alone(alias: str, everything: Gateway) -> None:
    new, old = modern(everything.endpoint, everything.token("session-cancels")), legacy(everything.endpoint, everything.token("session-cancels"))
    for wire, key in ((new, "new and broken"), (old, "old and broken")):
        params = {"name": f"{alias}__slow", "arguments": {"key": key}}
        with wire.stream("tools/call", params, {"progressToken": 1}, id_=78) as response:
            assert next(event for event in events(response) if event.message is not None)
    until(lambda: is_cancelled(new, alias, "new and broken"))
    assert not is_cancelled(old, alias, "old and broken")
    old.notify("notifications/cancelled", {"requestId": 78})
    until(lambda: is_cancelled(old, alias, "old and broken"))


@over_http
def test_a_call_that_says_nothing_ends_with_its_connection_too(alias: str, everything: Gateway) -> None:
    wire = modern(everything.endpoint, everything.token("session-cancels"))
    body, headers = wire.request("tools/call", {"name": f"{alias}__slow", "arguments": {"key": "silent"}})
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(wire.url, json=body, headers=headers, timeout=2)
    until(lambda: is_cancelled(wire, alias, "silent"))


def is_cancelled(wire: Wire, alias: str, key: str) -> bool:
    return bool(wire.call(f"{alias}__cancelled", key=key).result["content"][0]["text"] == "yes")


# Requests that wait for their client


def test_who_has_room_for_one_call_can_still_answer_what_it_waits_for(tmp_path: Path) -> None:
    with (
        Gateway(tmp_path / "state", environment={**OPEN_HANDED, "MREG_IN_FLIGHT_PER_USER": "1"}) as gateway,
        everything_behind(gateway),
    ):
        wire = modern(gateway.endpoint, gateway.token("only-one"))
        asked = wire.call("el-http__ask_form").result
        assert asked["resultType"] == "input_required"
        assert wire.call("el-http__echo", text="x").answer["error"]["code"] == 1001, "the call that waits has the place"
        answers = {key: answer_to(question) for key, question in asked["inputRequests"].items()}
        params = {"name": "el-http__ask_form", "arguments": {}, "inputResponses": answers, "requestState": asked["requestState"]}
        assert wire.send("tools/call", params).result["content"][0]["text"] == "Hello, Zoë!"
        assert wire.call("el-http__echo", text="x").result["content"][0]["text"] == "x"


# Restarts


class Mortal:
    """A gateway that is killed, and started again on the same port."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, free_port()
        self.gateway = self.start()

    def start(self) -> Gateway:
        return Gateway(self.state, Gateway.evaluate_command(self.state, self.port), OPEN_HANDED)

    def restart(self) -> None:
        self.gateway.process.kill()
        self.gateway = self.start()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    mortal = Mortal(tmp_path / "state")
    try:
        with everything_behind(mortal.gateway):
            yield mortal
            # Servers wait for whoever listens to them before they end.
            mortal.gateway.process.end()
    finally:
        mortal.gateway.process.end()


@contextmanager
def touching(gateway: Gateway) -> Iterator[None]:
    """What is watched changes again and again: the server is told of a subscription some time after the stream is open."""
    is_over = threading.Event()
    wire = modern(gateway.endpoint, gateway.token("toucher"))

    def touch() -> None:
        while not is_over.wait(0.2):
            wire.call("el-http__touch")

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(DEADLINE)


def test_a_session_outlasts_the_gateway_that_gave_it(mortal: Mortal) -> None:
    gateway = mortal.gateway
    wire = legacy(gateway.endpoint, gateway.token("restarted"))
    aliases = [server.alias for server in EVERYTHING]
    for alias in aliases:
        assert wire.call(f"{alias}__echo", text="before").result["content"][0]["text"] == "before"
    uri = "mcp.el-http+note://watched"
    assert wire.send("resources/subscribe", {"uri": uri}).result == {}
    assert wire.send("logging/setLevel", {"level": "warning"}).result == {}
    _, last = read_until_progress(wire, "el-http__slow", {"key": "open at the kill"})

    mortal.restart()
    wire.http = httpx2.Client(timeout=DEADLINE)
    # The call that was open: nobody knows what became of it, and that is said.
    with wire.listen(last) as response:
        messages = [event.message for event in events(response) if event.message is not None]
    assert [(message["id"], message["error"]["code"]) for message in messages] == [("the call", OUTCOME_UNKNOWN)]
    # The session goes on, and so does what was agreed in it.
    assert wire.send("tools/list").status == 200
    for alias in aliases:
        assert wire.call(f"{alias}__echo", text="after").result["content"][0]["text"] == "after"
        asked = wire.call(f"{alias}__ask_form")
        assert [message["method"] for message in asked.messages[:-1]] == ["elicitation/create"]
    logged = wire.call("el-http__log")
    assert [message["params"]["level"] for message in logged.messages[:-1]] == ["warning"]
    with wire.listen() as response, touching(gateway):
        heard = (event.message for event in events(response) if event.message is not None)
        assert "notifications/resources/updated" in (message["method"] for message in heard)
    assert wire.close().status_code == 204


# Ids


def test_two_hundred_clients_that_all_use_id_1_get_their_own_answers(everything: Gateway) -> None:
    """Half of them are asked something on the way, each of them a thing of its own."""
    users = [f"one-of-{number % 20}" for number in range(200)]
    tokens = {user: everything.token(user) for user in users}

    async def talk(http: aiohttp.ClientSession, number: int) -> None:
        alias = EVERYTHING[number % 2].alias
        headers = {
            "Authorization": f"Bearer {tokens[users[number]]}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": LEGACY,
        }
        hello = {"protocolVersion": LEGACY, "capabilities": {"elicitation": {}}, "clientInfo": {"name": "one", "version": "1"}}
        async with http.post(everything.endpoint, json=message(1, "initialize", hello), headers=headers) as response:
            headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
        tool, arguments = ("ask_form", {}) if number % 4 > 1 else ("echo", {"text": f"I am {number}"})
        params = {"name": f"{alias}__{tool}", "arguments": arguments, "_meta": {"progressToken": 1}}
        async with http.post(everything.endpoint, json=message(1, "tools/call", params), headers=headers) as response:
            assert response.status == 200, await response.text()
            text = ""
            async for line in response.content:
                said = line.decode().removeprefix("data:").strip()
                if not said.startswith("{"):
                    continue
                heard = json.loads(said)
                if "method" in heard:
                    answer = {"jsonrpc": "2.0", "id": heard["id"], "result": {"action": "accept", "content": {"name": f"{number}"}}}
                    async with http.post(everything.endpoint, json=answer, headers=headers) as posted:
                        assert posted.status == 202
                else:
                    assert heard["id"] == 1
                    text = heard["result"]["content"][0]["text"]
        assert text == (f"Hello, {number}!" if tool == "ask_form" else f"I am {number}")

    async def all_of_them() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(talk(http, number) for number in range(200)))

    asyncio.run(all_of_them())


def message(id_: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
