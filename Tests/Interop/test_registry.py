"""What editors and mirrors ask a registry for, by their own URLs, and whether the answers have the shape the specifications give."""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from gateway import MREG, Gateway
from processes import DEADLINE

OFFICIAL = "io.modelcontextprotocol.registry/official"
SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
CARD_SCHEMA = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json"
NAME = re.compile(r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$")
SEMANTIC_VERSION = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("registry") / "state") as running:
        for number in range(120):
            record = {
                "alias": f"s{number}",
                "title": f"Server {number}",
                "endpoint": f"http://127.0.0.1:9/{number}",
                "public": True,
                "status": "active" if number % 10 else "disabled",
            }
            answer = httpx2.post(running.registry, json=record, headers=running.bearer("admin"), timeout=DEADLINE)
            assert answer.status_code == 201, answer.text
        yield running


def mreg(gateway: Gateway, *arguments: str) -> str:
    command = [MREG, *arguments, "--state-dir", str(gateway.state_directory)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, f"{' '.join(command)}:\n{run.stdout}{run.stderr}"
    return run.stdout


def get(gateway: Gateway, path: str, **headers: str) -> httpx2.Response:
    return httpx2.get(gateway.url + path, headers=headers, timeout=DEADLINE, trust_env=False)


def check_server(server: dict[str, Any], origin: str) -> None:
    """`server.json` of 2025-12-11: the fields that are required, their bounds, and none that it does not know."""
    assert set(server) <= {
        "$schema", "name", "title", "description", "version", "repository", "websiteUrl", "icons", "packages", "remotes", "_meta",
    }  # fmt: skip
    assert server["$schema"] == SERVER_SCHEMA
    assert 3 <= len(server["name"]) <= 200 and NAME.match(server["name"])
    assert "." in server["name"].split("/")[0], "reverse DNS has two labels at least"
    assert 1 <= len(server["description"]) <= 100
    assert 1 <= len(server["title"]) <= 100
    assert SEMANTIC_VERSION.match(server["version"]) and len(server["version"]) <= 255
    for remote in server["remotes"]:
        assert set(remote) == {"type", "url"} and remote["type"] == "streamable-http"
        parts = urlsplit(remote["url"])
        assert remote["url"].startswith(origin + "/servers/") and parts.path.endswith("/mcp")
        assert not parts.query and not parts.username


def check_entry(entry: dict[str, Any], origin: str) -> None:
    assert set(entry) == {"server", "_meta"}
    check_server(entry["server"], origin)
    official = entry["_meta"][OFFICIAL]
    assert set(official) <= {"status", "statusMessage", "statusChangedAt", "publishedAt", "updatedAt", "isLatest"}
    assert official["status"] in ("active", "deprecated", "deleted")
    assert isinstance(official["isLatest"], bool)
    moments = [datetime.fromisoformat(official[name]) for name in ("publishedAt", "updatedAt", "statusChangedAt")]
    assert moments[0] <= moments[1] and moments[2] <= moments[1]
    for key in set(entry["_meta"]) - {OFFICIAL}:
        assert NAME.match(key), "what a registry adds stands under its own reverse-DNS name"


def check_list(document: dict[str, Any], origin: str) -> list[dict[str, Any]]:
    assert set(document) == {"servers", "metadata"}
    assert set(document["metadata"]) <= {"nextCursor", "count"}
    assert document["metadata"]["count"] == len(document["servers"])
    for entry in document["servers"]:
        check_entry(entry, origin)
    return document["servers"]


def read_like_vs_code(gateway: Gateway, base: str, search: str = "") -> list[dict[str, Any]]:
    """The editor's walk: a probe of the versions it knows, then page after page."""
    root = next((root for root in (f"{base}/v0.1", f"{base}/v0") if get(gateway, f"{root}/servers?limit=1").status_code == 200), None)
    assert root is not None
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(20):
        url = f"{root}/servers?limit=50&version=latest"
        url += f"&cursor={quote(cursor, safe='')}" if cursor else ""
        url += f"&search={quote(search, safe='')}" if search else ""
        document = get(gateway, url).json()
        found += check_list(document, gateway.url)
        cursor = document["metadata"].get("nextCursor")
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("base", ["", "/v0.1", "/v0"])
def test_vs_code_reads_every_public_server_once(registry: Gateway, base: str) -> None:
    names = [entry["server"]["name"] for entry in read_like_vs_code(registry, base)]
    expected = {f"local.localhost/s{number}" for number in range(120) if number % 10} | {"local.localhost/demo", "local.localhost/demo-http"}
    assert set(names) == expected and len(names) == len(expected)
    assert names == sorted(names)


def test_vs_code_finds_a_server_by_a_word_and_resolves_it(registry: Gateway) -> None:
    (entry,) = read_like_vs_code(registry, "", "server 57")
    name = entry["server"]["name"]
    resolved = get(registry, f"/v0.1/servers/{quote(name, safe='')}/versions/latest")
    assert resolved.json() == entry
    assert get(registry, f"/v0.1/servers/{quote(name, safe='')}/versions/{entry['server']['version']}").json() == entry
    assert [e["server"] for e in check_list(get(registry, f"/v0.1/servers/{quote(name, safe='')}/versions").json(), registry.url)] == [
        entry["server"]
    ]
    # A 4xx means that there is none.
    assert get(registry, f"/v0.1/servers/{quote('local.localhost/s10', safe='')}/versions/latest").status_code == 404


def test_copilot_may_read_from_its_own_pages(registry: Gateway) -> None:
    for path in ("/v0.1/servers", "/v0.1/servers/local.localhost%2Fdemo/versions/latest", "/v0.1/servers/local.localhost%2Fdemo/versions/1.0.0"):
        url = registry.url + path
        asked = httpx2.options(url, headers={"Origin": "https://github.com", "Access-Control-Request-Method": "GET"}, timeout=DEADLINE, trust_env=False)
        assert asked.status_code == 204
        assert {m.strip() for m in asked.headers["access-control-allow-methods"].split(",")} == {"GET", "OPTIONS"}
        assert {"Authorization", "Content-Type"} <= {h.strip() for h in asked.headers["access-control-allow-headers"].split(",")}
        for answer in (asked, get(registry, path, Origin="https://github.com"), get(registry, path)):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "set-cookie" not in answer.headers


def test_a_mirror_follows_what_changes(registry: Gateway) -> None:
    first = get(registry, "/v0.1/servers?limit=100&search=server+58").json()["servers"]
    since = first[0]["_meta"][OFFICIAL]["updatedAt"]
    id = next(record["id"] for record in registry.servers().values() if record["alias"] == "s58")
    changed = httpx2.patch(f"{registry.registry}/{id}", json={"title": "Changed"}, headers=registry.bearer("admin"), timeout=DEADLINE)
    assert changed.status_code == 200
    mreg(registry, "server", "unpublish", "s59")
    entries = check_list(get(registry, f"/v0.1/servers?limit=100&updated_since={quote(since, safe='')}").json(), registry.url)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_name.setdefault(entry["server"]["name"], []).append(entry)
    old, new = by_name["local.localhost/s58"]
    assert old["server"] == first[0]["server"], "what was published does not change"
    assert (old["_meta"][OFFICIAL]["isLatest"], new["_meta"][OFFICIAL]["isLatest"]) == (False, True)
    assert (new["server"]["title"], new["server"]["version"]) == ("Changed", "1.0.1")
    assert [e["_meta"][OFFICIAL]["status"] for e in by_name["local.localhost/s59"]] == ["deleted"]
    assert get(registry, "/v0.1/servers?search=server+59").json()["servers"] == []
    mreg(registry, "server", "publish", "s59")
    assert get(registry, "/v0.1/servers?search=server+59").json()["metadata"]["count"] == 1


def test_who_has_a_page_is_not_sent_it_again(registry: Gateway) -> None:
    first = get(registry, "/v0.1/servers")
    assert get(registry, "/v0.1/servers", **{"If-None-Match": first.headers["etag"]}).status_code == 304
    assert get(registry, "/v0.1/servers?limit=2", **{"If-None-Match": first.headers["etag"]}).status_code == 200


def test_errors_are_what_registries_answer(registry: Gateway) -> None:
    for path, status in (("/v0.1/servers?limit=x", 400), ("/v0.1/servers/a%2Fb/versions", 404), ("/v0.1/servers/a%2Fb", 404)):
        answer = get(registry, path)
        assert answer.status_code == status and set(answer.json()) == {"error"} and answer.json()["error"]
    for method, path in (("POST", "/v0.1/publish"), ("PUT", "/v0.1/servers/a%2Fb/versions/1.0.0"), ("DELETE", "/v0/servers/a%2Fb/versions/1.0.0")):
        answer = httpx2.request(method, registry.url + path, json={}, timeout=DEADLINE, trust_env=False)
        assert answer.status_code == 501 and set(answer.json()) == {"error"}


def test_the_catalogue_leads_to_cards_that_lead_to_endpoints(registry: Gateway) -> None:
    answer = get(registry, "/.well-known/ai-catalog.json")
    catalogue = answer.json()
    assert answer.headers["content-type"] == "application/ai-catalog+json"
    assert catalogue["specVersion"] == "1.0" and catalogue["host"]["displayName"]
    identifiers = [entry["identifier"] for entry in catalogue["entries"]]
    assert len(set(identifiers)) == len(identifiers)
    for entry in catalogue["entries"][:4]:
        assert re.match(r"^urn:air:[a-z0-9.-]+:server:[a-z0-9-]+$", entry["identifier"])
        assert entry["type"] == "application/mcp-server-card+json"
        card_answer = httpx2.get(entry["url"], timeout=DEADLINE, trust_env=False)
        assert card_answer.headers["content-type"] == "application/mcp-server-card+json"
        card = card_answer.json()
        assert card["$schema"] == CARD_SCHEMA and NAME.match(card["name"]) and 1 <= len(card["description"]) <= 100
        assert SEMANTIC_VERSION.match(card["version"])
        assert not {"tools", "resources", "prompts"} & set(card)
        (remote,) = card["remotes"]
        assert remote["url"] + "/server-card" == entry["url"]
        assert {"2026-07-28", "2025-11-25"} <= set(remote["supportedProtocolVersions"])
        metadata = "/.well-known/oauth-protected-resource" + urlsplit(remote["url"]).path
        assert get(registry, metadata).json()["resource"] == remote["url"]


@pytest.mark.parametrize("client", ["vscode", "claude", "cursor", "copilot"])
def test_what_a_client_is_to_be_told_is_json_without_secrets(registry: Gateway, client: str) -> None:
    for server, endpoint in ((None, f"{registry.url}/mcp"), ("demo", f"{registry.url}/servers/demo/mcp")):
        text = mreg(registry, "client-config", client, *(("--server", server) if server else ()))
        documents = [json.loads(found) for found in re.findall(r"^\{$.*?^\}$", text, re.MULTILINE | re.DOTALL)]
        assert documents and endpoint in text
        assert "mreg_" not in text and "eyJ" not in text
        named = server or "mreg"
        endpoints = {d[key][named]["url"] for d in documents for key in ("servers", "mcpServers") if key in d}
        assert endpoints == {endpoint}
    run = subprocess.run(
        [MREG, "client-config", client, "--server", "nowhere", "--state-dir", str(registry.state_directory)],
        capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert run.returncode != 0 and "nowhere" in run.stderr


def test_a_configuration_can_be_had_without_a_gateway(tmp_path: Path) -> None:
    run = subprocess.run(
        [MREG, "client-config", "claude", "--url", "https://mcp.example.com", "--server", "wiki"], capture_output=True, text=True, timeout=DEADLINE
    )
    assert run.returncode == 0 and "claude mcp add --transport http wiki https://mcp.example.com/servers/wiki/mcp" in run.stdout
