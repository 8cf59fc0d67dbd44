"""The record as an operator has it: verified, exported, copied, put back, and found out when somebody edits it."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from gateway import MREG, Gateway
from processes import DEADLINE

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "demo-http__echo", "arguments": {"text": "x"}}}


def mreg(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MREG, *arguments, "--state-dir", str(state)], capture_output=True, text=True, timeout=DEADLINE)


def call(gateway: Gateway, times: int, user: str = "user") -> None:
    for _ in range(times):
        response = httpx2.post(gateway.endpoint, json=CALL, headers=gateway.bearer(user), timeout=DEADLINE)
        assert response.status_code == 200, response.text


def edit(database: Path, sql: str) -> None:
    """As somebody with the file and sqlite3, who takes the triggers out of the way first."""
    with sqlite3.connect(database) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(sql)


def test_the_record_verifies_beside_the_running_gateway_and_elsewhere(tmp_path: Path) -> None:
    state, bundle = tmp_path / "state", tmp_path / "bundle"
    with Gateway(state) as gateway:
        call(gateway, 20)
        verified = mreg(state, "audit", "verify", "--json", "--export", str(bundle))
        assert verified.returncode == 0, verified.stdout + verified.stderr
        report = json.loads(verified.stdout)
        assert report["intact"] and report["codes_checked"] and report["rows"] == report["last_row"] > 20
    elsewhere = subprocess.run([sys.executable, str(bundle / "verify.py")], capture_output=True, text=True, timeout=DEADLINE)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert f"{report['rows']} rows" in elsewhere.stdout

    lines = (bundle / "record.jsonl").read_text().splitlines()
    (bundle / "record.jsonl").write_text("\n".join(lines[:5] + lines[6:]) + "\n")
    cut = subprocess.run([sys.executable, str(bundle / "verify.py")], capture_output=True, text=True, timeout=DEADLINE)
    assert cut.returncode == 1 and "Row 5 is missing" in cut.stderr


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("UPDATE audit_logs SET outcome = 'refused' WHERE audit_id = 7", 7),
        ("DELETE FROM audit_logs WHERE audit_id = 9", 9),
        ("UPDATE audit_logs SET response_time_ms = response_time_ms + 1 WHERE audit_id = 3", 3),
    ],
)
def test_an_edit_of_the_file_is_found_and_its_row_named(tmp_path: Path, sql: str, row: int) -> None:
    state = tmp_path / "state"
    with Gateway(state) as gateway:
        call(gateway, 5)
    edit(state / "gateway.sqlite", sql)
    verified = mreg(state, "audit", "verify", "--json")
    assert verified.returncode == 1, verified.stdout
    assert json.loads(verified.stdout)["finding"]["row"] == row


def test_a_copy_is_put_back_and_a_database_is_never_overwritten(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Gateway(state) as gateway:
        call(gateway, 3, user="ada")
        copied = mreg(state, "backup")
        assert copied.returncode == 0, copied.stderr
        copy = Path(copied.stdout.split(" holds ")[0])
        call(gateway, 3, user="later")
        held = mreg(state, "restore", str(copy))
        assert held.returncode != 0 and "in use" in held.stderr
    refused = mreg(state, "restore", str(copy))
    assert refused.returncode != 0 and "is not overwritten" in refused.stderr
    altered = tmp_path / "altered.sqlite"
    altered.write_bytes(copy.read_bytes())
    edit(altered, "UPDATE audit_logs SET action = 'nothing' WHERE audit_id = 2")
    broken = mreg(state, "restore", str(altered), "--replace")
    assert broken.returncode != 0 and "Row 2 was altered" in broken.stderr

    restored = mreg(state, "restore", str(copy), "--replace")
    assert restored.returncode == 0, restored.stderr
    assert list(state.glob("gateway.sqlite.aside-*")), "the database that was there is kept"
    with Gateway(state) as gateway:
        call(gateway, 1, user="ada")
        users = httpx2.get(f"{gateway.url}/api/v1/admin/user-activity", headers=gateway.bearer("auditor"), timeout=DEADLINE).json()["users"]
        assert {"ada"} <= {user["user_id"] for user in users} and "later" not in {user["user_id"] for user in users}
        assert mreg(state, "audit", "verify").returncode == 0


def test_reports_are_printed_and_served_alike(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Gateway(state) as gateway:
        call(gateway, 30)
        printed = json.loads(mreg(state, "report", "daily", "--json").stdout)
        served = httpx2.get(
            f"{gateway.url}/api/v1/admin/performance-report/daily", headers=gateway.bearer("auditor"), timeout=DEADLINE).json()
        assert printed.keys() == served.keys()
        assert printed["p95"]["value"] > 0 and printed["avg_response_time"]["met"] is True
        for report in ("daily", "weekly", "pools"):
            assert mreg(state, "report", report).returncode == 0
        assert "user" in mreg(state, "user", "sessions").stdout
        assert mreg(state, "user", "sign-out", "user").returncode == 0
        assert httpx2.post(gateway.endpoint, json=CALL, headers=gateway.bearer("user"), timeout=DEADLINE).status_code == 401
        assert mreg(state, "maintain").returncode == 0
