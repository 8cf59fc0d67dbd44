"""Clients that do what no client should: they get no further than their own business, and nobody else notices."""

import asyncio
import base64
import contextlib
import json
import resource as limits
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from evil_upstream import MIB, EvilUpstream
from gateway import Gateway
from processes import DEADLINE
from raw_client import ASKABLE, UNLIMITED, RawClient, call, client, descriptors, messages, resident
from test_evil_upstreams import ROOM, others_served, returned

pytestmark = pytest.mark.anyio

BAD_REQUEST, INVALID, MISMATCH = -32600, -32602, -32020
MODES = ("well", "slow", "asks", "chatty", "large", "silent", "silent-stream")
SECONDS_TO_CANCEL = 1


@pytest.fixture(scope="module")
def beset(evil: EvilUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("beset") / "state", environment=UNLIMITED) as running:
        for mode in MODES:
            running.register(alias(mode), evil.endpoint("modern", mode))
            running.register(alias(mode, "l"), evil.endpoint("legacy", mode))
        running.register("many", evil.endpoint("modern", "many-tools"))
        yield running


def alias(mode: str, era: str = "") -> str:
    name = mode.replace("silent-stream", "mute")
    return f"{era}-{name}" if era else name


def raw_request(gateway: Gateway, user: str, body: dict, **headers: str) -> bytes:
    content = json.dumps({"jsonrpc": "2.0", **body}).encode()
    fields = {
        "Host": urlsplit(gateway.url).netloc,
        "Authorization": f"Bearer {gateway.token(user)}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        **headers,
    }
    return ("POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n").encode() + content


# Clients that do not read, or leave


@pytest.mark.parametrize("mode", ["chatty", "large"])
async def test_who_does_not_read_is_let_go_and_costs_nobody_anything(mode: str, beset: Gateway, evil: EvilUpstream) -> None:
    params = {"name": f"{alias(mode)}__go", "arguments": {}, "_meta": {"progressToken": "p"}}
    request = raw_request(beset, "slow-reader", {"id": 1, "method": "tools/call", "params": params})
    where = urlsplit(beset.url)
    evil.received[f"modern/{mode}"].clear()
    async with others_served(beset):
        open_before = descriptors(beset.process.pid)
        readers = []
        for _ in range(8):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.setblocking(False)
            readers.append(reader)
            await asyncio.get_running_loop().sock_connect(reader, (where.hostname, where.port))
            await asyncio.get_running_loop().sock_sendall(reader, request)
        calls = evil.received[f"modern/{mode}"]
        while sum(received.method == "tools/call" for received in calls) < len(readers):
            await asyncio.sleep(0.02)
        try:
            # Whoever reads nothing for half a minute is let go (F-35), and with them what they asked for.
            await returned(lambda: descriptors(beset.process.pid), open_before + 2)
        finally:
            for reader in readers:
                reader.close()


async def reader(gateway: Gateway, user: str, body: dict) -> socket.socket:
    """Asks, and reads nothing of the answer."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    where = urlsplit(gateway.url)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, (where.hostname, where.port))
    await loop.sock_sendall(made, raw_request(gateway, user, body))
    return made


async def gauge(gateway: Gateway, name: str) -> float:
    async with aiohttp.request("GET", f"{gateway.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_answers_that_nobody_reads_take_no_more_room_than_there_is(beset: Gateway) -> None:
    """First 96 MiB of answers for one user, who may have 64 MiB unread, then as much for each of four more."""
    pid = beset.process.pid
    users = [f"slow-{number}" for number in range(5)]
    for user in users:
        beset.token(user)
    before, let_go, under_way = resident(pid), await gauge(beset, "mreg_readers_let_go"), await gauge(beset, "mreg_calls_under_way")
    readers: list[socket.socket] = []
    most = unread = 0.0
    try:
        async with client(beset.url, beset.token("neighbour")) as neighbour:
            request = {"id": 1, "method": "tools/call", "params": {"name": "large__go", "arguments": {}}}
            for user in users:
                readers += await asyncio.gather(*(reader(beset, user, request) for _ in range(12)))
                end = time.monotonic() + DEADLINE
                is_under_way = True
                while is_under_way:
                    assert time.monotonic() < end
                    assert (await neighbour.post({"id": 1, **call("well__go")})).text == "from well"
                    is_under_way = await gauge(beset, "mreg_calls_under_way") > under_way
                    most = max(most, resident(pid) - before)
                    unread = max(unread, await gauge(beset, "mreg_unread_bytes"))
            # Whoever reads has the whole of it meanwhile.
            assert len((await neighbour.post({"id": 2, **call("large__go")})).text) == 8 * MIB
        gone = await gauge(beset, "mreg_readers_let_go") - let_go
        print(f"{most / MIB:.0f} MiB more, {unread / MIB:.0f} MiB unread, {gone:.0f} let go")
        assert unread <= 256 * MIB
        assert most < 256 * MIB + ROOM
        assert gone > 0
    finally:
        for made in readers:
            made.close()
    end = time.monotonic() + DEADLINE
    while await gauge(beset, "mreg_unread_bytes") > 0:
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def test_a_server_that_talks_faster_than_its_caller_reads_has_to_wait(beset: Gateway, evil: EvilUpstream) -> None:
    evil.received["modern/chatty"].clear()
    evil.said["chatty"] = 0
    params = {"name": "chatty__go", "arguments": {}, "_meta": {"progressToken": "p"}}
    made = await reader(beset, "slow-listener", {"id": 1, "method": "tools/call", "params": params})
    try:
        await evil.wait_for("modern/chatty", lambda received: received.method == "tools/call")
        # When it has said nothing for a second it waits: for buffers of the network, and what the gateway keeps of one stream.
        said = -1
        while said != evil.said["chatty"]:
            said = evil.said["chatty"]
            await asyncio.sleep(1)
        print(f"{said} events of 1 KiB said")
        assert 0 < said < 30_000, "it is listened to without end"
        assert not [received for received in evil.received["modern/chatty"] if received.method == "closed"]
        # As soon as it is read on, it talks on.
        loop = asyncio.get_running_loop()
        while evil.said["chatty"] < said + 2_000:
            assert await loop.sock_recv(made, 1 << 20)
    finally:
        made.close()
    await evil.wait_for("modern/chatty", lambda received: received.method == "closed")


@pytest.mark.parametrize("mode", ["silent", "silent-stream"])
@pytest.mark.parametrize("upstream", ["", "l"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_who_vanishes_takes_the_call_along_within_a_second(
    mode: str, upstream: str, era: str, beset: Gateway, evil: EvilUpstream
) -> None:
    key = f"{'legacy' if upstream else 'modern'}/{mode}"
    evil.received[key].clear()
    async with client(beset.url, beset.token("vanishing"), era) as vanishing:
        asking = asyncio.create_task(vanishing.post({"id": 1, **call(f"{alias(mode, upstream)}__go")}))
        await evil.wait_for(key, lambda received: received.method == "tools/call")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    left = time.monotonic()
    # In the stateless era the end of the connection says it all; in the other there is a word for it.
    told = await evil.wait_for(key, lambda received: received.method == ("notifications/cancelled" if upstream else "closed"))
    assert told.at - left < SECONDS_TO_CANCEL


@pytest.mark.parametrize("upstream", ["", "l"])
async def test_a_call_in_a_session_goes_on_without_its_connection_and_its_answer_can_be_had_later(
    upstream: str, beset: Gateway, evil: EvilUpstream
) -> None:
    evil.released.clear()
    key = f"{'legacy' if upstream else 'modern'}/slow"
    evil.received[key].clear()
    name = f"{alias('slow', upstream)}__go"
    async with client(beset.url, beset.token("resuming"), "legacy") as resuming:
        session = await resuming.shake_hands()
        # The stream begins, with an id to come back with, when the call has been silent for a while.
        async with resuming.opened({"id": 7, **call(name)}) as response:
            event, _ = await anext(messages(response))
        assert event
    async with client(beset.url, beset.token("resuming"), "legacy") as resuming:
        resuming.headers["Mcp-Session-Id"] = session
        evil.released.set()
        response = await resuming.get(Last_Event_ID=event)
        got = [message async for _, message in messages(response) if message]
        assert [message["id"] for message in got] == [7]
        assert got[0]["result"]["content"][0]["text"] == "after a while"
    assert not [received for received in evil.received[key] if received.method == "notifications/cancelled"]
    assert len([received for received in evil.received[key] if received.method == "tools/call"]) == 1


# Clients that say one thing and mean another


@pytest.mark.parametrize(
    "headers",
    [
        {"Mcp-Method": "tools/list"},
        {"Mcp-Name": "well__other"},
        {"Mcp-Name": "=?base64?###?="},
        {"MCP-Protocol-Version": "2025-11-25"},
        {"Mcp-Method": "TOOLS/CALL"},
    ],
    ids=str,
)
async def test_headers_that_say_something_else_than_the_body_are_refused(headers: dict[str, str], beset: Gateway, evil: EvilUpstream) -> None:
    evil.received["modern/well"].clear()
    async with client(beset.url, beset.token("liar")) as liar:
        answered = await liar.post({"id": 1, **call("well__go")}, **headers)
    assert (answered.status, answered.error["code"]) == (400, MISMATCH), answered
    assert not [received for received in evil.received["modern/well"] if received.method == "tools/call"]


async def asked_question(gateway: Gateway, user: str, upstream: str, arguments: dict) -> str:
    async with client(gateway.url, gateway.token(user)) as asked:
        answered = await asked.post({"id": 1, **call(f"{alias('asks', upstream)}__go", arguments)}, capabilities=ASKABLE)
        state: str = answered.last["result"]["requestState"]
        return state


def retry(upstream: str, state: object, arguments: dict) -> dict:
    request = call(f"{alias('asks', upstream)}__go", arguments)
    answer = {"action": "accept", "content": {"yes": True}}
    keys = ["q", "q1"]
    request["params"] |= {"requestState": state, "inputResponses": {key: answer for key in keys}}
    return {"id": 2, **request}


@pytest.mark.parametrize("upstream", ["", "l"])
async def test_a_state_is_good_for_whom_it_was_given_with_what_it_was_given_for(upstream: str, beset: Gateway) -> None:
    state = await asked_question(beset, "owner-of-state", upstream, {"amount": 1})
    tampered = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
    attempts = [
        ("thief", state, {"amount": 1}),
        ("owner-of-state", state, {"amount": 1000}),
        ("owner-of-state", tampered, {"amount": 1}),
        ("owner-of-state", base64.urlsafe_b64encode(secrets.token_bytes(96)).decode(), {"amount": 1}),
        ("owner-of-state", "", {"amount": 1}),
        ("owner-of-state", "x" * 100_000, {"amount": 1}),
    ]
    for user, carried, arguments in attempts:
        async with client(beset.url, beset.token(user)) as attacker:
            answered = await attacker.post(retry(upstream, carried, arguments), capabilities=ASKABLE)
            assert answered.error["code"] == INVALID, (user, carried[:40], answered)
    # After all that it is still good for its owner; but once only where a server waits.
    async with client(beset.url, beset.token("owner-of-state")) as owner:
        answered = await owner.post(retry(upstream, state, {"amount": 1}), capabilities=ASKABLE)
        assert '"action": "accept"' in answered.text
        if upstream:
            answered = await owner.post(retry(upstream, state, {"amount": 1}), capabilities=ASKABLE)
            assert answered.error["code"] == INVALID


@pytest.mark.parametrize("ending", ["signed out", "denied"])
async def test_a_request_that_waits_for_somebody_who_may_no_longer_make_it_does_not_wait_on(
    ending: str, beset: Gateway, evil: EvilUpstream
) -> None:
    user = f"asked-{ending.replace(' ', '-')}"
    evil.received["legacy/asks"].clear()
    under_way = await gauge(beset, "mreg_calls_under_way")
    state = await asked_question(beset, user, "l", {})
    assert await gauge(beset, "mreg_calls_under_way") == under_way + 1

    async def administer(path: str, body: dict | None = None) -> dict:
        async with aiohttp.request("POST", f"{beset.url}/api/v1/admin/{path}", json=body, headers=beset.bearer("admin")) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.content_type == "application/json" else {}

    if ending == "signed out":
        await administer(f"users/{user}/sign-out")
    else:
        await administer("tool-rules", {"effect": "deny", "user": user, "server": "l-asks", "tool": "go"})
        async with client(beset.url, beset.token(user)) as denied:
            answered = await denied.post(retry("l", state, {}), capabilities=ASKABLE)
            assert answered.error["code"] in (1002, INVALID), answered
    await evil.wait_for("legacy/asks", lambda received: received.method == "notifications/cancelled")
    assert await gauge(beset, "mreg_calls_under_way") == under_way
    assert not [received for received in evil.received["legacy/asks"] if "result" in received.message]


async def test_a_state_is_good_on_its_own_endpoint_and_for_its_own_tool(beset: Gateway) -> None:
    state = await asked_question(beset, "owner-of-state", "", {})
    async with client(beset.url, beset.token("owner-of-state")) as owner:
        other = retry("l", state, {})
        assert (await owner.post(other, capabilities=ASKABLE)).error["code"] == INVALID
        there = retry("", state, {})
        there["params"]["name"] = "go"
        assert (await owner.post(there, path="/servers/asks/mcp", capabilities=ASKABLE)).error["code"] == INVALID


async def test_a_cursor_is_good_for_whom_it_was_given_on_the_list_it_was_given_for(beset: Gateway) -> None:
    def page(cursor: object, method: str = "tools/list") -> dict:
        return {"id": 1, "method": method, "params": {"cursor": cursor}}

    async with client(beset.url, beset.token("reader")) as reader, client(beset.url, beset.token("thief")) as thief:
        first = await reader.post({"id": 1, "method": "tools/list", "params": {}})
        cursor = first.last["result"]["nextCursor"]
        attempts = [
            thief.post(page(cursor)),
            reader.post(page(cursor, "prompts/list")),
            reader.post(page(cursor, "resources/templates/list")),
            reader.post(page(cursor), path="/servers/many/mcp"),
            reader.post(page(cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB"))),
            reader.post(page("many__go99")),
            reader.post(page("x" * 500_000)),
            reader.post(page(7)),
            reader.post(page("")),
        ]
        for answered in await asyncio.gather(*attempts):
            assert answered.error["code"] == INVALID
        assert "result" in (await reader.post(page(cursor))).last


# Sessions of others


async def test_the_session_of_somebody_else_is_none(beset: Gateway, evil: EvilUpstream) -> None:
    evil.released.clear()
    key = "modern/slow"
    evil.received[key].clear()
    async with client(beset.url, beset.token("victim"), "legacy") as victim, client(beset.url, beset.token("thief"), "legacy") as thief:
        session = await victim.shake_hands()
        calling = asyncio.create_task(victim.post({"id": 5, **call("slow__go")}))
        await evil.wait_for(key, lambda received: received.method == "tools/call")

        stolen = {"Mcp_Session_Id": session}
        assert (await thief.post({"id": 1, "method": "tools/list"}, **stolen)).status == 404
        assert (await thief.post({"method": "notifications/cancelled", "params": {"requestId": 5}}, **stolen)).status == 404
        assert (await thief.get(**stolen)).status == 404
        assert (await thief.get(Last_Event_ID="35-1.0", **stolen)).status == 404
        async with thief.http.delete(thief.url + "/mcp", headers=thief.headers | {"Mcp-Session-Id": session}) as response:
            assert response.status == 404
        # On another endpoint it is none either.
        assert (await victim.post({"id": 1, "method": "tools/list"}, path="/servers/well/mcp")).status == 404
        # What the thief cancels in a session of their own, under the same id, is theirs.
        await thief.shake_hands()
        assert (await thief.post({"method": "notifications/cancelled", "params": {"requestId": 5}})).status == 202

        evil.released.set()
        assert (await calling).text == "after a while"


async def test_last_event_ids_that_never_were_bring_nothing(beset: Gateway) -> None:
    async with client(beset.url, beset.token("victim"), "legacy") as victim, client(beset.url, beset.token("thief"), "legacy") as thief:
        await victim.shake_hands()
        await thief.shake_hands()
        for garbage in ["x", ".", "-1.-1", "35-1.99999999999999999999999", "zz-1.0", "x" * 7000, "35-1.0; 35-2.0", "-.1", "ÿ-1.1", "35-1.0", "35-1~AAAA.0"]:
            response = await thief.get(Last_Event_ID=garbage)
            assert response.status == 400, garbage
            response.close()


async def test_answers_to_questions_that_nobody_asked_go_nowhere(beset: Gateway, evil: EvilUpstream) -> None:
    evil.received["legacy/asks"].clear()
    answer = {"action": "accept", "content": {"yes": True}}
    async with client(beset.url, beset.token("victim"), "legacy") as victim, client(beset.url, beset.token("thief"), "legacy") as thief:
        await victim.shake_hands(ASKABLE)
        await thief.shake_hands(ASKABLE)
        async with victim.opened({"id": 5, **call("l-asks__go")}) as response:
            stream = messages(response)
            question = next_request(await next_message(stream))
            for number in [question, 0, 1, 2, 3, "x", "1"]:
                assert (await thief.post({"id": number, "result": answer})).status == 202
            for number in ["x", 99, str(question)]:
                assert (await victim.post({"id": number, "result": {"action": "decline"}})).status == 202
            sent = [received for received in evil.received["legacy/asks"] if received.message.get("id") == "evil-1"]
            assert not sent, "somebody else's answer reached the server"
            assert (await victim.post({"id": question, "result": answer})).status == 202
            assert (await victim.post({"id": question, "result": {"action": "decline"}})).status == 202
            last = await next_message(stream)
        assert json.loads(last["result"]["content"][0]["text"]) == answer


async def next_message(stream) -> dict:
    while not (message := (await anext(stream))[1]):
        pass
    return message


def next_request(message: dict) -> object:
    assert message["method"] == "elicitation/create", message
    return message["id"]


# Clients that take more than there is


async def opened(gateway: Gateway, count: int, *, after_a_request: bool = False) -> list[socket.socket]:
    """Connections that say nothing, from the start or after one request."""
    where = urlsplit(gateway.url)
    loop = asyncio.get_running_loop()
    request = f"GET /health/live HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()

    async def one() -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        await loop.sock_connect(made, (where.hostname, where.port))
        if after_a_request:
            await loop.sock_sendall(made, request)
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
                piece = await loop.sock_recv(made, 4096)
                assert piece, answer
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200"), answer
        return made

    found: list[socket.socket] = []
    while len(found) < count:
        found += await asyncio.gather(*(one() for _ in range(min(100, count - len(found)))))
    return found


def room_for(count: int) -> int:
    """How many of so many connections can be open on both sides, which all are where as many files may be."""
    soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
    if hard != limits.RLIM_INFINITY:
        count = min(count, hard * 3 // 4 - 1000)
    limits.setrlimit(limits.RLIMIT_NOFILE, (max(soft, count + 1000), hard))
    return count


async def test_ten_thousand_idle_connections_keep_nobody_out_and_are_let_go(beset: Gateway) -> None:
    """Half of them silent from the start, half after a request."""
    count = room_for(10_000)
    pid = beset.process.pid
    beset.token("neighbour")
    before, open_before = resident(pid), descriptors(pid)
    idle: list[socket.socket] = []
    try:
        idle += await opened(beset, count // 2)
        idle += await opened(beset, count // 2, after_a_request=True)
        held = descriptors(pid)
        cost = (resident(pid) - before) / count
        print(f"{held - open_before} connections held, {cost / 1024:.1f} KiB for each")
        async with client(beset.url, beset.token("neighbour")) as neighbour:
            for _ in range(20):
                assert (await neighbour.post({"id": 1, **call("well__go")})).text == "from well"
        # Some of the longest idle made room for whoever came after them.
        assert held > open_before + count * 95 // 100
        assert cost < 64 << 10
        # After a minute of silence each is let go.
        end = time.monotonic() + 60 + DEADLINE
        while (left := descriptors(pid)) > open_before + 20:
            assert time.monotonic() < end, f"{left - open_before} are still there"
            await asyncio.sleep(0.5)
        # And what they took goes back.
        most = before + cost * count / 2
        while (taken := resident(pid)) > most:
            assert time.monotonic() < end + DEADLINE, f"{(taken - before) // MIB} MiB are kept"
            await asyncio.sleep(0.5)
        print(f"{(taken - before) / MIB:.0f} MiB more than before")
    finally:
        for made in idle:
            made.close()


@contextlib.contextmanager
def cramped(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that may have few files open, so that it has room for 128 connections."""
    state = tmp_path / "state"
    command = ["bash", "-c", 'ulimit -n 512 && exec "$@"', "bash", *Gateway.evaluate_command(state)]
    with Gateway(state, command=command, environment=UNLIMITED) as running:
        yield running


async def test_more_idle_connections_than_there_is_room_for_make_room_for_whoever_asks(tmp_path: Path) -> None:
    with cramped(tmp_path) as gateway:
        token = gateway.token("neighbour")
        idle = await opened(gateway, 1000)
        try:
            assert descriptors(gateway.process.pid) < 300
            async with client(gateway.url, token) as neighbour:
                for _ in range(20):
                    assert "result" in (await neighbour.post({"id": 1, "method": "tools/list", "params": {}})).last
            for made in await opened(gateway, 200, after_a_request=True):
                made.close()
        finally:
            for made in idle:
                made.close()


async def test_where_everybody_is_being_answered_a_newcomer_is_told_to_come_again(tmp_path: Path) -> None:
    listen = {"method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": True}}}
    with cramped(tmp_path) as gateway:
        tokens = [gateway.token(f"listener-{number}") for number in range(3)]
        neighbour = gateway.token("neighbour")
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(gateway.url, token)) for token in tokens]
            responses = []
            for number in range(128):
                response = await stack.enter_async_context(clients[number // 60].opened({"id": number, **listen}))
                assert (await next_message(messages(response)))["method"] == "notifications/subscriptions/acknowledged"
                responses.append(response)
            async with client(gateway.url, neighbour) as asking:
                refused = await asking.post({"id": 1, "method": "tools/list", "params": {}})
                assert refused.status == 503
                assert refused.last["code"] == "overloaded" and "connections" in refused.last["detail"], refused
                assert refused.headers["Retry-After"] == "1"
                for response in responses[:4]:
                    response.close()
                end = time.monotonic() + DEADLINE
                while (await asking.post({"id": 2, "method": "tools/list", "params": {}})).status != 200:
                    assert time.monotonic() < end
                    await asyncio.sleep(0.05)


async def test_a_thousand_sessions_of_one_user_leave_room_for_others(beset: Gateway) -> None:
    async with client(beset.url, beset.token("greedy"), "legacy") as greedy, client(beset.url, beset.token("modest"), "legacy") as modest:
        own = await modest.shake_hands()
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "greedy", "version": "1"}}
        opened: list[str] = []
        for _ in range(20):
            answers = await asyncio.gather(*(greedy.post({"id": 0, "method": "initialize", "params": hello}) for _ in range(50)))
            opened += [answered.headers["Mcp-Session-Id"] for answered in answers]
        answers = await asyncio.gather(*(greedy.post({"id": 1, "method": "ping"}, Mcp_Session_Id=session) for session in opened))
        assert sum(answered.status == 200 for answered in answers) == 200
        assert answers[-1].status == 200
        assert (await modest.post({"id": 1, "method": "ping"}, Mcp_Session_Id=own)).status == 200
        await modest.shake_hands()


async def test_who_listens_a_hundred_times_is_told_when_it_is_enough(beset: Gateway) -> None:
    listen = {"method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": True}}}
    async with client(beset.url, beset.token("listener")) as listener, client(beset.url, beset.token("neighbour")) as neighbour:
        streams: list[aiohttp.ClientResponse] = []
        refused: list[dict] = []
        managers = []

        async def open_one(number: int) -> None:
            manager = listener.opened({"id": number, **listen})
            managers.append(manager)
            response = await manager.__aenter__()
            if response.headers["Content-Type"].startswith("text/event-stream"):
                streams.append(response)
            else:
                refused.append(await response.json())

        await asyncio.gather(*(open_one(number) for number in range(100)))
        assert len(streams) == 64
        assert all("64" in answer["error"]["message"] and answer["error"]["code"] == 1003 for answer in refused)
        async with neighbour.opened({"id": 1, **listen}) as response:
            assert (await next_message(messages(response)))["method"] == "notifications/subscriptions/acknowledged"
        for response in streams:
            response.close()
        # Whoever closes some has room again, at once.
        end = time.monotonic() + DEADLINE
        while True:
            async with listener.opened({"id": 1, **listen}) as response:
                if response.headers["Content-Type"].startswith("text/event-stream"):
                    break
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "subscriptions",
    [[f"mcp+many:x{number}" for number in range(257)], ["x" * 900_000], [7], "x", {"a": 1}, [["x"] * 10]],
    ids=["257", "one huge", "a number", "a text", "an object", "nested"],
)
async def test_subscriptions_without_measure_are_refused_or_not_honoured(subscriptions: object, beset: Gateway) -> None:
    async with client(beset.url, beset.token("listener")) as listener:
        params = {"notifications": {"resourceSubscriptions": subscriptions}}
        async with listener.opened({"id": 1, "method": "subscriptions/listen", "params": params}) as response:
            answer = await next_message(messages(response))
        if "error" in answer:
            assert answer["error"]["code"] == INVALID
        else:
            assert not answer["params"]["notifications"].get("resourceSubscriptions")


async def test_answers_that_nobody_comes_back_for_are_not_kept_without_end(beset: Gateway) -> None:
    """Thirty answers of 8 MiB, in sessions, each over a connection that reads none of it."""
    pid = beset.process.pid
    async with others_served(beset) as watch, client(beset.url, beset.token("hoarder"), "legacy") as hoarder:
        await hoarder.shake_hands()
        for number in range(30):
            answered = await hoarder.post({"id": number, **call("large__go")})
            assert len(answered.text) == 8 * MIB
        print(f"{(watch.most_memory - resident(pid)) / MIB:.0f} MiB given back")
