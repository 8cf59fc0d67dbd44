"""What the three rigs share: a gateway to start and kill, and callers that note every answer they saw."""

import atexit
import json
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STARTS_WITHIN = 60.0  # seconds
LIMITS = ("ADMIN", "SERVER_OWNER", "USER", "ANONYMOUS", "GLOBAL")


def environment(durability: str | None = None, **more: str) -> dict[str, str]:
    """This process's environment, without limits on the number of calls."""
    result = {name: value for name, value in os.environ.items() if not name.startswith(("MREG_", "DB_"))}
    result |= {f"MREG_FASTMCP_RATE_LIMIT_{name}_RPM": "0" for name in LIMITS}
    if durability:
        result["MREG_AUDIT_DURABILITY"] = durability
    return result | more


def compiled(source: str, folder: Path) -> str:
    """The path of a shim made from a C file beside this one."""
    library = folder / (Path(source).stem + ".so")
    command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-pthread", "-o", str(library), str(HERE / source)]
    subprocess.run(command, check=True)
    return str(library)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class DidNotStart(Exception):
    pass


class Gateway:
    """`mreg evaluate`, or `mreg serve` on a port of its own, in a process group of its own."""

    def __init__(self, mreg: str, state: Path, env: dict[str, str], serve: bool = False, port: int = 0) -> None:
        self.mreg, self.state, self.env, self.serve = mreg, state, env, serve
        self.started = time.monotonic()
        if serve:
            self.env = env | {"MREG_PORT": str(port)}
            command = [mreg, "serve", "--state-dir", str(state)]
        else:
            command = [mreg, "evaluate", "--port", "0", "--state-dir", str(state)]
        self.process = subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        )
        atexit.register(self._end_if_left)
        self.output: list[str] = []
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.address = ("127.0.0.1", 0)
        self.start_seconds = 0.0

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if len(self.output) < 400:
                self.output.append(line)
            at = line.find("listening on http")
            if at >= 0:
                self._said.put(line[at + len("listening on "):].split()[0].strip("\"'/"))
        self._said.put(None)

    def wait(self) -> "Gateway":
        """Returns when it says that it listens."""
        try:
            url = self._said.get(timeout=STARTS_WITHIN)
        except queue.Empty:
            url = None
        if url is None:
            self.kill()
            raise DidNotStart("".join(self.output[-20:]) or "it said nothing")
        self.start_seconds = time.monotonic() - self.started
        self.address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        atexit.unregister(self._end_if_left)
        self._end_children()

    def _end_if_left(self) -> None:
        if self.process.poll() is None:
            self.kill()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        self.terminate()
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        atexit.unregister(self._end_if_left)
        self._end_children()
        return code

    def _end_children(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def command(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Another command of the same program, on the same state directory."""
        env = (env or self.env) | {"MREG_STATE_DIR": str(self.state)}
        return subprocess.run([self.mreg, *arguments], env=env, capture_output=True, text=True, timeout=60)

    def token(self, user: str) -> str:
        if self.serve:
            return self.command("token", user, "--role", "user").stdout.strip().splitlines()[-1]
        status, _, body = Connection(self.address).request("POST", "/oauth/login", {"user_id": user})
        if status != 200:
            raise DidNotStart(f"no token: {status} {body[:200]!r}")
        return json.loads(body)["access_token"]


def request_id(headers: bytes) -> int:
    """The X-Request-Id of an answer as the database has it: signed, 64 bits."""
    at = headers.lower().index(b"\r\nx-request-id:")
    number = int(headers[at + 15:headers.find(b"\r\n", at + 2)], 16)
    return number - 2**64 if number >= 2**63 else number


class Connection:
    """One kept-alive HTTP connection; far cheaper than http.client."""

    def __init__(self, address: tuple[str, int], token: str | None = None, timeout: float = 20) -> None:
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f"Host: localhost:{address[1]}\r\nAccept: application/json, text/event-stream\r\n"
        if token:
            self.head += f"Authorization: Bearer {token}\r\n"

    def close(self) -> None:
        self.socket.close()

    def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes, bytes]:
        """Status, head and body; the moment it returns is the moment the answer was seen."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self.head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.socket.sendall(head.encode() + data)
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._receive()
        headers, rest = got[:end + 2], got[end + 4:]
        lower = headers.lower()
        status = int(headers[9:12])
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            length = int(lower[at + 17:lower.find(b"\r\n", at + 2)])
            while len(rest) < length:
                rest += self._receive()
        elif b"chunked" in lower:
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self._receive()
        elif status not in (204, 304):
            raise OSError("an answer without a length")
        return status, headers, rest

    def _receive(self) -> bytes:
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionResetError("closed")
        return got


class Callers:
    """Threads that call demo__echo one call after the other, until told to stop or the gateway is gone."""

    def __init__(self, address: tuple[str, int], tokens: list[str], threads: int, limit: int = 0) -> None:
        self.answers: list[tuple[int, int]] = []  # (monotonic nanoseconds, request id)
        self.statuses: dict[int, int] = {}  # of what is no acknowledged call; 0 is a JSON-RPC error
        self._stopping = threading.Event()
        self._limit = limit
        self._threads = [
            threading.Thread(target=self._run, args=(address, tokens[number % len(tokens)], number), daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, address: tuple[str, int], token: str, number: int) -> None:
        count = 0
        try:
            connection = Connection(address, token)
            while not self._stopping.is_set() and not (self._limit and len(self.answers) >= self._limit):
                count += 1
                arguments = {"text": f"{number}-{count}"}
                body = {"jsonrpc": "2.0", "id": count, "method": "tools/call", "params": {"name": "demo__echo", "arguments": arguments}}
                status, headers, answer = connection.request("POST", "/mcp", body)
                # Refusals are not acknowledged calls: many of them are put on record as one sum.
                if status == 200 and b'"error"' in answer:
                    status = 0
                if status == 200:
                    self.answers.append((time.monotonic_ns(), request_id(headers)))
                else:
                    self.statuses[status] = self.statuses.get(status, 0) + 1
            connection.close()
        except (OSError, ValueError):
            return

    def join(self, stop: bool = False) -> None:
        if stop:
            self._stopping.set()
        for thread in self._threads:
            thread.join(60)


class Folder:
    """A temporary folder, in memory when that is wanted and there is room."""

    def __init__(self, in_memory: bool = False) -> None:
        parent = "/dev/shm" if in_memory and os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="mreg-crash-", dir=parent, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name).resolve()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
