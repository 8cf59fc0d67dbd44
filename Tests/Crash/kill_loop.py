#!/usr/bin/env python3
"""Kills a loaded gateway at random moments, starts it again, and looks for every answer that was seen."""

import argparse
import random
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from rig import Callers, DidNotStart, Folder, Gateway, environment, percentile

ROUNDS_IN_ONE_DIRECTORY = 25
BATCHED_MAY_LOSE = 100_000_000  # nanoseconds before the kill


class Loop:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.folder = folder
        self.random = random.Random(arguments.seed)
        self.env = environment(arguments.durability)
        self.kinds: dict[str, int] = {}
        self.restarts: list[float] = []
        self.violations: list[str] = []
        self.checked = 0
        self.losses = 0
        self.excused = 0
        self.verified = 0
        self.clean_stops = 0
        self.with_inbox = 0
        self.number = 0
        self.is_quiet = False
        self.state = folder
        self.fresh()
        self.can_verify = self._can_verify()

    def _can_verify(self) -> bool:
        run = subprocess.run([self.arguments.mreg, "audit", "verify", "--help"], capture_output=True, text=True, env=self.env)
        return run.returncode == 0 and "audit verify" in run.stdout

    def fresh(self) -> None:
        self.number += 1
        self.rounds_here = 0
        self.has_demo = False
        self.state = self.folder / f"state-{self.number}"
        self.due: list[int] = []  # answered before the last kill, not yet looked for
        self.found_here: set[int] = set()  # found before: they must stay
        self.base = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> Gateway:
        return Gateway(self.arguments.mreg, self.state, self.env, self.arguments.command == "serve", self.port)

    def violation(self, text: str) -> None:
        self.violations.append(f"{self.state.name}, round {self.rounds_here}: {text}")
        if not self.is_quiet:
            print(f"VIOLATION {self.violations[-1]}", flush=True)

    def run(self) -> None:
        for _ in range(self.arguments.rounds):
            kind = self.random.choices(["first start", "restart", "load", "stop"], [2, 1, 6, 3])[0]
            if kind == "first start" or self.rounds_here >= ROUNDS_IN_ONE_DIRECTORY:
                self.retire()
                self.fresh()
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            try:
                {"first start": self.kill_starting, "restart": self.kill_starting, "load": self.kill_loaded, "stop": self.kill_stopping}[kind]()
            except DidNotStart as error:
                self.violation(f"did not start again: {error}")
                self.fresh()
            self.rounds_here += 1
        self.retire()

    def retire(self) -> None:
        """The last look at a directory: everything that was ever answered there, and a stop in good order."""
        if not self.state.exists():
            return
        try:
            gateway = self.restarted()
        except DidNotStart as error:
            return self.violation(f"did not start again: {error}")
        self.look(everything=True)
        code = gateway.stop()
        if code != 0:
            self.violation(f"a stop in good order left with {code}")

    def restarted(self) -> Gateway:
        gateway = self.start().wait()
        self.restarts.append(gateway.start_seconds)
        if self.can_verify:
            run = gateway.command("audit", "verify")
            self.verified += 1
            if run.returncode != 0:
                self.violation(f"audit verify left with {run.returncode}: {(run.stdout + run.stderr)[-400:]}")
        return gateway

    def look(self, everything: bool = False) -> None:
        """Looks for what was answered before the last kill."""
        database = sqlite3.connect(f"file:{self.state}/gateway.sqlite?mode=ro", uri=True, timeout=5)
        try:
            verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                self.violation(f"integrity_check: {verdict}")
            since = 0 if everything else self.base
            rows = {row[0] for row in database.execute("SELECT request_id FROM audit_rows WHERE audit_id > ?", (since,))}
            missing = set(self.due) - rows
            if missing and since:
                missing -= {row[0] for row in database.execute("SELECT request_id FROM audit_rows")}
            if everything:
                missing |= self.found_here - rows
            self.base = database.execute("SELECT coalesce(max(audit_id), 0) FROM audit_rows").fetchone()[0]
        except sqlite3.Error as error:
            return self.violation(f"SQLite: {error}")
        finally:
            database.close()
        self.checked += len(self.due)
        if missing:
            self.losses += len(missing)
            self.violation(f"{len(missing)} answers are not on record, such as {min(missing) % 2**64:016x}")
        self.found_here |= set(self.due) - missing
        self.due = []

    def loaded(self) -> tuple[Gateway, Callers]:
        gateway = self.restarted()
        self.look()
        if gateway.serve and not self.has_demo:
            add = gateway.command("server", "add", "demo", "--shared", "--", self.arguments.mreg, "demo-server", "--stdio")
            if add.returncode != 0:
                raise DidNotStart(f"server add: {add.stderr}")
            self.has_demo = True
        tokens = [gateway.token(user) for user in ("alice", "bob")]
        return gateway, Callers(gateway.address, tokens, self.arguments.clients)

    def note(self, callers: Callers, killed: int) -> None:
        callers.join()
        database = sqlite3.connect(f"file:{self.state}/gateway.sqlite?mode=ro", uri=True, timeout=5)
        self.with_inbox += database.execute("SELECT 1 FROM audit_inbox").fetchone() is not None
        database.close()
        for moment, request in callers.answers:
            if self.arguments.durability == "batched" and moment > killed - BATCHED_MAY_LOSE:
                self.excused += 1
            else:
                self.due.append(request)
        if callers.statuses.keys() - {503}:
            print(f"note: answers other than 200: {callers.statuses}")

    def kill_starting(self) -> None:
        gateway = self.start()
        time.sleep(self.random.uniform(0, 0.4))
        gateway.kill()

    def kill_loaded(self) -> None:
        gateway, callers = self.loaded()
        time.sleep(self.random.uniform(0.01, 0.3))
        killed = time.monotonic_ns()
        gateway.kill()
        self.note(callers, killed)

    def kill_stopping(self) -> None:
        gateway, callers = self.loaded()
        time.sleep(self.random.uniform(0.01, 0.15))
        gateway.terminate()
        end = time.monotonic() + self.random.uniform(0, 0.12)
        while time.monotonic() < end and gateway.process.poll() is None:
            time.sleep(0.002)
        self.clean_stops += gateway.process.poll() is not None
        killed = time.monotonic_ns()
        gateway.kill()
        self.note(callers, killed)

    def can_fail(self) -> bool:
        """An answer that was never given must be reported as lost."""
        before = len(self.violations), self.losses
        self.fresh()
        gateway, callers = self.loaded()
        time.sleep(0.1)
        gateway.kill()
        self.note(callers, time.monotonic_ns())
        self.due.append(0x0BAD_0BAD_0BAD_0BAD)
        self.restarted().kill()
        self.is_quiet = True
        self.look()
        self.is_quiet = False
        seen = self.losses - before[1]
        del self.violations[before[0]:]
        self.losses = before[1]
        verdict = "the rig can fail" if seen == 1 else "VIOLATION it should be 1"
        print(f"self-test, an answer that was never given: {seen} lost: {verdict}")
        return seen == 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mreg", required=True)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--durability", choices=["answered", "batched", "strict"])
    parser.add_argument("--command", choices=["evaluate", "serve"], default="evaluate")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    arguments.mreg = str(Path(arguments.mreg).resolve())
    if arguments.seed is None:
        arguments.seed = random.randrange(2**32)
    began = time.monotonic()
    with Folder() as folder:
        loop = Loop(arguments, folder)
        works = loop.can_fail()
        loop.run()
    kinds = ", ".join(f"{count} {'under' if kind == 'load' else 'in a'} {kind}" for kind, count in sorted(loop.kinds.items()))
    print(f"kill loop: {arguments.rounds} rounds ({kinds}) in {time.monotonic() - began:.1f} s, seed {arguments.seed}")
    print(f"  durability {arguments.durability or 'as shipped'}; stops that ended before the kill: {loop.clean_stops}")
    print(f"  killed with rows in the inbox: {loop.with_inbox}")
    print(f"  acks checked {loop.checked}, lost {loop.losses}" + (f", too young to be promised {loop.excused}" if loop.excused else ""))
    print(f"  restarts {len(loop.restarts)}: p50 {percentile(loop.restarts, 0.5) * 1000:.0f} ms, max {max(loop.restarts) * 1000:.0f} ms")
    print(f"  audit verify: {f'{loop.verified} runs' if loop.can_verify else 'this mreg has no such command'}")
    if loop.checked == 0:
        print("VIOLATION nothing was answered, so nothing was checked")
    return 1 if loop.violations or not works or loop.checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
