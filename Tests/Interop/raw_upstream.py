"""A stateless server (2026-07-28) written without any SDK: what it is asked is kept, what it answers is a function."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Message = dict[str, Any]
Answer = Callable[[str, Message], Message]
SERVER = {"name": "raw", "version": "1"}


@dataclass
class RawUpstream:
    url: str
    asked: list[tuple[str, Message, dict[str, str]]] = field(default_factory=list)

    def of(self, method: str) -> list[tuple[Message, dict[str, str]]]:
        """Parameters and headers of the requests of that method."""
        return [(params, headers) for asked, params, headers in self.asked if asked == method]


@contextmanager
def raw_upstream(tools: list[Message], answer: Answer) -> Iterator[RawUpstream]:
    """`answer` gives the result of a method, or raises `LookupError` for one that there is not."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.reply(405, b"")

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            method, params = message["method"], message.get("params", {})
            upstream.asked.append((method, params, dict(self.headers.items())))
            if "id" not in message:
                self.reply(202, b"")
                return
            try:
                body = {"result": {"resultType": "complete", **self.result(method, params)}}
            except LookupError:
                body = {"error": {"code": -32601, "message": method}}
            self.reply(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}).encode())

        def result(self, method: str, params: Message) -> Message:
            if method == "server/discover":
                capabilities = {"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
                return {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private"}
            if method == "tools/list":
                return {"tools": tools, "ttlMs": 0, "cacheScope": "private"}
            return answer(method, params)

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream = RawUpstream(f"http://127.0.0.1:{server.server_address[1]}/mcp")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()
