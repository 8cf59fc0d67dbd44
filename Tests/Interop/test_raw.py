"""The wire of the stateless era, by hand: tasks, and arguments that are repeated in headers."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gateway import Gateway
from processes import DEADLINE
from raw_upstream import Message, RawUpstream, raw_upstream

META = "io.modelcontextprotocol/"
TASKS = META + "tasks"
USER, OTHER = "raw-user", "raw-other"
INNER = "inner-task-1"
TOOLS = [
    {"name": "job", "inputSchema": {"type": "object"}},
    {
        "name": "regional",
        "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
    },
    {
        "name": "broken",
        "inputSchema": {"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}},
    },
]


def answer(method: str, params: Message) -> Message:
    times = {"createdAt": "2026-11-28T10:00:00Z", "lastUpdatedAt": "2026-11-28T10:00:00Z", "ttlMs": 60000}
    match method, params.get("name"):
        case "tools/call", "job":
            return {"resultType": "task", "taskId": INNER, "status": "working", **times}
        case "tools/call", "regional":
            return {"content": [{"type": "text", "text": params["arguments"].get("region", "")}]}
        case "tasks/get", _:
            link = {"type": "resource_link", "uri": "file:///report", "name": "report"}
            return {"taskId": INNER, "status": "completed", "result": {"content": [link]}, **times}
        case "tasks/update" | "tasks/cancel", _:
            return {}
    raise LookupError(method)


@pytest.fixture(scope="module")
def raw(gateway: Gateway) -> Iterator[RawUpstream]:
    with raw_upstream(TOOLS, answer) as upstream:
        gateway.register("raw", upstream.url)
        yield upstream


def ask(
    gateway: Gateway,
    method: str,
    params: Message,
    *,
    user: str = USER,
    name: str | None = None,
    path: str = "/mcp",
    extensions: Message | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    capabilities = {"extensions": extensions} if extensions is not None else {}
    meta = {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": capabilities}
    sent = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, **({"Mcp-Name": name} if name else {})}
    response = httpx2.post(
        gateway.url + path,
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}},
        headers={**gateway.bearer(user), **sent, "Accept": "application/json, text/event-stream", **(headers or {})},
        timeout=DEADLINE,
    )
    return response.status_code, response.json()


# Tasks


def make_task(gateway: Gateway, path: str = "/mcp") -> str:
    tool = "raw__job" if path == "/mcp" else "job"
    status, made = ask(gateway, "tools/call", {"name": tool}, name=tool, path=path, extensions={TASKS: {}})
    assert status == 200, made
    assert made["result"]["resultType"] == "task"
    return made["result"]["taskId"]


@pytest.mark.parametrize("path", ["/mcp", "/servers/raw/mcp"])
def test_a_task_is_asked_after_where_it_was_made(gateway: Gateway, raw: RawUpstream, path: str) -> None:
    task = make_task(gateway, path)
    assert INNER not in task
    status, got = ask(gateway, "tasks/get", {"taskId": task}, name=task, path=path, extensions={TASKS: {}})
    assert status == 200, got
    assert got["result"]["taskId"] == task
    uri = got["result"]["result"]["content"][0]["uri"]
    assert uri == ("mcp.raw+file:///report" if path == "/mcp" else "file:///report")
    for method, more in (("tasks/update", {"inputResponses": {"k": {"action": "accept"}}}), ("tasks/cancel", {})):
        status, done = ask(gateway, method, {"taskId": task, **more}, name=task, path=path, extensions={TASKS: {}})
        assert status == 200, done
        params, headers = raw.of(method)[-1]
        assert params["taskId"] == INNER
        assert headers["Mcp-Name"] == INNER
        assert {key: params[key] for key in more} == more


def test_a_task_is_of_no_use_to_anybody_else_or_anywhere_else(gateway: Gateway, raw: RawUpstream) -> None:
    task = make_task(gateway)
    asked = len(raw.of("tasks/get"))
    for user, path, name in ((OTHER, "/mcp", task), (USER, "/servers/raw/mcp", task), (USER, "/mcp", INNER), (USER, "/mcp", task[:-2] + "AA")):
        status, refused = ask(gateway, "tasks/get", {"taskId": name}, user=user, path=path, name=name, extensions={TASKS: {}})
        assert (status, refused["error"]["code"]) == (200, -32602), refused
    assert len(raw.of("tasks/get")) == asked


def test_a_client_that_did_not_declare_tasks_gets_none(gateway: Gateway, raw: RawUpstream) -> None:
    status, refused = ask(gateway, "tools/call", {"name": "raw__job"}, name="raw__job")
    assert (status, refused["error"]["code"]) == (400, -32021), refused
    assert refused["error"]["data"]["requiredCapabilities"] == {"extensions": {TASKS: {}}}
    params, _ = raw.of("tools/call")[-1]
    assert params["_meta"][META + "clientCapabilities"] == {}


# Streams


def test_who_takes_no_stream_is_told_so_rather_than_kept_waiting(gateway: Gateway, raw: RawUpstream) -> None:
    params = {"notifications": {"toolsListChanged": True}}
    status, refused = ask(gateway, "subscriptions/listen", params, headers={"Accept": "application/json"})
    assert (status, refused["error"]["code"]) == (400, -32600), refused
    assert "text/event-stream" in refused["error"]["message"]


# Arguments in headers


@pytest.mark.parametrize("region", ["eu", "Köln", " edge "])
def test_what_repeats_an_argument_is_checked_and_repeated(gateway: Gateway, raw: RawUpstream, region: str) -> None:
    plain = region.isascii() and region == region.strip()
    header = region if plain else f"=?base64?{base64.b64encode(region.encode()).decode()}?="
    params = {"name": "raw__regional", "arguments": {"region": region}}
    status, done = ask(gateway, "tools/call", params, name="raw__regional", headers={"Mcp-Param-Region": header})
    assert status == 200, done
    assert done["result"]["content"][0]["text"] == region
    _, headers = raw.of("tools/call")[-1]
    assert headers["Mcp-Param-Region"] == header


@pytest.mark.parametrize("headers", [{}, {"Mcp-Param-Region": "us"}, {"Mcp-Param-Region": "=?base64?!!?="}])
def test_a_header_that_says_something_else_is_a_mismatch(
    gateway: Gateway, raw: RawUpstream, headers: dict[str, str]
) -> None:
    asked = len(raw.of("tools/call"))
    params = {"name": "raw__regional", "arguments": {"region": "eu"}}
    status, refused = ask(gateway, "tools/call", params, name="raw__regional", headers=headers)
    assert (status, refused["error"]["code"]) == (400, -32020), refused
    assert len(raw.of("tools/call")) == asked


def test_a_client_of_the_older_era_repeats_nothing_and_its_server_gets_the_header_all_the_same(
    gateway: Gateway, raw: RawUpstream
) -> None:
    params = {"name": "raw__regional", "arguments": {"region": "eu"}}
    response = httpx2.post(
        gateway.endpoint,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={**gateway.bearer(USER), "Accept": "application/json, text/event-stream"},
        timeout=DEADLINE,
    )
    assert response.json()["result"]["content"][0]["text"] == "eu"
    _, headers = raw.of("tools/call")[-1]
    assert headers["Mcp-Param-Region"] == "eu"


def test_a_task_is_no_answer_for_a_client_of_the_older_era_and_its_connection_goes_on(gateway: Gateway, raw: RawUpstream) -> None:
    params = {"name": "raw__job", "arguments": {}}
    response = httpx2.post(
        gateway.endpoint,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={**gateway.bearer(USER), "Accept": "application/json, text/event-stream"},
        timeout=DEADLINE,
    )
    assert (response.status_code, response.json()["error"]["code"]) == (200, -32603)


def test_a_tool_whose_annotation_no_client_could_follow_is_not_shown(gateway: Gateway, raw: RawUpstream) -> None:
    _, listed = ask(gateway, "tools/list", {}, path="/servers/raw/mcp")
    assert [tool["name"] for tool in listed["result"]["tools"]] == ["job", "regional"]


def test_nothing_of_the_callers_travels_but_the_trace(gateway: Gateway, raw: RawUpstream) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = {"traceparent": trace, "Cookie": "c=1", "X-Forwarded-For": "203.0.113.9", "Mcp-Param-Region": "eu"}
    params = {"name": "raw__regional", "arguments": {"region": "eu"}}
    ask(gateway, "tools/call", params, name="raw__regional", headers=sent)
    _, headers = raw.of("tools/call")[-1]
    told = {name.lower(): value for name, value in headers.items()}
    assert told["traceparent"] == trace
    assert not {"cookie", "x-forwarded-for", "authorization"} & told.keys()
