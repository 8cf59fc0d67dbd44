"""Drives the fastmcp 4 client from outside: `fastmcp_client.py URL TOKEN`, the script on stdin (see script.py: `list` and `call`), a
transcript on stdout, as legacy_client.py does. The client finds out for itself which era the server speaks."""

import json
import sys
from typing import Any

import anyio
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp import MCPError
from script import PATIENCE, Answer, Step


async def answer(client: Client[Any], step: Step) -> Answer:
    try:
        if step["do"] == "list":
            return {"tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in await client.list_tools()]}
        result = await client.call_tool_mcp(step["name"], step["arguments"])
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)
    except MCPError as refusal:
        return {"error": refusal.error.model_dump(mode="json", exclude_none=True)}


async def converse(url: str, token: str, script: list[Step]) -> dict[str, Any]:
    async with Client(StreamableHttpTransport(url, auth=token), timeout=PATIENCE) as client:
        return {"revision": client.session.protocol_version, "answers": [await answer(client, step) for step in script]}


if __name__ == "__main__":
    print(json.dumps(anyio.run(converse, sys.argv[1], sys.argv[2], json.load(sys.stdin))))
