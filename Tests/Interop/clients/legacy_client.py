"""Drives the mcp 1.x client from outside: `legacy_client.py URL TOKEN`, the script on stdin, a transcript on stdout.

The script is a JSON list of steps, `{"do": "list"}` or `{"do": "call", "name": …, "arguments": {…}}`. The transcript is
`{"revision": …, "answers": […]}` with one answer per step: the result as it stands on the wire, or `{"error": {…}}`.
`current_client.converse` does the same with mcp 2.x.
"""

import json
import sys
from datetime import timedelta
from typing import Any

import anyio
import httpx
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import PaginatedRequestParams

PATIENCE = 30  # seconds until a hanging peer becomes an error


async def list_tools(session: ClientSession) -> dict[str, Any]:
    tools: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        tools += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.nextCursor
        if cursor is None:
            return {"tools": tools}


async def answer(session: ClientSession, step: dict[str, Any]) -> dict[str, Any]:
    try:
        if step["do"] == "list":
            return await list_tools(session)
        result = await session.call_tool(step["name"], step["arguments"])
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)
    except McpError as refusal:
        return {"error": refusal.error.model_dump(mode="json", exclude_none=True)}


async def converse(url: str, token: str, script: list[dict[str, Any]]) -> dict[str, Any]:
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as http,
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write, read_timeout_seconds=timedelta(seconds=PATIENCE)) as session,
    ):
        greeting = await session.initialize()
        return {"revision": greeting.protocolVersion, "answers": [await answer(session, step) for step in script]}


if __name__ == "__main__":
    print(json.dumps(anyio.run(converse, sys.argv[1], sys.argv[2], json.load(sys.stdin))))
