"""A server of fastmcp, which speaks both eras and asks its users in one of them."""

from collections.abc import Iterator

import pytest

from clients.current_client import CLIENTS, FASTMCP_PYTHON, ClientKind, call, converse, listing
from gateway import Gateway
from processes import ListeningProcess
from upstreams import SERVERS

USER = "fastmcp-user"

pytestmark = pytest.mark.anyio
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@pytest.fixture(scope="module")
def fastmcp(gateway: Gateway) -> Iterator[ListeningProcess]:
    process = ListeningProcess([str(FASTMCP_PYTHON), str(SERVERS / "fastmcp_http.py")])
    try:
        gateway.register("fast", process.wait_for_url())
        yield process
        gateway.remove("fast")
    finally:
        process.end()


@every_client
async def test_every_client_uses_what_it_has(client: ClientKind, gateway: Gateway, fastmcp: ListeningProcess) -> None:
    script = (
        listing(),
        call("add", {"a": 2, "b": 3}),
        call("steps", {"n": 3}),
        {"do": "read", "uri": "note://x"},
        {"do": "prompt", "name": "about", "arguments": {"topic": "ants"}},
    )
    transcript = await converse(client, gateway.endpoint_of("fast"), gateway.token(USER), *script)
    listed, sum, counted, read, prompt = transcript.answers
    assert {tool["name"] for tool in listed["tools"]} == {"add", "steps", "greet"}
    assert sum["content"][0]["text"] == "5"
    assert [event[1] for event in counted["heard"] if event[0] == "progress"] == [1, 2, 3]
    assert read["contents"][0]["text"] == "a note"
    assert prompt["messages"][0]["content"]["text"] == "Tell me about ants."


@every_client
async def test_on_the_owners_word_every_client_is_asked(client: ClientKind, gateway: Gateway, fastmcp: ListeningProcess) -> None:
    gateway.change("fast", era="legacy")
    transcript = await converse(client, gateway.endpoint_of("fast"), gateway.token(USER), call("greet"), can_be_asked=True)
    assert transcript.answers[0]["content"][0]["text"] == "Hello, Zoë!", transcript.answers[0]
