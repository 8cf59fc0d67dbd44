"""Real SDK clients, through the gateway, to real SDK servers."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest

from clients.current_client import CLIENTS, CURRENT_CLIENTS, FASTMCP, ClientKind, call, connect, converse, listing
from conftest import Cells
from gateway import Gateway
from processes import DEADLINE
from upstreams import ALIASES, DEMO_TOOLS, DEMOS, HTTP_UPSTREAMS, PACKAGED_UPSTREAMS, PAGE_HEADING, PAGE_TEXT, Upstream

pytestmark = pytest.mark.anyio

every_sdk_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
every_client = pytest.mark.parametrize("client", (*CLIENTS, FASTMCP), ids=lambda client: client.name)
both_eras = pytest.mark.parametrize("client", CURRENT_CLIENTS[:2], ids=lambda client: client.name)
INVALID_PARAMS = -32602


def user_of(client: ClientKind) -> str:
    """Each kind of client is its own user, so no test spends another's allowance."""
    return f"interop-{client.name}"


def text_of(answer: dict[str, Any]) -> str:
    assert "content" in answer, answer
    return "\n".join(block["text"] for block in answer["content"] if block["type"] == "text")


# The matrix


@every_client
@pytest.mark.parametrize("alias", ALIASES)
async def test_every_client_lists_and_calls_every_upstream(
    client: ClientKind, alias: str, gateway: Gateway, upstreams: dict[str, Upstream], cells: Cells
) -> None:
    upstream = upstreams[alias]
    script = listing(), call(f"{alias}__{upstream.tool}", upstream.arguments)
    transcript = await converse(client, gateway.endpoint, gateway.token(user_of(client)), *script)
    revision = gateway.servers()[alias]["revision"]
    cells[alias, client.name] = f"{transcript.revision} / {revision}"

    listed, answer = transcript.answers
    names = {tool["name"] for tool in listed["tools"]}
    assert {name for name in names if name.startswith(f"{alias}__")} == {f"{alias}__{tool}" for tool in upstream.tools}
    assert upstream.answer in text_of(answer)
    assert not answer.get("isError")
    assert transcript.revision == client.revision
    assert upstream.revision in (None, revision)


@every_sdk_client
@pytest.mark.parametrize("alias", PACKAGED_UPSTREAMS)
async def test_a_server_from_pypi_alone_has_its_own_names(
    client: ClientKind, alias: str, gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    upstream = upstreams[alias]
    script = listing(), call(upstream.tool, upstream.arguments)
    transcript = await converse(client, gateway.endpoint_of(alias), gateway.token(user_of(client)), *script)
    listed, answer = transcript.answers
    assert {tool["name"] for tool in listed["tools"]} == upstream.tools
    assert upstream.answer in text_of(answer)
    assert transcript.revision == client.revision


@every_sdk_client
@pytest.mark.parametrize("is_alone", [False, True], ids=["among all", "alone"])
async def test_a_prompt_of_a_server_from_pypi_brings_the_page(
    client: ClientKind, is_alone: bool, gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    endpoint, name = (gateway.endpoint_of("fetch"), "fetch") if is_alone else (gateway.endpoint, "fetch__fetch")
    script = {"do": "prompts"}, {"do": "prompt", "name": name, "arguments": upstreams["fetch"].arguments}
    transcript = await converse(client, endpoint, gateway.token(user_of(client)), *script)
    listed, answer = transcript.answers
    (prompt,) = (prompt for prompt in listed["prompts"] if prompt["name"] == name)
    assert [argument["name"] for argument in prompt["arguments"]] == ["url"]
    (message,) = answer["messages"]
    assert PAGE_HEADING in message["content"]["text"]
    assert PAGE_TEXT in message["content"]["text"]


@every_client
async def test_one_list_holds_the_tools_of_all_upstreams_once(
    client: ClientKind, gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    transcript = await converse(client, gateway.endpoint, gateway.token(user_of(client)), listing())
    names = [tool["name"] for tool in transcript.answers[0]["tools"]]
    assert sorted(names) == sorted(f"{alias}__{tool}" for alias in upstreams for tool in upstreams[alias].tools)


@every_client
@pytest.mark.parametrize("alias", HTTP_UPSTREAMS)
async def test_schemas_unicode_structured_output_and_tool_errors_cross_unchanged(
    client: ClientKind, alias: str, gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    script = (
        listing(),
        call(f"{alias}__greet", {"name": "Zoë 🎈"}),
        call(f"{alias}__weather", {"city": "Köln"}),
        call(f"{alias}__fail"),
    )
    transcript = await converse(client, gateway.endpoint, gateway.token(user_of(client)), *script)
    listed, greeting, weather, failure = transcript.answers
    tools = {tool["name"]: tool for tool in listed["tools"]}
    assert tools[f"{alias}__greet"]["description"] == "Grüßt höflich – こんにちは, 🎉 and “quotes”."
    assert tools[f"{alias}__add"]["inputSchema"]["properties"]["a"]["type"] == "integer"
    assert tools[f"{alias}__weather"]["outputSchema"]["required"] == ["city", "celsius", "sunny"]
    assert text_of(greeting) == "Grüß Gott, Zoë 🎈! 🎉"
    assert weather["structuredContent"] == {"city": "Köln", "celsius": 21.5, "sunny": True}
    assert failure["isError"] is True
    assert "the cellar is flooded" in text_of(failure)


@every_client
@pytest.mark.parametrize("name", ["nowhere__add", "current__subtract"])
async def test_an_unknown_tool_is_invalid_params(
    client: ClientKind, name: str, gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    transcript = await converse(client, gateway.endpoint, gateway.token(user_of(client)), call(name))
    (answer,) = transcript.answers
    assert "error" in answer, answer
    assert answer["error"]["code"] == INVALID_PARAMS


async def test_the_environment_given_at_registration_reaches_the_stdio_server(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    transcript = await converse(CLIENTS[0], gateway.endpoint, gateway.token(user_of(CLIENTS[0])), listing())
    tools = {tool["name"]: tool for tool in transcript.answers[0]["tools"]}
    assert "'Asia/Kolkata' as local timezone" in json.dumps(tools["time-2025__get_current_time"])


# Progress


@both_eras
@pytest.mark.parametrize("alias", HTTP_UPSTREAMS)
async def test_each_step_of_progress_arrives_before_the_answer(
    client: ClientKind, alias: str, gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    assert await progress_of(client, gateway, f"{alias}__steps", {"n": 3}) == [
        (1, 3, "step 1"),
        (2, 3, "step 2"),
        (3, 3, "step 3"),
    ]


@both_eras
@pytest.mark.parametrize("alias", DEMOS)
async def test_the_slow_demo_tool_reports_growing_progress(client: ClientKind, alias: str, gateway: Gateway) -> None:
    values = [value for value, _, _ in await progress_of(client, gateway, f"{alias}__slow", {"seconds": 1})]
    assert values
    assert values == sorted(set(values))


async def progress_of(
    client: ClientKind, gateway: Gateway, tool: str, arguments: dict[str, Any]
) -> list[tuple[float, float | None, str | None]]:
    assert client.mode is not None
    reported: list[tuple[float, float | None, str | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with connect(gateway.endpoint, gateway.token(user_of(client)), client.mode) as session:
        result = await session.call_tool(tool, arguments, progress_callback=report)
    assert not result.is_error, result
    return reported


# The door


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}], ids=["no token", "a wrong token"])
def test_without_a_valid_token_the_challenge_leads_to_the_authorization_server(
    headers: dict[str, str], gateway: Gateway
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    response = httpx2.post(gateway.endpoint, json=request, headers=headers, timeout=DEADLINE)
    assert response.status_code == 401
    challenge = response.headers["WWW-Authenticate"]
    metadata_url = re.fullmatch(r'Bearer .*resource_metadata="([^"]+)".*', challenge)
    assert metadata_url, challenge
    metadata = httpx2.get(metadata_url[1], timeout=DEADLINE).json()
    assert metadata["resource"] == gateway.endpoint
    assert [server.rstrip("/") for server in metadata["authorization_servers"]] == [gateway.url]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_two_users_with_the_same_request_ids_never_get_each_others_answers(era: str, gateway: Gateway) -> None:
    """200 calls at once, half of each user's to either demo server, both users counting their ids from 0."""
    users = {user: gateway.bearer(user) for user in (f"alice-{era}", f"bob-{era}")}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def echo(user: str, request_id: int) -> None:
            alias, text = DEMOS[request_id % 2], f"{user} says {request_id}"
            headers, body = echo_request(era, f"{alias}__echo", text, request_id)
            async with session.post(gateway.endpoint, json=body, headers=headers | users[user]) as response:
                assert response.status == 200, await response.text()
                message = await only_message(response)
            assert message["id"] == request_id
            assert "result" in message, message
            assert text_of(message["result"]) == text

        await asyncio.gather(*(echo(user, request_id) for request_id in range(100) for user in users))


def echo_request(era: str, tool: str, text: str, request_id: int) -> tuple[dict[str, str], dict[str, Any]]:
    params: dict[str, Any] = {"name": tool, "arguments": {"text": text}}
    body = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
    headers = {"Accept": "application/json, text/event-stream"}
    if era == "legacy":
        return headers | {"MCP-Protocol-Version": "2025-11-25"}, body
    params["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return headers | {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}, body


async def only_message(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The one JSON-RPC message of a reply, be it JSON or an event stream."""
    text = await response.text()
    if response.content_type == "text/event-stream":
        data = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
        (text,) = filter(None, data)
    message: dict[str, Any] = json.loads(text)
    return message


# The program


async def test_the_load_script_of_the_performance_guide_gets_all_its_answers(tmp_path: Path) -> None:
    """100 users at once, each 50 times the guide's bare `{"method": "tools/list"}`, against a fresh `mreg evaluate`."""
    with Gateway(tmp_path / "state") as gateway:

        async def work(user: int) -> list[tuple[int, int]]:
            async with aiohttp.ClientSession() as session:
                login = {"user_id": f"test_user_{user}"}
                async with session.post(f"{gateway.url}/oauth/login", json=login) as response:
                    token = (await response.json())["access_token"]
                headers = {"Authorization": f"Bearer {token}"}
                return [await list_tools(session, headers) for _ in range(50)]

        async def list_tools(session: aiohttp.ClientSession, headers: dict[str, str]) -> tuple[int, int]:
            async with session.post(gateway.endpoint, json={"method": "tools/list"}, headers=headers) as response:
                answer = await response.json() if response.status == 200 else {}
                return response.status, len(answer["result"]["tools"]) if "result" in answer else 0

        per_user = await asyncio.gather(*(work(user) for user in range(100)))
    answers = [answer for answers in per_user for answer in answers]
    assert len(answers) == 5_000
    assert set(answers) == {(200, len(DEMOS) * len(DEMO_TOOLS))}, "status and length of the list"


def test_a_second_gateway_on_the_same_state_directory_is_refused_and_names_the_first(gateway: Gateway) -> None:
    command = Gateway.evaluate_command(gateway.state_directory)
    second = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert second.returncode != 0
    assert re.search(rf"\b{gateway.process.pid}\b", second.stdout + second.stderr), second


def test_a_registered_server_is_still_listed_after_a_restart(tmp_path: Path, endpoints: dict[str, str]) -> None:
    with Gateway(tmp_path / "state") as gateway:
        gateway.register("kept", endpoints["current"])
    with Gateway(tmp_path / "state") as gateway:
        assert set(gateway.servers()) == {*DEMOS, "kept"}
