"""That somebody has been to the page they were shown: who of the older era hears of it, and under which name."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evil_upstream import EvilUpstream, been
from gateway import Gateway
from processes import DEADLINE
from raw_client import ASKABLE, UNLIMITED, RawClient, client, messages

pytestmark = pytest.mark.anyio

REFUSED_FOR_A_PAGE = -32042


@pytest.fixture(scope="module")
def asking(evil: EvilUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("pages") / "state", environment=UNLIMITED) as running:
        running.register("pages", evil.endpoint("legacy", "by-url"))
        yield running


class Session:
    """A client with a session, which hears what comes beside its calls."""

    def __init__(self, raw: RawClient, response: Any) -> None:
        self.raw, self._stream, self._number = raw, messages(response), 0

    async def call(self, *names: str, **more: Any) -> list[dict[str, Any]]:
        """Has itself be sent to those pages; everything that came until the answer."""
        self._number += 1
        request = {"id": self._number, "method": "tools/call", "params": {"name": "pages__go", "arguments": {"names": names, **more}}}
        heard = []
        async with self.raw.opened(request) as response:
            async for _, message in messages(response):
                if message:
                    heard.append(message)
                if message.get("method") == "elicitation/create":
                    await self.raw.post({"id": message["id"], "result": {"action": "accept"}})
        return heard

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            async for _, message in self._stream:
                if message:
                    return message
        raise AssertionError("the stream ended")


@asynccontextmanager
async def session(gateway: Gateway, user: str) -> AsyncIterator[Session]:
    async with client(gateway.url, gateway.token(user), "legacy") as raw:
        await raw.shake_hands(ASKABLE)
        response = await raw.get()
        assert response.status == 200
        yield Session(raw, response)
        response.close()


def shown(heard: list[dict[str, Any]]) -> list[str]:
    return [message["params"]["elicitationId"] for message in heard if message.get("method") == "elicitation/create"]


def told(heard: list[dict[str, Any]]) -> list[str]:
    return [message["params"]["elicitationId"] for message in heard if message.get("method") == "notifications/elicitation/complete"]


async def test_it_is_told_on_the_stream_of_the_call_once_and_under_the_name_that_was_shown(asking: Gateway) -> None:
    async with session(asking, "ada") as ada:
        heard = await ada.call("e-1", "e-2", on_stream=["e-2", "made-up", "e-2", "x" * 100_000])
    first, second = shown(heard)
    assert len({first, second, "e-1", "e-2"}) == 4
    assert told(heard) == [second]
    assert "result" in heard[-1]


async def test_it_is_told_beside_the_calls_to_whom_it_was_shown_and_to_nobody_else(asking: Gateway, evil: EvilUpstream) -> None:
    async with session(asking, "ada") as ada, session(asking, "bob") as bob:
        (adas,) = shown(await ada.call("page"))
        (bobs,) = shown(await bob.call("another page"))
        for name in ("made-up", "page", "page", "another page"):
            await evil.say_aside("by-url", been(name))
        for one, name in ((ada, adas), (bob, bobs)):
            assert await one.hear() == {
                "jsonrpc": "2.0", "method": "notifications/elicitation/complete", "params": {"elicitationId": name},
            }
        # Nothing else came before what comes next.
        (adas,) = shown(await ada.call("one more"))
        await evil.say_aside("by-url", been("one more"))
        assert (await ada.hear())["params"] == {"elicitationId": adas}


async def test_what_a_call_was_refused_for_has_a_name_of_ours_under_which_it_is_over(asking: Gateway, evil: EvilUpstream) -> None:
    async with session(asking, "ada") as ada:
        (refused,) = await ada.call("first", "y" * 2000, refuses=True)
        assert refused["error"]["code"] == REFUSED_FOR_A_PAGE
        first, long = (wanted["elicitationId"] for wanted in refused["error"]["data"]["elicitations"])
        assert first != "first" and len(long) < 100
        await evil.say_aside("by-url", been("y" * 2000))
        await evil.say_aside("by-url", been("first"))
        assert (await ada.hear())["params"] == {"elicitationId": first}


async def test_who_has_no_session_is_shown_a_name_and_never_hears_of_it(asking: Gateway) -> None:
    async with client(asking.url, asking.token("carol"), "legacy") as carol:
        request = {"id": 1, "method": "tools/call", "params": {"name": "pages__go", "arguments": {"names": ["e-1"], "refuses": True}}}
        (wanted,) = (await carol.post(request)).error["data"]["elicitations"]
        assert wanted["elicitationId"] != "e-1"
