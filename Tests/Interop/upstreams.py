"""The upstreams of the matrix: what each offers, and one call with the answer it must give."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from clients.current_client import LEGACY_PYTHON
from gateway import Gateway
from processes import DEADLINE, ListeningProcess

MODERN, LEGACY = "2026-07-28", "2025-11-25"
CURRENT_BIN, LEGACY_BIN = Path(sys.prefix) / "bin", LEGACY_PYTHON.parent
SERVERS = Path(__file__).with_name("servers")

DEMO_TOOLS = frozenset({"echo", "clock", "slow", "flaky", "ask"})
HTTP_TOOLS = frozenset({"add", "greet", "weather", "whoami", "steps", "fail"})
TIME_TOOLS = frozenset({"get_current_time", "convert_time"})
GIT_TOOLS = frozenset(
    {
        "git_status",
        "git_diff_unstaged",
        "git_diff_staged",
        "git_diff",
        "git_commit",
        "git_add",
        "git_reset",
        "git_log",
        "git_create_branch",
        "git_checkout",
        "git_show",
        "git_branch",
    }
)

DEMOS = ("demo", "demo-http")
HTTP_UPSTREAMS = ("current", "current-sl", "legacy", "legacy-sl")
PACKAGED_UPSTREAMS = ("time", "git", "fetch")
STDIO_UPSTREAMS = (*PACKAGED_UPSTREAMS, "time-2025", "git-2025")
ALIASES = (*DEMOS, *HTTP_UPSTREAMS, *STDIO_UPSTREAMS)

COMMIT_MESSAGE = "Erste Fassung – first commit of the interop suite"
PAGE_HEADING, PAGE_TEXT = "Herbsttag", "Herr: es ist Zeit. Der Sommer war sehr groß."
PAGE = f"<!DOCTYPE html><html><head><title>Herbst</title></head><body><h1>{PAGE_HEADING}</h1><p>{PAGE_TEXT}</p></body></html>"


@dataclass(frozen=True)
class Upstream:
    tools: frozenset[str]
    tool: str
    arguments: dict[str, Any]
    answer: str  # stands in the text of the answer
    revision: str | None = None  # what the gateway must agree on with it; None where the suite does not say


def describe(repository: Path, page: str) -> dict[str, Upstream]:
    echo = Upstream(DEMO_TOOLS, "echo", {"text": 'grüße \\"🎉" </br>'}, 'grüße \\"🎉" </br>')
    noon = {"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"}
    log = {"repo_path": str(repository)}
    return {
        "demo": echo,
        "demo-http": echo,
        "current": Upstream(HTTP_TOOLS, "whoami", {}, "current stateful", MODERN),
        "current-sl": Upstream(HTTP_TOOLS, "whoami", {}, "current stateless", MODERN),
        "legacy": Upstream(HTTP_TOOLS, "whoami", {}, "legacy stateful", LEGACY),
        "legacy-sl": Upstream(HTTP_TOOLS, "whoami", {}, "legacy stateless", LEGACY),
        "time": Upstream(TIME_TOOLS, "convert_time", noon, "T08:30:00+05:30", MODERN),
        "git": Upstream(GIT_TOOLS, "git_log", log, COMMIT_MESSAGE, MODERN),
        "fetch": Upstream(frozenset({"fetch"}), "fetch", {"url": page}, PAGE_TEXT, MODERN),
        "time-2025": Upstream(TIME_TOOLS, "convert_time", noon, "T08:30:00+05:30", LEGACY),
        "git-2025": Upstream(GIT_TOOLS, "git_log", log, COMMIT_MESSAGE, LEGACY),
    }


def create_repository(path: Path) -> None:
    git = ["git", "-C", str(path), "-c", "user.name=Interop", "-c", "user.email=interop@localhost"]
    path.mkdir()
    subprocess.run([*git, "init", "--quiet"], check=True)
    (path / "note.txt").write_text("interop\n")
    subprocess.run([*git, "add", "note.txt"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", COMMIT_MESSAGE], check=True)


class PageHandler(BaseHTTPRequestHandler):
    timeout = DEADLINE

    def do_GET(self) -> None:
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def page_host() -> Iterator[str]:
    """A page on a loopback host; yields its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), PageHandler) as host:
        thread = threading.Thread(target=host.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{host.server_port}/herbst"
        host.shutdown()
        thread.join(DEADLINE)


@dataclass(frozen=True)
class EverythingServer:
    """A server that offers everything MCP has (servers/everything.py)."""

    title: str
    alias: str
    # Of a process for each user, only that user sees what changed in it; lists are those of one that all share.
    shared: str

    @property
    def name(self) -> str:
        return self.title


EVERYTHING = (
    EverythingServer("current HTTP", "ec-http", "ec-http"),
    EverythingServer("legacy HTTP", "el-http", "el-http"),
    EverythingServer("current stdio", "ec-stdio", "ec-shared"),
    EverythingServer("legacy stdio", "el-stdio", "el-shared"),
)
# A tool that comes later is used at once, and nobody is held up by how much one user may ask.
OPEN_HANDED = {"MREG_TOOL_CHANGE_POLICY": "report", "MREG_FASTMCP_RATE_LIMIT_USER_RPM": "0"}


@contextmanager
def everything_behind(gateway: Gateway) -> Iterator[Gateway]:
    """The gateway, before the servers that offer everything."""
    current = [sys.executable, str(SERVERS / "everything_current.py")]
    legacy = [str(LEGACY_PYTHON), str(SERVERS / "everything_legacy.py")]
    with ExitStack() as stack:
        for command, over_http, over_stdio in zip((current, legacy), EVERYTHING[:2], EVERYTHING[2:], strict=True):
            process = ListeningProcess(command)
            stack.callback(process.end)
            gateway.register(over_http.alias, process.wait_for_url(), title=over_http.title)
            gateway.add_stdio(over_stdio.alias, [*command, "--stdio"], "--title", over_stdio.title)
            gateway.add_stdio(over_stdio.shared, [*command, "--stdio"], "--shared", "--title", over_stdio.title)
        yield gateway


@contextmanager
def http_servers() -> Iterator[dict[str, str]]:
    """The four HTTP upstreams, started side by side; yields their endpoints by alias."""
    current = [sys.executable, str(SERVERS / "current_http.py")]
    legacy = [str(LEGACY_PYTHON), str(SERVERS / "legacy_http.py")]
    commands = (current, [*current, "--stateless"], legacy, [*legacy, "--stateless"])
    with ExitStack() as stack:
        processes: dict[str, ListeningProcess] = {}
        for alias, command in zip(HTTP_UPSTREAMS, commands, strict=True):
            processes[alias] = ListeningProcess(command)
            stack.callback(processes[alias].end)
        yield {alias: process.wait_for_url() for alias, process in processes.items()}


def register_all(gateway: Gateway, endpoints: dict[str, str], repository: Path) -> None:
    """`time-2025` stays one process per caller, as is the default; the others are shared to keep the suite quick."""
    for alias, endpoint in endpoints.items():
        gateway.register(alias, endpoint)
    of_repository = ["--repository", str(repository)]
    gateway.add_stdio("time", [str(CURRENT_BIN / "mcp-server-time")], "--shared", "--title", "Time")
    gateway.add_stdio("git", [str(CURRENT_BIN / "mcp-server-git"), *of_repository], "--shared")
    # Where it finds Node.js it installs packages for it, at its first page; without a path it finds none.
    fetch = [str(CURRENT_BIN / "mcp-server-fetch"), "--ignore-robots-txt", "--allow-private-ips"]
    gateway.add_stdio("fetch", fetch, "--shared", "--env", "PATH=/nonexistent")
    gateway.add_stdio("time-2025", [str(LEGACY_BIN / "mcp-server-time")], "--env", "TZ=Asia/Kolkata")
    gateway.add_stdio("git-2025", [str(LEGACY_BIN / "mcp-server-git"), *of_repository], "--shared", "--era", "legacy")
