#!/usr/bin/env python3
"""Bad tokens, forged addresses, lost files and kills: what is refused, what goes on, and that nobody is granted more for it."""

import argparse
import os
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from callers import Answer, DidNotStart, Folder, Server, Wire, boot_seconds, environment, expired, flood, ping

THRESHOLD = 50
GUARDED = {"MREG_TRUSTED_PROXIES": "127.0.0.0/8", "MREG_FASTMCP_DDOS_DETECTION_THRESHOLD": str(THRESHOLD)}
ONE_BURST = {"MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR": "1.0"}
READY_AGAIN_WITHIN = 1.0  # seconds
STORED_WITHIN = 0.1  # seconds from a block to its being on disk
BLOCKED_COSTS_AT_MOST = 25.0  # µs of processor time
BAD = "not-a-token-of-anybody"


class Rig:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.random = random.Random(arguments.seed)
        self.violations: list[str] = []
        self.checks = 0
        self.number = 0
        self.name = ""
        self.is_quiet = False

    # MARK: Telling

    @contextmanager
    def check(self, name: str) -> Iterator[list[str]]:
        """A named check; what is added to the list is told beside its name."""
        self.name = name
        self.checks += 1
        before = len(self.violations)
        told: list[str] = []
        began = time.monotonic()
        try:
            yield told
        except (OSError, DidNotStart, KeyError, IndexError, ValueError) as error:
            self.violation(f"{type(error).__name__}: {error}")
        if not self.is_quiet and (told or len(self.violations) == before):
            verdict = "ok " if len(self.violations) == before else "but"
            print(f"{verdict} {time.monotonic() - began:5.1f} s  {name}{': ' if told else ''}{', '.join(told)}", flush=True)

    def violation(self, text: str) -> None:
        self.violations.append(f"{self.name}: {text}")
        if not self.is_quiet:
            print(f"VIOLATION {self.violations[-1]}", flush=True)

    def expect(self, is_so: bool, text: str) -> None:
        if not is_so:
            self.violation(text)

    def status(self, answer: Answer, expected: int, what: str) -> None:
        self.expect(answer.status == expected, f"{what}: {answer.status} and not {expected} ({answer.body[:160].decode(errors='replace')})")

    def refused(self, answer: Answer, limit: str, whose: str) -> None:
        """A 429 as every client can read it."""
        self.status(answer, 429, f"over the limit {limit}")
        if answer.status != 429:
            return
        data, fields = answer.data, answer.fields
        self.expect(data.get("code") == "throttled" and data.get("limit") == limit and data.get("whose") == whose, f"the error says {data}")
        self.expect(int(data.get("retryAfterSeconds", 0)) >= 1, f"the error says {data}")
        for name in ("retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"):
            self.expect(name in fields, f"a 429 without {name}")
        self.expect(int(fields.get("retry-after", 0)) >= 1, f"Retry-After: {fields.get('retry-after')}")
        self.expect(fields.get("x-ratelimit-remaining") == "0", f"X-RateLimit-Remaining: {fields.get('x-ratelimit-remaining')}")

    # MARK: Gateways

    @contextmanager
    def gateway(self, mreg: str | None = None, **settings: str) -> Iterator["Running"]:
        self.number += 1
        running = Running(Server(mreg or self.arguments.mreg, self.folder / f"state-{self.number}", environment("batched", **settings)).wait())
        try:
            yield running
        finally:
            if running.server.process.poll() is not None:
                self.violation(f"the gateway ended: {running.server.process.returncode} {''.join(running.server.output[-5:])}")
            running.server.kill()

    def some_address(self) -> str:
        if self.random.random() < 0.5:
            return f"2001:db8:{self.random.getrandbits(16):x}:{self.random.getrandbits(16):x}::{self.random.getrandbits(16):x}"
        # 0.0.0.0/8 and 127.0.0.0/8 are not the world's.
        return ".".join(str(number) for number in (self.random.randrange(128, 224), *self.random.randbytes(3)))

    # MARK: Addresses

    def undeclared_peers(self) -> None:
        with self.gateway(
            MREG_FASTMCP_DDOS_DETECTION_THRESHOLD=str(THRESHOLD), MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM="60", **ONE_BURST,
        ) as running:
            with self.check("a forged X-Forwarded-For of an undeclared peer is not believed") as told:
                statuses = flood(running.address, (ping(BAD, f"203.0.113.{number}") for number in range(200)))
                told.append(f"200 invented addresses got {dict(statuses)}")
                self.expect(statuses[401] <= 60 + 10, f"each of the invented addresses was counted on its own: {dict(statuses)}")
                invented = [address for address in running.control.blocked() if address.startswith("203.")]
                self.expect(not invented, f"blocked are {invented}")
                # The peer itself is blocked by now, as far as it says that it forwards; new tokens are tried at a slow pace then.
                time.sleep(1.5)
                self.status(running.ask(ping(running.control.token("alice"), "203.0.113.1")), 200, "a valid token with a forged address")
                self.status(running.ask(ping(running.control.token("bob"))), 200, "a valid token")

    def addresses(self) -> None:
        with self.gateway(**GUARDED) as running:
            self.reading(running)
            self.innocent(running)
            self.blocking(running)

    def reading(self, running: "Running") -> None:
        with self.check("forwarded addresses are read from the right, up to the first that is no proxy of ours"):
            for forwarded, client in (
                ("198.51.100.1, 203.0.113.21", "203.0.113.21"),
                ("198.51.100.1, 203.0.113.22, 127.0.0.9", "203.0.113.22"),
                ("198.51.100.1|203.0.113.23", "203.0.113.23"),
                ("198.51.100.1, 203.0.113.24:4711", "203.0.113.24"),
                ("198.51.100.1, ::ffff:203.0.113.25", "203.0.113.25"),
                ("198.51.100.1, [2001:db8:5:6::7]:443", "2001:db8:5:6::/64"),
            ):
                flood(running.address, [ping(BAD, forwarded)] * THRESHOLD, connections=2)
                blocked = running.control.blocked()
                self.expect(client in blocked, f"after {forwarded} blocked are {sorted(blocked)}")
                self.expect(not any(address.startswith(("198.", "127.")) for address in blocked), f"after {forwarded} blocked are {sorted(blocked)}")
        with self.check("IPv6 is counted by /64"):
            flood(running.address, [ping(BAD, f"2001:db8:1:2:{number:x}::1") for number in range(THRESHOLD)], connections=2)
            self.status(running.ask(ping(BAD, "2001:db8:1:2:ffff:ffff:ffff:ffff")), 403, "another address of the same /64")
            self.status(running.ask(ping(BAD, "2001:db8:1:3::1")), 401, "the /64 beside it")

    def innocent(self, running: "Running") -> None:
        token = running.control.token("carol")
        with self.check("missing tokens block nobody"):
            statuses = flood(running.address, [ping(None, "203.0.113.30")] * 200)
            self.expect(statuses == {401: 200}, f"{dict(statuses)}")
            self.status(running.ask(ping(BAD, "203.0.113.30")), 401, "afterwards, from there")
        with self.check("expired tokens block nobody"):
            old = expired(token, running.server.state)
            answer = running.ask(ping(old, "203.0.113.31"))
            self.expect(b"expired" in answer.body, f"the old token is not taken for one: {answer.body[:160]!r}")
            statuses = flood(running.address, [ping(old, "203.0.113.31")] * 200)
            self.expect(statuses == {401: 200}, f"{dict(statuses)}")
            self.status(running.ask(ping(BAD, "203.0.113.31")), 401, "afterwards, from there")
        with self.check("what the holder of a valid token does wrong blocks no address") as told:
            running.ask(ping(token, "203.0.113.32"))
            wrong = [
                ping(token, "203.0.113.32", body=b"{"), ping(token, "203.0.113.32", path="/nowhere"),
                ping(token, "203.0.113.32", method="PUT"), ping(token, "203.0.113.32", Content_Type="text/plain"),
                ping(token, "203.0.113.32", path="/api/v1/admin/blocked-addresses", method="GET", body=b""),
            ]
            statuses = flood(running.address, wrong * 40)
            told.append(f"{dict(statuses)}")
            self.expect(not statuses[200] and not statuses[401] and len(statuses) >= 4, f"{dict(statuses)}")
            self.status(running.ask(ping(BAD, "203.0.113.32")), 401, "a bad token from there")
            self.expect("203.0.113.32" not in running.control.blocked(), "it is blocked")

    def blocking(self, running: "Running") -> None:
        known, fresh, colleague = (running.control.token(user) for user in ("dave", "erin", "frank"))
        running.ask(ping(known))
        here, there = "203.0.113.40", "203.0.113.41"
        with self.check(f"{THRESHOLD} bad tokens block an address"):
            statuses = flood(running.address, [ping(BAD, here)] * THRESHOLD, connections=1, window=1)
            self.expect(statuses == {401: THRESHOLD}, f"the bad ones themselves got {dict(statuses)}")
            for what, token in (("a bad token", BAD), ("no token", None)):
                answer = running.ask(ping(token, here))
                self.status(answer, 403, what)
                self.expect(3590 <= int(answer.fields.get("retry-after", 0)) <= 3600, f"Retry-After: {answer.fields.get('retry-after')}")
        with self.check("a valid token passes from a blocked address"):
            self.status(running.ask(ping(known, here)), 200, "a token seen before")
            self.status(running.ask(ping(fresh, here)), 200, "a token that nobody saw before")
            self.status(running.ask(ping(None, here)), 403, "no token after them")
        with self.check("other addresses are not affected"):
            self.status(running.ask(ping(BAD, there)), 401, "a bad token from elsewhere")
            self.status(running.ask(ping(known, there)), 200, "a valid token from elsewhere")
            self.status(running.ask(ping(BAD)), 401, "a bad token from the proxy itself")
        with self.check("a blocked address is listed"):
            entry = running.control.blocked().get(here, {})
            self.expect(entry.get("reason") == "violations" and entry.get("refused_requests", 0) >= 3, f"{entry}")
            self.expect(entry.get("hit_a_valid_token") is True, f"{entry}")
        with self.check("a block survives a kill"):
            time.sleep(STORED_WITHIN)
            running.again()
            self.status(running.ask(ping(BAD, here)), 403, "a bad token")
            self.status(running.ask(ping(colleague, here)), 200, "a token nobody saw before")
            self.expect(here in running.control.blocked(), "it is not listed any more")
        with self.check("a block that is lifted stays lifted"):
            answer = running.control.ask("DELETE", f"/blocked-addresses/{here}")
            self.status(answer, 204, "DELETE")
            self.status(running.ask(ping(BAD, here)), 401, "a bad token")
            self.expect(here not in running.control.blocked(), "it is still listed")
            self.status(running.control.ask("DELETE", f"/blocked-addresses/{here}"), 404, "DELETE once more")
            running.again()
            self.status(running.ask(ping(BAD, here)), 401, "a bad token after a kill")
            statuses = flood(running.address, [ping(BAD, here)] * (THRESHOLD - 5), connections=1)
            self.expect(set(statuses) == {401}, f"what was counted before is held against it: {dict(statuses)}")
        with self.check("a block that was lifted a moment after it began stays lifted"):
            flood(running.address, [ping(BAD, there)] * THRESHOLD, connections=1)
            self.status(running.control.ask("DELETE", f"/blocked-addresses/{there}"), 204, "DELETE")
            self.status(running.ask(ping(BAD, there)), 401, "a bad token")
            time.sleep(0.5)
            running.again()
            self.expect(there not in running.control.blocked(), "it is back")
        with self.check("a block survives a kill at the moment it begins, or comes back with the next bad token"):
            flood(running.address, [ping(BAD, "203.0.113.42")] * THRESHOLD, connections=1)
            running.again()
            first = running.ask(ping(BAD, "203.0.113.42")).status
            self.expect(first in (401, 403), f"the first answer is {first}")
            self.status(running.ask(ping(BAD, "203.0.113.42")), 403, "the second bad token")
        with self.check("what an administrator blocks is blocked"):
            running.control.post("/blocked-addresses", address="198.51.100.77", seconds=100)
            answer = running.ask(ping(None, "198.51.100.77"))
            self.status(answer, 403, "no token")
            self.expect(95 <= int(answer.fields.get("retry-after", 0)) <= 100, f"Retry-After: {answer.fields.get('retry-after')}")
            running.again()
            self.status(running.ask(ping(None, "198.51.100.77")), 403, "no token after a kill")
            self.status(running.control.ask("POST", "/blocked-addresses", {"address": "127.0.0.1"}), 409, "blocking the proxy")

    def many_addresses(self) -> None:
        count = 15_000 if self.arguments.quick else 100_000
        with self.gateway(
            MREG_TRUSTED_PROXIES="127.0.0.0/8", MREG_BUCKETS_MAP_BYTES=str(1 << 20), MREG_FASTMCP_RATE_LIMIT_ANONYMOUS_RPM="20",
            MREG_FASTMCP_RATE_LIMIT_USER_RPM="6000", MREG_FASTMCP_DDOS_DETECTION_THRESHOLD=str(THRESHOLD),
        ) as running, self.check(f"{count} addresses with bad tokens leave room for those who are known") as told:
            known = [running.control.token(user) for user in ("alice", "bob")]
            late = [running.control.token(f"late-{number}") for number in range(20)]
            served: Counter[int] = Counter()
            waits: list[float] = []
            ending = threading.Event()

            def work() -> None:
                with Wire(running.address) as wire:
                    while not ending.is_set():
                        for token in known:
                            began = time.monotonic()
                            served[wire.ask(ping(token, "203.0.113.50")).status] += 1
                            waits.append(time.monotonic() - began)
                        ending.wait(0.05)

            worker = threading.Thread(target=work)
            worker.start()
            strangers = flood(running.address, (ping(BAD, self.some_address()) for _ in range(count)), connections=8, window=16)
            ending.set()
            worker.join()
            told.append(f"strangers got {dict(strangers)}, known users {dict(served)} in up to {max(waits) * 1000:.0f} ms")
            told.append(f"{running.control.get('/reports/pacing')['entries']} entries")
            other = {status: number for status, number in strangers.items() if status not in (401, 403, 429)}
            self.expect(not other, f"strangers got {dict(strangers)}")
            self.expect(set(served) == {200} and served.total() > 20, f"known users got {dict(served)}")
            statuses = Counter(running.ask(ping(token, "203.0.113.51")).status for token in late)
            self.expect(statuses == {200: len(late)}, f"users who come now get {dict(statuses)}")

    # MARK: Losses

    RATE = 300  # a minute, and what a full bucket holds

    def lost_folder(self) -> None:
        with self.gateway(MREG_FASTMCP_RATE_LIMIT_USER_RPM=str(self.RATE), **ONE_BURST) as running:
            with self.check("the folder of buckets is deleted under it: it goes on, and grants no more") as told:
                token = running.control.token("alice")
                began = boot_seconds()
                granted = flood(running.address, [ping(token)] * (self.RATE + 50), connections=4)[200]
                shutil.rmtree(running.server.state / "buckets")
                for _ in range(3):
                    statuses = flood(running.address, [ping(token)] * 100, connections=4)
                    granted += statuses[200]
                    self.expect(set(statuses) <= {200, 429}, f"then it answered {dict(statuses)}")
                    time.sleep(0.7)
                fits = self.RATE + self.RATE / 60 * (boot_seconds() - began)
                told.append(f"{granted} granted where {fits:.0f} fit")
                self.expect(granted <= fits, f"{granted} were granted where {fits:.1f} fit")
                running.again()
                statuses = flood(running.address, [ping(token)] * (self.RATE + 50), connections=4)
                granted += statuses[200]
                fits = self.RATE + self.RATE / 60 * (boot_seconds() - began)
                told.append(f"after a kill {granted} where {fits:.0f} fit")
                self.expect(set(statuses) <= {200, 429}, f"after a kill it answered {dict(statuses)}")
                self.expect(granted <= fits + self.RATE, f"after a kill, {granted} were granted where {fits:.1f} and a burst fit")

    def cut_file(self) -> None:
        with self.gateway(MREG_FASTMCP_RATE_LIMIT_USER_RPM=str(self.RATE), **ONE_BURST) as running:
            kinds = {"under load": True, "while nobody asks": False}
            for kind, is_asking in list(kinds.items())[:1 if self.arguments.quick else 2]:
                with self.check(f"the file of buckets is cut off {kind}: ready again within a second") as told:
                    began = boot_seconds()
                    token = running.control.token("alice" if is_asking else "bob")
                    time.sleep(max(0, 6.5 - (time.monotonic() - running.started)))
                    granted = flood(running.address, [ping(token)] * (self.RATE + 50), connections=4)[200]
                    pid = running.server.process.pid
                    os.truncate(running.server.state / "buckets" / "data.mdb", 4096)
                    cut = time.monotonic()
                    granted += self.ask_until_ready(running, token, is_asking)
                    took = time.monotonic() - cut
                    running.started = time.monotonic()
                    told.append(f"ready after {took * 1000:.0f} ms")
                    self.expect(took <= READY_AGAIN_WITHIN + (0 if is_asking else 1.0), f"ready after {took:.2f} s")
                    self.expect(running.server.process.poll() is None and running.server.process.pid == pid, "it is another process")
                    statuses = flood(running.address, [ping(token)] * (self.RATE + 50), connections=4)
                    granted += statuses[200]
                    fits = self.RATE + self.RATE / 60 * (boot_seconds() - began)
                    told.append(f"{granted} granted where {fits:.0f} fit")
                    self.expect(set(statuses) <= {200, 429}, f"then it answered {dict(statuses)}")
                    self.expect(granted <= fits + self.RATE, f"{granted} were granted where {fits:.1f} and a burst fit")

    def ask_until_ready(self, running: "Running", token: str, is_asking: bool) -> int:
        """Asks until a connection that was made after the loss is answered; returns how much was granted."""
        granted = 0
        has_died = False
        if not is_asking:
            # It looks at the file once a second; a connection that is open then is closed.
            with Wire(running.address, timeout=10) as wire:
                try:
                    wire.answer()
                except OSError:
                    has_died = True
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with Wire(running.address, timeout=5) as wire:
                    while True:
                        answer = wire.ask(ping(token))
                        granted += answer.status == 200
                        if has_died:
                            self.expect(answer.status in (200, 429), f"then it answered {answer.status}")
                            return granted
                        time.sleep(0.001)
            except OSError:
                has_died = True
                time.sleep(0.002)
        raise DidNotStart("it was never ready again")

    def killed_while_taking(self) -> None:
        rounds, rate = 10, 900
        with self.gateway(MREG_FASTMCP_RATE_LIMIT_GLOBAL_RPM=str(rate), **ONE_BURST) as running:
            with self.check(f"{rounds} kills in the middle of takes grant nothing") as told:
                for name in ("red", "blue"):
                    running.control.post("/tenants", name=name)
                tokens = [running.control.token(f"user-{number}", ("red", "blue")[number % 2]) for number in range(4)]
                statuses: Counter[int] = Counter()
                began = boot_seconds()
                for round in range(rounds):
                    if round:
                        running.again()
                    ends = time.monotonic() + self.random.uniform(0.15, 0.4)

                    def take(token: str) -> None:
                        try:
                            with Wire(running.address) as wire:
                                while True:
                                    statuses[wire.ask(ping(token)).status] += 1
                        except OSError:
                            pass

                    threads = [threading.Thread(target=take, args=(tokens[number % 4],)) for number in range(16)]
                    for thread in threads:
                        thread.start()
                    time.sleep(max(0, ends - time.monotonic()))
                    running.server.process.kill()
                    for thread in threads:
                        thread.join()
                    fits = rate + rate / 60 * (boot_seconds() - began)
                    self.expect(statuses[200] <= fits, f"after {round + 1} rounds, {statuses[200]} were granted where {fits:.1f} fit")
                told.append(f"{statuses[200]} granted where {fits:.0f} fit, {statuses[429]} refused")
                self.expect(set(statuses) == {200, 429}, f"answers were {dict(statuses)}")
                running.again()

    # MARK: Limits

    def limits(self) -> None:
        with self.gateway(**ONE_BURST) as running:
            control = running.control
            alice, bob = control.token("alice"), control.token("bob")
            with self.check("a user's limit holds at the next request, and is gone at the next"):
                for _ in range(20):
                    self.status(running.ask(ping(alice)), 200, "without a limit")
                control.post("/limits", users={"alice": 3})
                answers = [running.ask(ping(alice)) for _ in range(4)]
                self.expect([answer.status for answer in answers] == [200, 200, 200, 429], f"{[answer.status for answer in answers]}")
                self.expect(answers[0].fields.get("ratelimit-policy") == '"user";q=3;w=60', f"{answers[0].fields}")
                self.refused(answers[3], "user", "alice")
                self.status(running.ask(ping(bob)), 200, "another user")
                control.post("/limits", users={"alice": None})
                self.status(running.ask(ping(alice)), 200, "with the limit taken back")
            with self.check("a limit that is lowered takes what was saved up"):
                control.post("/limits", users={"bob": 600})
                self.status(running.ask(ping(bob)), 200, "under the first limit")
                control.post("/limits", users={"bob": 6})
                answer = running.ask(ping(bob))
                self.expect(answer.status == 200 and answer.fields.get("x-ratelimit-remaining") == "5", f"{answer.status} {answer.fields}")
                control.post("/limits", users={"bob": None})
            with self.check("a tenant's limit holds for all its users together"):
                control.post("/tenants", name="small")
                control.post("/limits", tenant="small", requests_per_minute=5)
                users = [control.token(f"user-{number}", "small") for number in range(3)]
                answers = [running.ask(ping(users[number % 3])) for number in range(7)]
                self.expect([answer.status for answer in answers] == [200] * 5 + [429] * 2, f"{[answer.status for answer in answers]}")
                self.refused(answers[6], "tenant", "small")
            with self.check("limits are on record: a kill does not lift them"):
                running.again()
                self.status(running.ask(ping(users[0])), 429, "under the tenant's limit")
                self.expect(running.control.get("/limits?tenant=small")["limits"]["requests_per_minute"] == 5, "it is not there")
            with self.check("a quota of the day"):
                control = running.control
                control.post("/tenants", name="metered")
                control.post("/limits", tenant="metered", daily=4)
                token = control.token("user", "metered")
                answers = [running.ask(ping(token)) for _ in range(5)]
                self.expect([answer.status for answer in answers] == [200] * 4 + [429], f"{[answer.status for answer in answers]}")
                self.refused(answers[4], "daily_quota", "metered")
                self.expect(1 <= int(answers[4].fields["retry-after"]) <= 86_400, f"Retry-After: {answers[4].fields['retry-after']}")
                running.again()
                self.status(running.ask(ping(token)), 429, "after a kill")
                quotas = running.control.get("/limits?tenant=metered")["quotas"]
                self.expect(quotas["daily"]["used"] == 4 and quotas["daily"]["limit"] == 4, f"{quotas}")
                running.control.post("/limits", tenant="metered", daily=None)
                self.status(running.ask(ping(token)), 200, "with the quota taken back")
            with self.check("a quota of the month"):
                running.control.post("/limits", tenant="metered", monthly=2)
                answers = [running.ask(ping(token)) for _ in range(3)]
                self.expect([answer.status for answer in answers] == [200, 200, 429], f"{[answer.status for answer in answers]}")
                self.refused(answers[2], "monthly_quota", "metered")

    def seats(self) -> None:
        with self.gateway(MREG_FASTMCP_MAX_CONCURRENT_USERS="5") as running:
            with self.check("of users at the same time, one too many is told when to come again"):
                tokens = [running.control.token(f"user-{number}") for number in range(6)]
                answers = [running.ask(ping(token)) for token in tokens]
                self.expect([answer.status for answer in answers] == [200] * 5 + [503], f"{[answer.status for answer in answers]}")
                self.expect(int(answers[5].fields.get("retry-after", 0)) >= 1, f"Retry-After: {answers[5].fields.get('retry-after')}")
                self.status(running.ask(ping(tokens[0])), 200, "who was there before")
                self.status(running.ask(ping(running.control.token("root", role="admin"))), 200, "an admin")

    # MARK: Costs

    def cost_of_blocked(self) -> None:
        release = Path(self.arguments.mreg).parent.parent / "release" / "mreg"
        is_release = release.exists()
        count = 20_000
        with self.gateway(str(release) if is_release else None, **GUARDED) as running:
            with self.check("a blocked request costs next to nothing") as told:
                flood(running.address, [ping(BAD, "203.0.113.60")] * THRESHOLD, connections=1)
                request = ping(None, "203.0.113.60")
                flood(running.address, [request] * 2000)
                # Waking up for a single request costs more than the request. What counts is what a flood costs.
                for what, connections, window, is_judged in (
                    ("on 8 connections one by one", 8, 1, False), ("on 64 one by one", 64, 1, False), ("on 64 four at once", 64, 4, is_release),
                ):
                    before = running.processor_seconds()
                    statuses = flood(running.address, [request] * count, connections, window)
                    each = (running.processor_seconds() - before) / count * 1e6
                    told.append(f"{each:.1f} µs {what}")
                    self.expect(statuses == {403: count}, f"{dict(statuses)}")
                    self.expect(each < BLOCKED_COSTS_AT_MOST or not is_judged, f"{each:.1f} µs of processor time {what}")
                told.append("the release" if is_release else "not the release, so not judged")

    # MARK: All

    def can_fail(self) -> bool:
        """With blocking turned off, its check must fail."""
        self.is_quiet = True
        before = len(self.violations), self.checks
        with self.gateway(MREG_FASTMCP_ENABLE_DDOS_PROTECTION="false", **GUARDED) as running:
            self.blocking(running)
        seen = len(self.violations) - before[0]
        del self.violations[before[0]:]
        self.checks = before[1]
        self.is_quiet = False
        print(f"self-test, a gateway that blocks nobody: {seen} violations: {'the rig can fail' if seen else 'VIOLATION it should be some'}", flush=True)
        return seen > 0

    def run(self) -> None:
        parts: list[Callable[[], None]] = [
            self.undeclared_peers, self.addresses, self.many_addresses, self.lost_folder, self.cut_file, self.killed_while_taking, self.limits,
            self.seats, self.cost_of_blocked,
        ]
        for part in parts:
            if self.arguments.only and part.__name__ not in self.arguments.only:
                continue
            try:
                part()
            except (OSError, DidNotStart) as error:
                self.violation(f"{part.__name__}: {type(error).__name__}: {error}")


class Running:
    """A gateway that may be killed and started again, and a connection to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.started = time.monotonic()
        self._wire: Wire | None = None

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    @property
    def control(self):
        return self.server.control

    def ask(self, request: bytes) -> Answer:
        if self._wire is None:
            self._wire = Wire(self.address)
        try:
            answer = self._wire.ask(request)
        except OSError:
            self._wire = None
            raise
        if answer.fields.get("connection") == "close":
            self._wire = None
        return answer

    def again(self) -> None:
        self._wire = None
        self.server = self.server.again()
        self.started = time.monotonic()

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mreg", required=True)
    parser.add_argument("--quick", action="store_true", help="fewer addresses, and the file is cut off once")
    parser.add_argument("--only", nargs="*", default=[], help="parts to run")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    arguments.mreg = str(Path(arguments.mreg).resolve())
    if arguments.seed is None:
        arguments.seed = random.randrange(2**32)
    began = time.monotonic()
    with Folder() as folder:
        rig = Rig(arguments, folder)
        works = rig.can_fail()
        rig.run()
    print(f"hostile: {rig.checks} checks, {len(rig.violations)} violations in {time.monotonic() - began:.1f} s, seed {arguments.seed}")
    return 1 if rig.violations or not works else 0


if __name__ == "__main__":
    sys.exit(main())
