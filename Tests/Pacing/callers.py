"""What the two rigs share: the operator's socket, callers on kept-alive connections, and a way to make an old token."""

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Crash"))

from rig import DidNotStart, Folder, Gateway, environment, percentile  # noqa: E402, F401

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
# Its name, and so its tokens, are the same on whichever port it listens.
NAME = "localhost:8001"


def free_port() -> int:
    """A port that stays the same over restarts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server(Gateway):
    """`mreg serve` with a name and, if it is given one, a port that stay over restarts."""

    def __init__(self, mreg: str, state: Path, env: dict[str, str], port: int = 0) -> None:
        self.port = port or free_port()
        super().__init__(mreg, state, env | {"MREG_PUBLIC_URL": f"http://{NAME}"}, True, self.port)

    def wait(self) -> "Server":
        super().wait()
        self.address = ("127.0.0.1", self.port)
        self.control = Control(self.state)
        # It may say that it listens a moment before the operator's socket does.
        end = time.monotonic() + 5
        while True:
            try:
                self.control.ask("GET", "/blocked-addresses")
                return self
            except OSError as error:
                if time.monotonic() > end:
                    raise DidNotStart(f"no control socket: {error}") from error
                time.sleep(0.01)

    def again(self) -> "Server":
        """Killed, and started again with the same state."""
        self.kill()
        return Server(self.mreg, self.state, self.env, self.port).wait()


def boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ping(token: str | None = None, forwarded: str | None = None, method: str = "POST", path: str = "/mcp", body: bytes = PING, **more: str) -> bytes:
    """The bytes of a request; a cheap call if nothing else is said. More header fields by name, with _ for -."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {NAME}", "Accept: application/json, text/event-stream"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if forwarded is not None:
        lines += [f"X-Forwarded-For: {value}" for value in forwarded.split("|")]
    fields = {"Content_Type": "application/json"} | more
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body or b"{}")

    @property
    def data(self) -> dict:
        """What a JSON-RPC error tells beside its sentence."""
        return self.json.get("error", {}).get("data", {})


class Wire:
    """One kept-alive connection."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = 20) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> Answer:
        self.socket.sendall(request)
        return self.answer()

    def answer(self) -> Answer:
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.buffer = self.buffer[end + 4:]
        length = int(fields.get("content-length", 0))
        while len(self.buffer) < length:
            self._receive()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(int(lines[0].split()[1]), fields, body)

    def _receive(self) -> None:
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionResetError("closed")
        self.buffer += got


class Line:
    """One kept-alive connection of asyncio; looks at nothing but the status."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, address: tuple[str, int]) -> "Line":
        reader, writer = await asyncio.open_connection(*address)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, writer)

    async def ask(self, request: bytes) -> int:
        self.writer.write(request)
        return await self.status()

    async def status(self) -> int:
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"\r\ncontent-length:")
        if at >= 0 and (length := int(head[at + 17:head.find(b"\r\n", at + 2)])):
            await self.reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        self.writer.close()


async def _flood(address: tuple[str, int], requests: Iterable[bytes], connections: int, window: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    source = iter(requests)

    async def send() -> None:
        line = await Line.to(address)
        while batch := [request for _, request in zip(range(window), source)]:
            line.writer.write(b"".join(batch))
            for _ in batch:
                statuses[await line.status()] += 1
        line.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    return statuses


def flood(address: tuple[str, int], requests: Iterable[bytes], connections: int = 8, window: int = 16) -> Counter[int]:
    """Sends all of them as fast as they are answered, `window` at a time on each connection; counts the statuses."""
    return asyncio.run(_flood(address, requests, connections, window))


class Control:
    """The operator's socket in the state directory."""

    def __init__(self, state: Path) -> None:
        self.path = str(state / "control.sock")

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        with Wire(self.path, timeout=60) as wire:
            return wire.ask(ping(method=method, path=path, body=data))

    def get(self, path: str) -> dict:
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise DidNotStart(f"GET {path}: {answer.status} {answer.body[:200]!r}")
        return answer.json

    def post(self, path: str, **body: object) -> dict:
        answer = self.ask("POST", path, body)
        if answer.status not in (200, 201):
            raise DidNotStart(f"POST {path}: {answer.status} {answer.body[:200]!r}")
        return answer.json

    def token(self, user: str, tenant: str = "default", role: str = "user") -> str:
        return self.post("/tokens", user=user, role=role, tenant=tenant)["access_token"]

    def blocked(self) -> dict[str, dict]:
        return {entry["address"]: entry for entry in self.get("/blocked-addresses")["blocked"]}


# What a token says is signed over P-256; the arithmetic is short, and nothing secret depends on its timing here.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296, 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
_Point = tuple[int, int] | None


def _add(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % _P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, _P) if one == other else (y2 - y1) * pow(x2 - x1, -1, _P)
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P


def _times(factor: int) -> _Point:
    result: _Point = None
    point: _Point = _G
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result


def expired(token: str, state: Path) -> str:
    """The same token, issued two hours ago: signed with the gateway's own key."""
    for file in (state / "keys").rglob("*"):
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
        if not any("PRIVATE KEY" in line for line in lines):
            continue
        der = base64.b64decode("".join(line for line in lines if "-----" not in line))
        at = der.find(b"\x02\x01\x01\x04\x20")
        if at >= 0:
            key = int.from_bytes(der[at + 5:at + 37], "big")
            break
    else:
        raise DidNotStart("no signing key in the state directory")

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    header, claims, _ = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    content["iat"] -= 7200
    content["exp"] -= 7200
    signed = f"{header}.{encoded(json.dumps(content).encode())}"
    digest = int.from_bytes(hashlib.sha256(signed.encode()).digest(), "big")
    nonce = secrets.randbelow(_N - 1) + 1
    point = _times(nonce)
    assert point is not None
    r = point[0] % _N
    s = pow(nonce, -1, _N) * (digest + r * key) % _N
    return f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
