"""Servers that do what no server should: their callers hear the right thing, and nobody else notices."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evil_upstream import CALLS, LISTS, MIB, EvilUpstream
from gateway import Gateway
from processes import DEADLINE
from raw_client import UNLIMITED, Answered, RawClient, call, client, descriptors, resident
from upstreams import SERVERS

pytestmark = pytest.mark.anyio

ID = 'caller "é" 7'
ROOM = 256 * MIB
"""What one server may make the gateway take, in a debug build: a few times the largest message of 16 MiB."""

UNKNOWN, UNAVAILABLE, INTERNAL = 1004, 1003, -32603

AS_IF_NOTHING = {"two-answers", "progress-backwards", "large"}
"""The caller gets the answer for all that."""

OTHERWISE = {"gateway-code": INTERNAL, "javascript-error": INTERNAL}
"""Errors that say no more than they may. Of everything else the gateway cannot tell what became of the call."""

NOT_HERE = {"well", "silent", "silent-stream", "drips", "slow", "asks", "by-url", "chatty", "thousand-questions", "javascript-url"}
"""Tested on their own, or for the sake of clients."""

ERAS = ("legacy", "modern")


@pytest.fixture(scope="module")
def beset(evil: EvilUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one server that is well, and room for others."""
    with Gateway(tmp_path_factory.mktemp("beset") / "state", environment=UNLIMITED) as running:
        running.register("well", evil.endpoint("modern", "well"))
        yield running


def registered(gateway: Gateway, evil: EvilUpstream, era: str, mode: str) -> str:
    alias = f"{era}{sorted([*CALLS, *LISTS]).index(mode)}"
    if alias not in gateway.servers():
        gateway.register(alias, evil.endpoint(era, mode))
    return alias


@dataclass
class Watch:
    """What the others saw meanwhile."""

    waits: list[float] = field(default_factory=list)
    most_memory: int = 0


@asynccontextmanager
async def others_served(gateway: Gateway) -> AsyncIterator[Watch]:
    """Somebody else calls the server that is well all the time. Afterwards memory and file descriptors are as they were."""
    pid = gateway.process.pid
    watch = Watch()
    async with client(gateway.url, gateway.token("neighbour")) as neighbour:

        async def look() -> None:
            while True:
                start = time.monotonic()
                answered = await neighbour.post({"id": 1, **call("well__go")})
                assert answered.text == "from well"
                watch.waits.append(time.monotonic() - start)
                watch.most_memory = max(watch.most_memory, resident(pid))
                await asyncio.sleep(0.02)

        await neighbour.post({"id": 1, **call("well__go")})
        memory, open_before = resident(pid), descriptors(pid)
        looking = asyncio.create_task(look())
        try:
            yield watch
            while not watch.waits and not looking.done():
                await asyncio.sleep(0.02)
        finally:
            looking.cancel()
            (end,) = await asyncio.gather(looking, return_exceptions=True)
        if not isinstance(end, asyncio.CancelledError):
            raise end
        assert watch.most_memory - memory < ROOM, f"{(watch.most_memory - memory) // MIB} MiB more"
        await returned(lambda: descriptors(pid), open_before + 2)
        print(f"{len(watch.waits)} calls of others, the slowest {max(watch.waits):.3f} s; {(watch.most_memory - memory) / MIB:.0f} MiB more")


async def returned(count, most: int) -> None:
    end = time.monotonic() + DEADLINE
    while count() > most:
        assert time.monotonic() < end, f"{count()} instead of at most {most}"
        await asyncio.sleep(0.1)


async def asked(gateway: Gateway, alias: str, era: str = "legacy", tool: str = "go", **more) -> Answered:
    async with client(gateway.url, gateway.token("victim"), era) as victim:
        params = {"name": f"{alias}__{tool}", "arguments": {}, "_meta": {"progressToken": "p"}}
        return await victim.post({"id": ID, "method": "tools/call", "params": params}, **more)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("mode", sorted(set(CALLS) - NOT_HERE))
async def test_whatever_a_server_answers_to_a_call_its_caller_hears_the_right_thing(
    mode: str, era: str, beset: Gateway, evil: EvilUpstream
) -> None:
    alias = registered(beset, evil, era, mode)
    async with others_served(beset):
        answered = await asked(beset, alias)
        assert answered.last["id"] == ID
        assert answered.status == 200
        if mode in AS_IF_NOTHING:
            assert "result" in answered.last, answered.last
            assert answered.text == f"from {mode}" or mode == "large"
        else:
            assert answered.error["code"] == OTHERWISE.get(mode, UNKNOWN), answered.error
            assert "javascript:" not in str(answered.error)
        calls = [received for received in evil.received[f"{era}/{mode}"] if received.method == "tools/call"]
        assert len(calls) == 1, "a call that may have been carried out was made again"


@pytest.mark.parametrize("mode", sorted(LISTS))
@pytest.mark.parametrize("era", ERAS)
async def test_whatever_a_server_lists_everybody_gets_a_list(mode: str, era: str, beset: Gateway, evil: EvilUpstream) -> None:
    evil.is_honest = True
    async with others_served(beset):
        alias = registered(beset, evil, era, mode)
        names = await all_names(beset)
        assert "well__go" in names
        its = {name for name in names if name.startswith(f"{alias}__")}
        assert len(its) <= 2000
        if mode in ("cyclic-cursor", "same-name-twice", "rug-pull"):
            assert its, "what was good of its list is not shown"


async def all_names(gateway: Gateway) -> list[str]:
    async with client(gateway.url, gateway.token("lister")) as lister:
        names: list[str] = []
        cursor = None
        while True:
            params = {"cursor": cursor} if cursor else {}
            answered = await lister.post({"id": ID, "method": "tools/list", "params": params})
            assert "result" in answered.last and answered.last["id"] == ID, str(answered.last)[:400]
            names += [tool["name"] for tool in answered.last["result"]["tools"]]
            cursor = answered.last["result"].get("nextCursor")
            if not cursor:
                return names


@pytest.mark.parametrize("caller", ERAS)
@pytest.mark.parametrize("era", ERAS)
async def test_no_more_questions_are_asked_than_anybody_can_answer(era: str, caller: str, beset: Gateway, evil: EvilUpstream) -> None:
    """A client that can be asked is asked a few of a thousand."""
    alias = registered(beset, evil, era, "thousand-questions")
    async with others_served(beset), client(beset.url, beset.token("victim"), caller) as victim:
        asking = {"elicitation": {"form": {}, "url": {}}}
        if caller == "legacy":
            await victim.shake_hands(asking)
        answered = await victim.post({"id": ID, **call(f"{alias}__go")}, capabilities=asking)
        assert answered.last["id"] == ID
        questions = [message for message in answered.messages if message.get("method") == "elicitation/create"]
        questions += answered.last.get("result", {}).get("inputRequests", {}).values()
        assert len(questions) <= 16


@pytest.mark.parametrize("caller", ERAS)
@pytest.mark.parametrize("era", ERAS)
async def test_no_address_that_is_a_script_is_put_before_anybody(era: str, caller: str, beset: Gateway, evil: EvilUpstream) -> None:
    alias = registered(beset, evil, era, "javascript-url")
    async with client(beset.url, beset.token("victim"), caller) as victim:
        asking = {"elicitation": {"form": {}, "url": {}}}
        if caller == "legacy":
            await victim.shake_hands(asking)
        answered = await victim.post({"id": ID, **call(f"{alias}__go")}, capabilities=asking)
        assert answered.last["id"] == ID
        assert "javascript:" not in str(answered.messages)
        if era == "legacy":
            assert answered.text == "declined with -32602"
        else:
            assert answered.error["code"] == INTERNAL


async def test_questions_of_a_server_that_asks_nobody_are_declined(beset: Gateway, evil: EvilUpstream) -> None:
    """Its caller did not say that they can be asked anything."""
    alias = registered(beset, evil, "legacy", "asks")
    async with others_served(beset):
        answered = await asked(beset, alias)
        declined = await evil.wait_for("legacy/asks", lambda received: "error" in received.message)
        assert declined.message["id"] == "evil-1"
        assert answered.last["id"] == ID


async def test_what_drips_is_given_up(beset: Gateway, evil: EvilUpstream) -> None:
    """One byte a second: after half a minute that is too slow (F-28)."""
    alias = registered(beset, evil, "modern", "drips")
    async with others_served(beset):
        answered = await asked(beset, alias)
        assert (answered.last["id"], answered.error["code"]) == (ID, UNKNOWN)
        assert "slower" in answered.error["message"]


FLOODS = ("log", "progress", "unknown")
BURST, PACE, PIPE = MIB, MIB // 4, MIB // 16
"""What of a flood is read at once, and each second. A pipe more is written before the program has to wait, and another on its way."""


async def test_programs_that_talk_without_end_have_to_wait_and_are_then_ended(beset: Gateway) -> None:
    """They answer all the same (F-34); what they could write by then says how much of it the gateway read."""
    start = time.monotonic()
    for flood in FLOODS:
        beset.add_stdio(flood, [sys.executable, str(SERVERS / "flooding.py"), flood], "--shared")
    async with others_served(beset):
        for _ in range(3):
            for flood in FLOODS:
                written = json.loads((await asked(beset, flood, tool="written")).text)["written"]
                assert written < BURST + PACE * (time.monotonic() - start) + 2 * PIPE
        pids = [json.loads((await asked(beset, flood, tool="written")).text)["pid"] for flood in FLOODS]
        end = time.monotonic() + 3 * DEADLINE
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            assert time.monotonic() < end, "it still talks"
            await asyncio.sleep(0.5)
    servers = beset.servers()
    listed = beset.command("server", "list")
    for flood in FLOODS:
        assert servers[flood]["health"] == "failing"
        assert "it talks without end, and nobody asked it to" in servers[flood]["last_failure"]
        assert f"{flood}: {servers[flood]['last_failure']}" in listed
    # Who wants it back has it started anew.
    assert "answers" in beset.command("server", "check", FLOODS[0])
    assert json.loads((await asked(beset, FLOODS[0], tool="written")).text)["pid"] not in pids
    for flood in FLOODS:
        beset.remove(flood)


async def test_a_tool_that_changes_between_two_lists_is_held(beset: Gateway, evil: EvilUpstream) -> None:
    evil.is_honest = True
    alias = registered(beset, evil, "modern", "rug-pull")
    assert (await asked(beset, alias)).last.get("result"), "it was good at first"
    evil.is_honest = False
    # A name that is not there has the server listed anew.
    async with client(beset.url, beset.token("victim")) as victim:
        end = time.monotonic() + DEADLINE
        while f"{alias}__go" in await all_names(beset):
            assert time.monotonic() < end, "the changed tool is still shown"
            await victim.post({"id": ID, **call(f"{alias}__other")})
            await asyncio.sleep(0.2)
        answered = await victim.post({"id": ID, **call(f"{alias}__go")})
        assert "result" not in answered.last
    calls = [received for received in evil.received["modern/rug-pull"] if received.method == "tools/call"]
    assert len(calls) == 1


async def test_the_gateway_is_still_up(beset: Gateway) -> None:
    assert "well__go" in await all_names(beset)
