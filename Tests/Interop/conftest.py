"""One gateway, one set of upstreams for the whole session, and the table of what was negotiated at its end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clients.current_client import CLIENTS, FASTMCP
from evil_upstream import EvilUpstream
from gateway import Gateway
from issuers import ISSUERS, Issuer, free_port
from metadata_host import MetadataHost, metadata_host
from oauth import ALLOWED_NETWORKS, add_demo_server, callback_at, fake_entra, serve_command, settings_behind
from upstreams import ALIASES, OPEN_HANDED, Upstream, create_repository, describe, everything_behind, http_servers, page_host, register_all

Cells = dict[tuple[str, str], str]
CELLS = pytest.StashKey[Cells]()
GATEWAY_OUTPUT = pytest.StashKey[dict[str, list[str]]]()
Behind = Callable[[str], tuple[Gateway, Issuer]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway") / "state") as running:
        pytestconfig.stash.setdefault(GATEWAY_OUTPUT, {})["the upstreams"] = running.process.output
        yield running


@pytest.fixture(scope="module")
def evil() -> Iterator[EvilUpstream]:
    """Each module has its own, with what only its tests were seen to do."""
    with EvilUpstream() as running:
        yield running


@pytest.fixture(scope="session")
def endpoints() -> Iterator[dict[str, str]]:
    with http_servers() as running:
        yield running


@pytest.fixture(scope="session")
def upstreams(
    gateway: Gateway, endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Upstream]]:
    repository = tmp_path_factory.mktemp("git") / "repository"
    create_repository(repository)
    register_all(gateway, endpoints, repository)
    with page_host() as page:
        yield describe(repository, page)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Gateway]:
    """A gateway before the servers that offer everything."""
    state = tmp_path_factory.mktemp("everything") / "state"
    with Gateway(state, environment=OPEN_HANDED) as gateway, everything_behind(gateway):
        pytestconfig.stash.setdefault(GATEWAY_OUTPUT, {})["everything"] = gateway.process.output
        yield gateway


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataHost]:
    with metadata_host(tmp_path_factory.mktemp("documents") / "host") as running:
        yield running


@pytest.fixture(scope="session")
def behind(
    tmp_path_factory: pytest.TempPathFactory, documents: MetadataHost, pytestconfig: pytest.Config
) -> Iterator[Behind]:
    """A gateway behind which there is this issuer, and the issuer; each is started when it is first asked for."""
    started: dict[str, tuple[Gateway, Issuer]] = {}
    with ExitStack() as stack:

        def start(name: str) -> tuple[Gateway, Issuer]:
            if name not in started:
                started[name] = start_behind(stack, name, tmp_path_factory.mktemp(name), documents)
                output = started[name][0].process.output
                pytestconfig.stash.setdefault(GATEWAY_OUTPUT, {})[name] = output
            return started[name]

        yield start


def start_behind(stack: ExitStack, name: str, directory: Path, documents: MetadataHost) -> tuple[Gateway, Issuer]:
    state = directory / "state"
    if name == "entra":
        command = documents.trusted_by(Gateway.evaluate_command(state))
        return stack.enter_context(Gateway(state, command, ALLOWED_NETWORKS)), fake_entra()
    port = free_port()
    issuer = stack.enter_context(ISSUERS[name](callback_at(port), directory / "issuer"))
    gateway = stack.enter_context(Gateway(state, serve_command(state), settings_behind(issuer, port)))
    add_demo_server(gateway)
    return gateway, issuer


@pytest.fixture(scope="session")
def cells(pytestconfig: pytest.Config) -> Cells:
    return pytestconfig.stash.setdefault(CELLS, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    failed = terminalreporter.stats.get("failed") or terminalreporter.stats.get("error")
    for name, output in config.stash.get(GATEWAY_OUTPUT, {}).items() if failed else ():
        terminalreporter.section(f"the last lines of the gateway of {name}")
        terminalreporter.write("".join(output[-20:]))
    if cells := config.stash.get(CELLS, {}):
        terminalreporter.section("negotiated revisions: client with the gateway / gateway with the upstream")
        clients = (*CLIENTS, FASTMCP)
        rows = [["", *(client.name for client in clients)]]
        rows += [[alias, *(cells.get((alias, client.name), "–") for client in clients)] for alias in ALIASES]
        for row in rows:
            terminalreporter.write_line("".join(f"{column:<25}" for column in row).rstrip())
