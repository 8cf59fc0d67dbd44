#!/usr/bin/env python3
"""Watches SQLite's WAL locks and writes while the gateway is worked hard: one writer, and only it checkpoints."""

import argparse
import json
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from rig import Callers, Connection, Folder, Gateway, compiled, environment

RECORD = struct.Struct("<IIIIQQqqii")
LOCK, WRITE, SYNC = 1, 2, 3
DATABASE, WAL, SHM = 1, 2, 3
FILES = {DATABASE: "gateway.sqlite", WAL: "gateway.sqlite-wal"}
WRITE_BYTE, CHECKPOINT_BYTE = 120, 121
NAMES = {120: "WRITE", 121: "CKPT", 122: "RECOVER"} | {123 + number: f"READ{number}" for number in range(5)}
READ, EXCLUSIVE, UNLOCK = 0, 1, 2


class Span:
    """From when a call began to when its undoing had returned; surely held only between `since` and `until`."""

    __slots__ = ("what", "pid", "tid", "begin", "since", "until", "end")

    def __init__(self, what: str, pid: int, tid: int, begin: int, since: int, until: int, end: int) -> None:
        self.what, self.pid, self.tid, self.begin, self.since, self.until, self.end = what, pid, tid, begin, since, until, end

    def __str__(self) -> str:
        return f"{self.what} by thread {self.tid} of process {self.pid}, {(self.end - self.begin) / 1000:.0f} µs"


def overlaps(spans: list[Span]) -> list[tuple[Span, Span]]:
    """Pairs of different threads whose spans overlap: wholly within one process, surely between two."""
    found = []
    open_spans: list[Span] = []
    for span in sorted(spans, key=lambda s: s.begin):
        open_spans = [other for other in open_spans if other.end > span.begin]
        for other in open_spans:
            if (other.pid, other.tid) == (span.pid, span.tid):
                continue
            if other.pid == span.pid or (span.since < other.until and other.since < span.until):
                found.append((other, span))
        open_spans.append(span)
    return found


def analyse(log: Path) -> tuple[dict[str, int], list[str]]:
    """The figures, and what must not be."""
    data = log.read_bytes()
    records = sorted((RECORD.unpack_from(data, at) for at in range(0, len(data), RECORD.size)), key=lambda r: r[5])
    held: dict[tuple[int, int], tuple] = {}  # exclusive locks by process and byte
    locks: dict[int, list[Span]] = {byte: [] for byte in NAMES}
    refused: Counter = Counter()
    writes: dict[int, list[Span]] = {DATABASE: [], WAL: []}
    problems: list[str] = []
    last = records[-1][5] if records else 0

    def release(pid: int, byte: int, begin: int, end: int) -> None:
        taken = held.pop((pid, byte), None)
        if taken:
            locks[byte].append(Span(NAMES[byte], pid, taken[1], taken[4], taken[5], begin, end))

    for record in records:
        pid, tid, op, file, begin, end, start, length, kind, result = record
        if op == WRITE:
            writes[file].append(Span(f"write of {length} bytes at {start} of {FILES[file]}", pid, tid, begin, begin, end, end))
            continue
        if op != LOCK:
            continue
        for byte in range(start, min(start + length, 128)):
            if byte not in NAMES:
                continue
            if result != 0:
                refused[NAMES[byte]] += 1
            elif kind == EXCLUSIVE:
                if (taken := held.get((pid, byte))) and taken[1] != tid:
                    problems.append(f"{NAMES[byte]} taken by thread {tid} while thread {taken[1]} had it")
                held[pid, byte] = record
            else:
                if (taken := held.get((pid, byte))) and taken[1] != tid and byte in (WRITE_BYTE, CHECKPOINT_BYTE):
                    problems.append(f"{NAMES[byte]} taken by thread {taken[1]} and released by thread {tid}")
                release(pid, byte, begin, end)
    for pid, byte in list(held):
        release(pid, byte, last, last)

    writing, copying = locks[WRITE_BYTE], locks[CHECKPOINT_BYTE]
    counts = {
        "write locks": len(writing),
        "checkpoint locks": len(copying),
        "threads that held WRITE": len({(span.pid, span.tid) for span in writing}),
        "threads that held CKPT": len({(span.pid, span.tid) for span in copying}),
        "refused": sum(refused.values()),
        "writes to the WAL": len(writes[WAL]),
        "writes to the database": len(writes[DATABASE]),
        "threads that wrote": len({(span.pid, span.tid) for file in writes.values() for span in file}),
    }
    pairs = {
        "lock overlaps": overlaps(writing + copying),
        "write overlaps": overlaps(writes[DATABASE] + writes[WAL]),
    }
    for name, found in pairs.items():
        counts[name] = len(found)
        problems += [f"{first} overlaps {second} by {(min(first.end, second.end) - second.begin) / 1000:.0f} µs" for first, second in found[:5]]

    # A frame belongs into a transaction of the same thread, and a page into a checkpoint of the same thread.
    for file, owners, name in ((WAL, writing, "WAL writes outside WRITE"), (DATABASE, copying, "database writes outside CKPT")):
        outside = 0
        owners = sorted(owners, key=lambda s: s.begin)
        at = 0
        for write in sorted(writes[file], key=lambda s: s.begin):
            while at < len(owners) and owners[at].end < write.begin:
                at += 1
            inside = any(o.begin <= write.begin and write.end <= o.end and o.tid == write.tid for o in owners[at:at + 4])
            outside += not inside
        counts[name] = outside
    return counts, problems


def stress(arguments: argparse.Namespace, shim: str, log: Path, folder: Path) -> Counter:
    """Tool calls, registry writes, reads and commands at once; a stop in good order at the end."""
    env = environment(arguments.durability, LD_PRELOAD=shim, CRASH_LOCKS_LOG=str(log))
    done: Counter = Counter()
    gateway = Gateway(arguments.mreg, folder / "state", env).wait()
    admin, owner = gateway.token("admin"), gateway.token("server_owner")
    end = time.monotonic() + arguments.seconds

    def repeat(token: str, step) -> None:
        try:
            connection = Connection(gateway.address, token)
            number = 0
            while time.monotonic() < end:
                number += 1
                step(connection, number)
        except OSError as error:
            done[f"ended early: {error}"] += 1

    def registering(token: str, name: str):
        def step(connection: Connection, number: int) -> None:
            draft = {"alias": f"{name}-{number}", "title": name, "transport": "http", "endpoint": "http://127.0.0.1:9/mcp", "tags": []}
            status, _, body = connection.request("POST", "/api/v1/servers", draft)
            done[f"POST /api/v1/servers {status}"] += 1
            if status == 201:
                status, _, _ = connection.request("DELETE", f"/api/v1/servers/{json.loads(body)['id']}")
                done[f"DELETE /api/v1/servers/… {status}"] += 1

        return step

    def reading(connection: Connection, number: int) -> None:
        paths = ("/api/v1/servers", "/health", "/health/ready", "/metrics", "/api/v1/admin/audit?limit=100", "/api/v1/admin/tenant-analytics", "/api/v1/admin/sessions")
        path = paths[number % len(paths)]
        status, _, _ = connection.request("GET", path)
        done[f"GET {path.partition('?')[0]} {status}"] += 1
        time.sleep(0.002)

    def commanding() -> None:
        while time.monotonic() < end:
            for command in (("server", "list"), ("report", "calls"), ("token", "dave")):
                run = gateway.command(*command)
                done[f"mreg {' '.join(command)}: {run.returncode}"] += 1
            time.sleep(0.3)

    steps = [(admin, registering(admin, "one")), (owner, registering(owner, "two")), (admin, reading), (owner, reading)]
    threads = [threading.Thread(target=repeat, args=step) for step in steps] + [threading.Thread(target=commanding)]
    callers = Callers(gateway.address, [gateway.token(user) for user in ("alice", "bob")], arguments.clients)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    callers.join(stop=True)
    done["tools/call 200"] = len(callers.answers)
    for status, count in callers.statuses.items():
        done[f"tools/call {status}"] = count
    done[f"stop: {gateway.stop()}"] += 1
    return done


OFFENDER = """
import sqlite3, sys, threading
path = sys.argv[1]
one = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
one.execute("PRAGMA journal_mode = WAL"); one.execute("PRAGMA wal_autocheckpoint = 0"); one.execute("CREATE TABLE t (x)")
one.execute("INSERT INTO t VALUES (1)")
one.execute("BEGIN IMMEDIATE"); one.execute("INSERT INTO t VALUES (2)")
def checkpoint():
    two = sqlite3.connect(path, isolation_level=None); two.execute("PRAGMA wal_checkpoint(PASSIVE)"); two.close()
thread = threading.Thread(target=checkpoint); thread.start(); thread.join()
one.execute("COMMIT")
"""


def can_fail(shim: str, folder: Path) -> bool:
    """Two connections of one process, one checkpointing while the other is in a transaction: that must be seen."""
    log = folder / "offender.log"
    env = environment(LD_PRELOAD=shim, CRASH_LOCKS_LOG=str(log))
    subprocess.run([sys.executable, "-c", OFFENDER, str(folder / "offender.sqlite")], env=env, check=True)
    counts, problems = analyse(log)
    print(f"self-test, a checkpoint during another thread's transaction: {counts['lock overlaps']} overlaps: "
          + ("the rig can fail" if problems else "VIOLATION the rig found nothing"))
    return bool(problems)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mreg", required=True)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--durability", choices=["answered", "batched", "strict"])
    arguments = parser.parse_args()
    arguments.mreg = str(Path(arguments.mreg).resolve())
    with Folder() as folder:
        shim = compiled("locks.c", folder)
        works = can_fail(shim, folder)
        log = folder / "log"
        done = stress(arguments, shim, log, folder)
        counts, problems = analyse(log)
    print("load: " + ", ".join(f"{name} × {count}" for name, count in sorted(done.items())))
    print("locks: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    for problem in problems[:10]:
        print(f"VIOLATION {problem}")
    is_used = counts["write locks"] > 0 and counts["checkpoint locks"] > 0 and done["tools/call 200"] > 0
    if not is_used:
        print("VIOLATION too little was done to say anything")
    return 0 if works and is_used and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
