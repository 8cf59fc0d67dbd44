"""If you saw the answer, the record is on disk: also when the gateway is killed the moment after."""

import asyncio
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from gateway import Gateway

CALLERS = 16
ANSWERS_BEFORE_THE_KILL = 400


async def call_until_killed(gateway: Gateway) -> set[int]:
    """Calls from many users at once, kills the gateway in the midst, and returns the ids of the answers that came."""
    answered: set[int] = set()
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "demo-http__echo", "arguments": {"text": "x"}}}

    async def call(session: aiohttp.ClientSession, user: str) -> None:
        while True:
            try:
                async with session.post(gateway.endpoint, json=body, headers=gateway.bearer(user)) as response:
                    await response.read()
                    if response.status == 200:
                        answered.add(int(response.headers["X-Request-Id"], 16))
            except aiohttp.ClientError:
                return
            if len(answered) >= ANSWERS_BEFORE_THE_KILL:
                gateway.process.kill()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(call(session, f"caller-{number}") for number in range(CALLERS)))
    return answered


@pytest.mark.anyio
async def test_every_answer_that_was_seen_is_on_record_after_kill_9(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "state")
    for number in range(CALLERS):
        gateway.token(f"caller-{number}")
    answered = await call_until_killed(gateway)
    assert len(answered) >= ANSWERS_BEFORE_THE_KILL

    # A new start takes the folder over at once and finds everything.
    with Gateway(tmp_path / "state"):
        pass
    with sqlite3.connect(tmp_path / "state/gateway.sqlite") as database:
        recorded = {row[0] % 2**64 for row in database.execute("SELECT request_id FROM audit_rows WHERE action = 'tools/call'")}
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert answered <= recorded, f"{len(answered - recorded)} answers are not on record"
