"""One gateway, driven as an operator and an administrator would."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from processes import DEADLINE, ListeningProcess

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
MREG = str(Path(os.environ.get("MREG", REPOSITORY_ROOT / ".build/debug/mreg")).absolute())


class Gateway:
    """`mreg evaluate`, or another command line. Use as a context manager; leaving it ends the gateway, which must then
    exit with 0.

    `environment` is added to that of the tests.
    """

    def __init__(
        self, state_directory: Path, command: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.state_directory = state_directory
        self.process = ListeningProcess(
            command or self.evaluate_command(state_directory), environment={**os.environ, **(environment or {})}
        )
        self.url = self.process.wait_for_url().rstrip("/")
        self._tokens: dict[str, str] = {}

    @staticmethod
    def evaluate_command(state_directory: Path, port: int = 0) -> list[str]:
        return [MREG, "evaluate", "--state-dir", str(state_directory), "--port", str(port)]

    @property
    def endpoint(self) -> str:
        return f"{self.url}/mcp"

    @property
    def registry(self) -> str:
        return f"{self.url}/api/v1/servers"

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        code = self.process.end()
        assert code == 0, f"the gateway left with {code}:\n{''.join(self.process.output)}"

    def token(self, user: str) -> str:
        if user not in self._tokens:
            response = httpx2.post(f"{self.url}/oauth/login", json={"user_id": user}, timeout=DEADLINE)
            assert response.status_code == 200, response.text
            self._tokens[user] = response.json()["access_token"]
        return self._tokens[user]

    def bearer(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user)}"}

    def endpoint_of(self, alias: str) -> str:
        """Where one server is found by itself, under its own names."""
        return f"{self.url}/servers/{alias}/mcp"

    def register(self, alias: str, endpoint: str, title: str = "", era: str = "auto") -> None:
        """Registers an HTTP upstream through the API."""
        record = {"alias": alias, "title": title or alias, "transport": "http", "endpoint": endpoint, "era": era, "tags": []}
        response = httpx2.post(self.registry, json=record, headers=self.bearer("admin"), timeout=DEADLINE)
        assert response.status_code == 201, response.text

    def change(self, alias: str, **members: Any) -> None:
        """Changes what is registered of a server."""
        url = f"{self.registry}/{self.servers()[alias]['id']}"
        response = httpx2.patch(url, json=members, headers=self.bearer("admin"), timeout=DEADLINE)
        assert response.status_code == 200, response.text

    def remove(self, alias: str) -> None:
        url = f"{self.registry}/{self.servers()[alias]['id']}"
        response = httpx2.delete(url, headers=self.bearer("admin"), timeout=DEADLINE)
        assert response.status_code == 204, response.text

    def add_stdio(self, alias: str, command: list[str], *options: str) -> None:
        """Registers a stdio upstream as the operator: only the host's command line can."""
        self.command("server", "add", alias, *options, rest=["--", *command])

    def command(self, *arguments: str, rest: list[str] | None = None) -> str:
        """What a command of the operator's prints."""
        command = [MREG, *arguments, "--state-dir", str(self.state_directory), *(rest or [])]
        run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        assert run.returncode == 0, f"{' '.join(command)}:\n{run.stdout}{run.stderr}"
        return run.stdout

    def servers(self) -> dict[str, dict[str, Any]]:
        """The registered servers by alias."""
        response = httpx2.get(self.registry, headers=self.bearer("admin"), timeout=DEADLINE)
        assert response.status_code == 200, response.text
        document = response.json()
        records = document if isinstance(document, list) else next(v for v in document.values() if isinstance(v, list))
        return {record["alias"]: record for record in records}
