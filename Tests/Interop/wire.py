"""MCP as it stands on the wire, without an SDK in between; each message is checked against its revision's own models."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp_types import jsonrpc
from mcp_types.methods import SERVER_RESULTS, parse_server_notification, parse_server_request, validate_server_result
from pydantic import TypeAdapter

from processes import DEADLINE

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
EVERY_CAPABILITY: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
ENVELOPES: TypeAdapter[Any] = TypeAdapter(jsonrpc.JSONRPCMessage)
MODERN_ONLY = {"resultType", "ttlMs", "cacheScope", "inputRequests", "requestState"}
Message = dict[str, Any]


@dataclass(frozen=True)
class Event:
    id: str | None
    message: Message | None  # nothing in the event that a stream begins with
    retry: int | None = None  # milliseconds


def events(response: httpx2.Response) -> Iterator[Event]:
    """The events of a stream, as they come, until its time is over; comments are passed over."""
    id_, retry, data, is_event = None, None, "", False
    end = time.monotonic() + DEADLINE
    for line in response.iter_lines():
        assert time.monotonic() < end, "the stream goes on, and does not say what is waited for"
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "id":
                id_, is_event = value, True
            case "retry":
                retry = int(value)
            case "data":
                data, is_event = data + value, True
            case "" if not line and is_event:
                yield Event(id_, json.loads(data) if data else None, retry)
                id_, retry, data, is_event = None, None, "", False


def check(message: Message, revision: str, method: str | None = None) -> None:
    """Fails on what the revision does not have.

    - `method`: of the request it answers, if it is an answer.
    """
    ENVELOPES.validate_python(message)
    if "result" in message:
        assert method is not None
        validate_server_result(method, revision, message["result"])
        if revision == MODERN:
            assert message["result"]["resultType"] in ("complete", "input_required")
            assert message["result"]["_meta"][f"{META}serverInfo"]["name"]
        else:
            assert not MODERN_ONLY & set(message["result"]), message
            assert not [key for key in message["result"].get("_meta", {}) if key.startswith(META)], message
    elif "error" in message:
        code = message["error"]["code"]
        forbidden = (-32002, -32042) if revision == MODERN else range(-32099, -32019)
        assert code not in forbidden, message
    elif "id" in message:
        assert revision != MODERN, "revision 2026-07-28 has no requests of servers"
        parse_server_request(message["method"], revision, message.get("params"))
    else:
        parse_server_notification(message["method"], revision, message.get("params"))


@dataclass
class Exchange:
    """What came of one request: all messages, the answer last."""

    status: int
    headers: httpx2.Headers
    messages: list[Message]

    @property
    def answer(self) -> Message:
        return self.messages[-1]

    @property
    def result(self) -> Message:
        assert "result" in self.answer, self.answer
        result: Message = self.answer["result"]
        return result

    @property
    def error(self) -> Message:
        assert "error" in self.answer, self.answer
        error: Message = self.answer["error"]
        return error


@dataclass
class Wire:
    """One user's conversation with one endpoint, in one era."""

    url: str
    token: str
    revision: str = MODERN
    capabilities: Message = field(default_factory=dict)
    session: str | None = None
    ids: Iterator[int] = field(default_factory=itertools.count)
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=DEADLINE))

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": self.revision,
        }
        return headers | ({"Mcp-Session-Id": self.session} if self.session else {})

    def request(self, method: str, params: Message | None = None, meta: Message | None = None, id_: Any = None) -> tuple[Message, dict[str, str]]:
        """A request's body and headers."""
        params, headers, meta = dict(params or {}), self.headers, dict(meta or {})
        if self.revision == MODERN:
            meta |= {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": self.capabilities}
            headers["Mcp-Method"] = method
            if method in NAMED:
                headers["Mcp-Name"] = params[NAMED[method]]
        if meta:
            params["_meta"] = meta
        return {"jsonrpc": "2.0", "id": next(self.ids) if id_ is None else id_, "method": method, "params": params}, headers

    @contextmanager
    def stream(self, method: str, params: Message | None = None, meta: Message | None = None, id_: Any = None) -> Iterator[httpx2.Response]:
        body, headers = self.request(method, params, meta, id_)
        with self.http.stream("POST", self.url, json=body, headers=headers) as response:
            yield response

    def send(self, method: str, params: Message | None = None, meta: Message | None = None, id_: Any = None) -> Exchange:
        """Sends a request and reads to the end, answering what is asked on the way."""
        with self.stream(method, params, meta, id_) as response:
            messages: list[Message] = []
            if response.headers["Content-Type"].startswith("text/event-stream"):
                for event in events(response):
                    if event.message is None:
                        continue
                    messages.append(event.message)
                    if "method" in event.message and "id" in event.message:
                        self.post({"jsonrpc": "2.0", "id": event.message["id"], "result": answer_to(event.message)})
            else:
                messages.append(json.loads(response.read()))
        for message in messages:
            check(message, self.revision, method if (method, self.revision) in SERVER_RESULTS else None)
        return Exchange(response.status_code, response.headers, messages)

    def call(self, tool: str, meta: Message | None = None, /, **arguments: Any) -> Exchange:
        return self.send("tools/call", {"name": tool, "arguments": arguments}, meta)

    def post(self, body: Message) -> httpx2.Response:
        """Posts what has no answer."""
        return self.http.post(self.url, json=body, headers=self.headers)

    def notify(self, method: str, params: Message | None = None) -> httpx2.Response:
        return self.post({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    @contextmanager
    def listen(self, last: str | None = None) -> Iterator[httpx2.Response]:
        """A session's own stream, or where one broke off."""
        headers = self.headers | {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self.http.stream("GET", self.url, headers=headers) as response:
            yield response

    def close(self) -> httpx2.Response:
        return self.http.delete(self.url, headers=self.headers)


def answer_to(question: Message) -> Message:
    """What somebody answers to whatever may be asked."""
    match question["method"]:
        case "elicitation/create":
            is_form = question["params"].get("mode", "form") == "form"
            return {"action": "accept", "content": {"name": "Zoë"}} if is_form else {"action": "accept"}
        case "sampling/createMessage":
            return {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "a model"}
        case "roots/list":
            return {"roots": [{"uri": "file:///home/zoe", "name": "home"}]}
    return {}


def modern(url: str, token: str, capabilities: Message | None = None) -> Wire:
    return Wire(url, token, MODERN, EVERY_CAPABILITY if capabilities is None else capabilities)


def legacy(url: str, token: str, capabilities: Message | None = None, revision: str = LEGACY) -> Wire:
    """A conversation that has shaken hands."""
    wire = Wire(url, token, revision, EVERY_CAPABILITY if capabilities is None else capabilities)
    client = {"name": "wire", "version": "1"}
    greeting = wire.send("initialize", {"protocolVersion": revision, "capabilities": wire.capabilities, "clientInfo": client})
    assert greeting.status == 200
    assert greeting.result["protocolVersion"] == revision
    wire.session = greeting.headers["Mcp-Session-Id"]
    assert wire.notify("notifications/initialized").status_code == 202
    return wire
