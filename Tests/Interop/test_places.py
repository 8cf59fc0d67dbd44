"""A server in two places: questions are answered where they were asked, and calls go where somebody is."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import mcp_types as types
import pytest

from clients.current_client import connect
from gateway import Gateway
from processes import DEADLINE, ListeningProcess
from upstreams import SERVERS

USER = "places-user"

pytestmark = pytest.mark.anyio


@pytest.fixture
def places(gateway: Gateway) -> Iterator[list[ListeningProcess]]:
    """The places of the server `asking`."""
    with ExitStack() as stack:
        places = [ListeningProcess([sys.executable, str(SERVERS / "asking_http.py")]) for _ in range(2)]
        for place in places:
            stack.callback(place.end)
        first, second = (place.wait_for_url() for place in places)
        record = {"alias": "asking", "title": "Asking", "transport": "http", "endpoint": first, "replicas": [{"endpoint": second}]}
        made = httpx2.post(gateway.registry, json=record, headers=gateway.bearer("admin"), timeout=DEADLINE)
        assert made.status_code == 201, made.text
        yield places
        gateway.remove("asking")


async def words(gateway: Gateway, mode: str) -> str:
    given = iter(["green", "ideas"])

    async def answer(_: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"word": next(given)})

    async with connect(gateway.endpoint, gateway.token(USER), mode, elicitation_callback=answer) as client:
        result = await client.call_tool("asking__two_words", {})
        assert isinstance(result.content[0], types.TextContent)
        return result.content[0].text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_was_asked_in_one_place_is_answered_there(gateway: Gateway, places: list[ListeningProcess], mode: str) -> None:
    for _ in range(4):
        assert await words(gateway, mode) == "green ideas"


async def test_calls_go_where_somebody_is(gateway: Gateway, places: list[ListeningProcess]) -> None:
    places[1].kill()
    for mode in ["auto", "legacy"]:
        for _ in range(4):
            assert await words(gateway, mode) == "green ideas"


async def test_what_one_place_lists_differently_waits_in_all_of_them(gateway: Gateway) -> None:
    """A call goes to either place, so what the other one lists does not end the wait."""
    with ExitStack() as stack:
        places = [ListeningProcess([sys.executable, str(SERVERS / "saying_http.py"), text]) for text in ("Says it.", "Says it to everybody.")]
        for place in places:
            stack.callback(place.end)
        first, second = (place.wait_for_url() for place in places)
        admin = {"headers": gateway.bearer("admin"), "timeout": DEADLINE}
        record = {"alias": "saying", "title": "Saying", "transport": "http", "endpoint": first, "replicas": [{"endpoint": second}]}
        made = httpx2.post(gateway.registry, json=record, **admin)
        assert made.status_code == 201, made.text
        stack.callback(gateway.remove, "saying")
        server = f"{gateway.registry}/{made.json()['id']}"

        async def listed() -> list[str]:
            assert httpx2.post(f"{server}/check", **admin).status_code == 200
            async with connect(gateway.endpoint, gateway.token(USER), "auto") as client:
                return [tool.name for tool in (await client.list_tools()).tools if tool.name.startswith("saying__")]

        for _ in range(2):
            await listed()
        for _ in range(4):
            assert await listed() == []
        [tool] = httpx2.get(f"{server}/tools", **admin).json()["tools"]
        assert (tool["name"], tool["state"]) == ("say", "held")
        # With the place goes what it said.
        assert httpx2.patch(server, json={"replicas": []}, **admin).status_code == 200
        assert await listed() == ["saying__say"]
