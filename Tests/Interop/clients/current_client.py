"""The mcp 2.x client in each of its modes, and `converse`, after which nobody needs to know which SDK spoke."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

PATIENCE = 30  # seconds until a hanging peer becomes an error
LEGACY_PYTHON = Path(sys.prefix).with_name("legacy") / "bin" / "python"
LEGACY_CLIENT = Path(__file__).with_name("legacy_client.py")

Step = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Transcript:
    revision: str
    answers: list[Answer]


@dataclass(frozen=True)
class ClientKind:
    name: str
    mode: str | None  # of mcp 2.x; None is mcp 1.x, out of process
    revision: str  # what it must agree on with a gateway that speaks both eras


CURRENT_CLIENTS = (
    ClientKind("auto", "auto", "2026-07-28"),
    ClientKind("legacy", "legacy", "2025-11-25"),
    ClientKind("pinned", "2026-07-28", "2026-07-28"),
)
CLIENTS = (*CURRENT_CLIENTS, ClientKind("mcp1", None, "2025-11-25"))


def listing() -> Step:
    return {"do": "list"}


def call(name: str, arguments: dict[str, Any] | None = None) -> Step:
    return {"do": "call", "name": name, "arguments": arguments or {}}


@asynccontextmanager
async def connect(url: str, token: str, mode: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, read_timeout_seconds=PATIENCE) as client,
    ):
        yield client


async def converse(kind: ClientKind, url: str, token: str, *script: Step) -> Transcript:
    """Connects as `kind`, performs the script and returns what was agreed and answered (see legacy_client.py)."""
    if kind.mode is None:
        return await converse_out_of_process(url, token, script)
    async with connect(url, token, kind.mode) as client:
        return Transcript(client.protocol_version, [await answer(client, step) for step in script])


async def converse_out_of_process(url: str, token: str, script: tuple[Step, ...]) -> Transcript:
    with anyio.fail_after(2 * PATIENCE):
        run = await anyio.run_process(
            [str(LEGACY_PYTHON), str(LEGACY_CLIENT), url, token], input=json.dumps(script).encode(), check=False
        )
    assert run.returncode == 0, f"the mcp 1.x client gave up:\n{run.stderr.decode()}"
    return Transcript(**json.loads(run.stdout))


async def answer(client: Client, step: Step) -> Answer:
    try:
        if step["do"] == "list":
            return await list_tools(client)
        result = await client.call_tool(step["name"], step["arguments"])
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)
    except MCPError as refusal:
        return {"error": refusal.error.model_dump(mode="json", exclude_none=True)}


async def list_tools(client: Client) -> Answer:
    tools: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return {"tools": tools}
