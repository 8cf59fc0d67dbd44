"""A client of either era without a library, so that it can do what libraries would not let it."""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from evil_upstream import LEGACY, MODERN

UNBOUNDED = aiohttp.ClientTimeout(total=120)
UNLIMITED = {
    f"MREG_FASTMCP_RATE_LIMIT_{name}_RPM": "0" for name in ("ADMIN", "SERVER_OWNER", "USER", "ANONYMOUS", "GLOBAL")
} | {"MREG_FASTMCP_RATE_LIMIT_TENANT_MULTIPLIER": "1"}
"""What is tested here is not how fast somebody may be."""

ASKABLE = {"elicitation": {"form": {}, "url": {}}}


def call(name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"method": "tools/call", "params": {"name": name, "arguments": arguments or {}}}


def in_era(era: str, request: dict[str, Any], capabilities: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """The request as clients of that era send it, and the headers beside it."""
    body = {"jsonrpc": "2.0", **request}
    if era == "legacy":
        return body, {"MCP-Protocol-Version": LEGACY}
    params = dict(body.get("params", {}))
    params["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        **params.get("_meta", {}),
    }
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": body["method"]}
    if name := params.get("name", params.get("uri")):
        headers["Mcp-Name"] = name
    return {**body, "params": params}, headers


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    messages: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        return self.messages[-1]

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.last, self.last
        error: dict[str, Any] = self.last["error"]
        return error

    @property
    def text(self) -> str:
        assert "result" in self.last, self.last
        text: str = self.last["result"]["content"][0]["text"]
        return text


class RawClient:
    """One user's. Use `client` below."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, era: str) -> None:
        self.http, self.url, self.era = session, url, era
        self.headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }

    async def shake_hands(self, capabilities: dict[str, Any] | None = None, path: str = "/mcp") -> str:
        """A session, which is used from here on."""
        params = {"protocolVersion": LEGACY, "capabilities": capabilities or {}, "clientInfo": {"name": "raw", "version": "1"}}
        answered = await self.post({"id": 0, "method": "initialize", "params": params}, path=path)
        assert answered.status == 200, answered
        self.headers["Mcp-Session-Id"] = answered.headers["Mcp-Session-Id"]
        await self.post({"method": "notifications/initialized"}, path=path)
        return self.headers["Mcp-Session-Id"]

    @asynccontextmanager
    async def opened(
        self, request: dict[str, Any], *, path: str = "/mcp", capabilities: dict[str, Any] | None = None, **headers: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        body, added = in_era(self.era, request, capabilities)
        added |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.url + path, json=body, headers=self.headers | added, timeout=UNBOUNDED) as response:
            yield response

    async def post(
        self, request: dict[str, Any], *, path: str = "/mcp", capabilities: dict[str, Any] | None = None, **headers: str
    ) -> Answered:
        async with self.opened(request, path=path, capabilities=capabilities, **headers) as response:
            return Answered(response.status, dict(response.headers), [message async for _, message in messages(response)])

    async def get(self, *, path: str = "/mcp", **headers: str) -> aiohttp.ClientResponse:
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(self.url + path, headers=self.headers | {"Accept": "text/event-stream"} | added, timeout=UNBOUNDED)


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str | None, dict[str, Any]]]:
    """Whatever comes, each message with the id of its event if it had one."""
    if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
        if body := await response.read():
            yield None, json.loads(body)
        return
    event, data = None, b""
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"id: "):
                event = line[4:].decode()
            elif line.startswith(b"data: "):
                data += line[6:]
            elif not line and data:
                yield event, json.loads(data)
                event, data = None, b""
            elif not line and event:
                yield event, {}
                event = None


@asynccontextmanager
async def client(url: str, token: str, era: str = "modern") -> AsyncIterator[RawClient]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield RawClient(session, url, token, era)


def resident(pid: int) -> int:
    """Bytes of memory."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))


def descriptors(pid: int) -> int:
    """Without those of the record: it has a few more handles while there is much to do, within bounds that are tested elsewhere."""
    return sum("gateway.sqlite" not in file for file in _open_files(pid))


def _open_files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    for number in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"{directory}/{number}")
