"""One gateway, one set of upstreams for the whole session, and the table of what was negotiated at its end."""

from collections.abc import Iterator

import pytest

from clients.current_client import CLIENTS
from gateway import Gateway
from upstreams import ALIASES, Upstream, create_repository, describe, http_servers, register_all

Cells = dict[tuple[str, str], str]
CELLS = pytest.StashKey[Cells]()
GATEWAY_OUTPUT = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway") / "state") as running:
        pytestconfig.stash[GATEWAY_OUTPUT] = running.process.output
        yield running


@pytest.fixture(scope="session")
def endpoints() -> Iterator[dict[str, str]]:
    with http_servers() as running:
        yield running


@pytest.fixture(scope="session")
def upstreams(
    gateway: Gateway, endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Upstream]:
    repository = tmp_path_factory.mktemp("git") / "repository"
    create_repository(repository)
    register_all(gateway, endpoints, repository)
    return describe(repository)


@pytest.fixture(scope="session")
def cells(pytestconfig: pytest.Config) -> Cells:
    return pytestconfig.stash.setdefault(CELLS, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    failed = terminalreporter.stats.get("failed") or terminalreporter.stats.get("error")
    if failed and (output := config.stash.get(GATEWAY_OUTPUT, [])):
        terminalreporter.section("the last lines of the gateway")
        terminalreporter.write("".join(output[-40:]))
    if cells := config.stash.get(CELLS, {}):
        terminalreporter.section("negotiated revisions: client with the gateway / gateway with the upstream")
        rows = [["", *(client.name for client in CLIENTS)]]
        rows += [[alias, *(cells.get((alias, client.name), "–") for client in CLIENTS)] for alias in ALIASES]
        for row in rows:
            terminalreporter.write_line("".join(f"{column:<25}" for column in row).rstrip())
