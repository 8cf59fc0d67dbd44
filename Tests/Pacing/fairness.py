#!/usr/bin/env python3
"""Counts the answers that tenants get while the gateway's capacity is short, and compares them with weighted max-min."""

import argparse
import asyncio
import heapq
import multiprocessing
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from callers import Folder, Line, Server, environment, flood, percentile, ping

INDEX_AT_LEAST = 0.99
# Of what flows in; where tenants come and go, some of it fills the parts of those who left, until the window forgets them.
USED_AT_LEAST = 0.95
USED_WHEN_CHANGING = 0.8
REPORT_MAY_DIFFER = 0.01  # it looks at slices
SETTLING = 1.5  # seconds from the start of the callers to that of counting
WINDOW = 60


@dataclass
class Member:
    """A tenant as it behaves in a scenario."""

    name: str
    weight: int = 1
    pace: float | None = None  # requests a second; None for as many as are answered
    lines: int = 4  # connections of one without a pace
    stays: tuple[float, float] = (0, 1e9)  # seconds of the scenario
    token: str = ""


@dataclass
class Seen:
    """What callers saw, by tenant and tenth of a second."""

    granted: Counter[tuple[str, int]] = field(default_factory=Counter)
    refused: Counter[tuple[str, int]] = field(default_factory=Counter)
    strange: Counter[int] = field(default_factory=Counter)  # answers that are neither
    waits: list[float] = field(default_factory=list)  # of those with a pace, in seconds

    def note(self, name: str, moment: float, status: int) -> None:
        if status == 200:
            self.granted[name, int(moment * 10)] += 1
        elif status == 429:
            self.refused[name, int(moment * 10)] += 1
        else:
            self.strange[status] += 1

    def add(self, other: "Seen") -> None:
        self.granted += other.granted
        self.refused += other.refused
        self.strange += other.strange
        self.waits += other.waits

    def sums(self, start: float, end: float) -> tuple[Counter[str], Counter[str]]:
        result = Counter(), Counter()
        for sums, counts in zip(result, (self.granted, self.refused)):
            for (name, tenth), count in counts.items():
                if start * 10 <= tenth < end * 10:
                    sums[name] += count
        return result


async def call(address: tuple[str, int], members: list[Member], began: float, end: float, lines: int) -> Seen:
    """Members with a pace share the lines; the others have their own."""
    seen = Seen()

    async def greedy(member: Member) -> None:
        line = await Line.to(address)
        request = ping(member.token)
        await asyncio.sleep(began + member.stays[0] - time.monotonic())
        while (now := time.monotonic() - began) < min(end, member.stays[1]):
            seen.note(member.name, now, await line.ask(request))
        line.close()

    async def paced(some: list[Member]) -> None:
        line = await Line.to(address)
        due = [(began + number / len(some) / member.pace, number) for number, member in enumerate(some)]
        heapq.heapify(due)
        while due:
            moment, number = heapq.heappop(due)
            await asyncio.sleep(max(0, moment - time.monotonic()))
            sent = time.monotonic()
            if sent - began >= end:
                break
            status = await line.ask(ping(some[number].token))
            seen.note(some[number].name, sent - began, status)
            seen.waits.append(time.monotonic() - sent)
            heapq.heappush(due, (max(moment + 1 / some[number].pace, sent), number))
        line.close()

    quiet = [member for member in members if member.pace]
    tasks = [paced(quiet[start::lines]) for start in range(min(lines, len(quiet)))]
    tasks += [greedy(member) for member in members if not member.pace for _ in range(member.lines)]
    await asyncio.gather(*tasks)
    return seen


def _call(pipe, *arguments) -> None:
    # The gateway and those who are timed need the processor first: what is measured is not how callers share it.
    os.nice(5)
    pipe.send(asyncio.run(call(*arguments)))


def calls(address: tuple[str, int], members: list[Member], seconds: float, lines: int = 64) -> Seen:
    """Greedy members run in a process of their own, so that they do not hold up those with a pace, who are timed."""
    began = time.monotonic() + 0.5
    greedy = [member for member in members if not member.pace]
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe()
    process = processes.Process(target=_call, args=(there, address, greedy, began, seconds, lines))
    if greedy:
        process.start()
    seen = asyncio.run(call(address, [member for member in members if member.pace], began, seconds, lines))
    if greedy:
        seen.add(here.recv())
        process.join()
    return seen


def max_min(wishes: dict[str, tuple[float, float]], capacity: float) -> dict[str, float]:
    """By name, weight and demand."""
    shares = {}
    left, weights = capacity, sum(weight for weight, _ in wishes.values())
    for name, (weight, demand) in sorted(wishes.items(), key=lambda wish: wish[1][1] / wish[1][0]):
        shares[name] = min(demand, left * weight / weights)
        left -= shares[name]
        weights -= weight
    return shares


def jain(values: list[float]) -> float:
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


class Scenario:
    def __init__(
        self, title: str, members: list[Member], per_minute: int, seconds: float, changes: tuple[float, ...] = (), settling: float = SETTLING,
        lines: int = 64,
    ) -> None:
        self.title, self.members, self.per_minute, self.seconds = title, members, per_minute, seconds
        # Between these nobody comes or goes; what is ideal is reckoned for each of them.
        self.marks = (settling, *changes, seconds + settling)
        self.lines = lines
        self.misses: list[str] = []
        self.total: Counter[str] = Counter()

    def miss(self, text: str) -> None:
        self.misses.append(f"{self.title}: {text}")

    def run(self, mreg: str) -> None:
        settings = {
            "MREG_FASTMCP_RATE_LIMIT_GLOBAL_RPM": str(self.per_minute), "MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR": "1.0",
            "MREG_FASTMCP_TENANT_BURST_ALLOWANCE_FACTOR": "1.0", "MREG_FASTMCP_TENANT_FAIRNESS_WINDOW_SECONDS": str(WINDOW),
            "MREG_FASTMCP_MAX_CONCURRENT_USERS": "5000",
        }
        with Folder() as folder:
            gateway = Server(mreg, folder / "state", environment("batched", **settings)).wait()
            try:
                self.set_up(gateway)
                self.measure(gateway)
            finally:
                gateway.stop()

    def set_up(self, gateway: Server) -> None:
        for member in self.members:
            gateway.control.post("/tenants", name=member.name)
            if member.weight != 1:
                gateway.control.post("/limits", tenant=member.name, weight=member.weight)
            member.token = gateway.control.token("caller", member.name)

    def measure(self, gateway: Server) -> None:
        began = time.monotonic()
        present = [member for member in self.members if member.stays[0] == 0]
        # Everybody is known before the capacity is short, so that the welcome of newcomers is filled up again.
        self.count(flood(gateway.address, [ping(member.token) for member in present]))
        quiet = [member for member in present if member.pace]
        alone = calls(gateway.address, quiet, min(6, self.seconds / 3), self.lines) if 0 < len(quiet) < 100 else Seen()
        self.use_up(gateway, [member for member in present if not member.pace or len(quiet) >= 100])
        before = self.report(gateway)
        seen = calls(gateway.address, self.members, self.marks[-1], self.lines)
        self.judge(seen, alone)
        own = self.report(gateway)
        counted = sum(alone.granted.values()) + sum(seen.granted.values()) + self.total["warm-up"]
        said = sum(line["granted"] for line in own["tenants"])
        is_whole = time.monotonic() - began < WINDOW - 4
        said_index = own["fairness_efficiency"]
        if is_whole:
            # The warm-up, when saved bursts are spent, is no measure.
            earlier = {line["tenant"]: line for line in before["tenants"]}
            nothing = {"granted": 0, "ideal_share": 0}
            parts = [[line[name] - earlier.get(line["tenant"], nothing)[name] for name in nothing] for line in own["tenants"]]
            said_index = jain([granted / ideal for granted, ideal in parts if ideal > 0])
        if abs(said_index - self.index) > REPORT_MAY_DIFFER:
            self.miss(f"the report says {said_index:.4f}")
        if is_whole and said != counted:
            self.miss(f"the report says that {said} were granted, counted were {counted}")
        said_text = f"{said} of {counted}" if is_whole else "(longer than its window)"
        false = own["false_positive_rate"]
        print(f"{self.row} {said_index:.4f}  {false:.5f}  {said_text}", flush=True)

    def report(self, gateway: Server) -> dict:
        """With everything that was asked until now: it leaves out the slice that is not over."""
        time.sleep(WINDOW / 30 + 0.2)
        return gateway.control.get("/reports/pacing")

    def count(self, statuses: Counter[int]) -> int:
        self.total["warm-up"] += statuses[200]
        return statuses[200]

    def use_up(self, gateway: Server, members: list[Member]) -> None:
        """Takes the saved bursts, of each of them."""
        left = members
        while left:
            piece = max(1, 300 // len(left))
            still = []
            if len(left) > 20:
                granted = self.count(flood(gateway.address, [ping(member.token) for member in left]))
                still = left if granted > len(left) / 2 else []
            else:
                for member in left:
                    if self.count(flood(gateway.address, [ping(member.token)] * piece)) > piece / 2:
                        still.append(member)
            left = still

    def judge(self, seen: Seen, alone: Seen) -> None:
        ideal: Counter[str] = Counter()
        for start, end in zip(self.marks, self.marks[1:]):
            granted, refused = seen.sums(start, end)
            wishes = {
                member.name: (member.weight, granted[member.name] + refused[member.name])
                for member in self.members if granted[member.name] + refused[member.name]
            }
            ideal.update(max_min(wishes, max(granted.total(), self.per_minute / 60 * (end - start))))
        granted, refused = seen.sums(self.marks[0], self.marks[-1])
        self.index = jain([granted[name] / share for name, share in ideal.items()])
        used = granted.total() / (self.per_minute / 60 * self.seconds)
        quiet = {member.name for member in self.members if member.pace and len(self.members) < 100}
        honest = sum(count for (name, _), count in (seen.refused + alone.refused).items() if name in quiet)
        before, beside = percentile(alone.waits, 0.95) * 1000, percentile(seen.waits, 0.95) * 1000
        if self.index < INDEX_AT_LEAST:
            self.miss(f"an index of {self.index:.4f}")
            for name, share in sorted(ideal.items(), key=lambda item: granted[item[0]] / item[1])[:8]:
                print(f"    {name}: granted {granted[name]}, ideal {share:.1f}, refused {refused[name]}")
        if honest:
            self.miss(f"{honest} requests of honest tenants were refused")
        if seen.strange or alone.strange:
            self.miss(f"other answers: {dict(seen.strange + alone.strange)}")
        if used < (USED_AT_LEAST if len(self.marks) == 2 else USED_WHEN_CHANGING):
            self.miss(f"only {used:.1%} of what flows in was granted")
        if granted.total() > self.per_minute / 60 * self.seconds * 1.05 + 50:
            self.miss(f"{used:.1%} of what flows in was granted: the warm-up did not use up the bursts")
        timed = f"{before:6.1f} {beside:7.1f} {beside / before:6.2f}" if quiet else "     -       -      -"
        worst = min(granted[name] / share for name, share in ideal.items())
        self.row = (
            f"{self.title:<32} {len(self.members):7} {granted.total():7} {ideal.total():8.0f} {used:6.1%} {self.index:.4f} {worst:5.2f}"
            f" {honest if quiet else '-':>7} {timed}"
        )


HEADER = (
    f"{'scenario':<32} {'tenants':>7} {'granted':>7} {'ideal':>8} {'used':>6} {'index':>6} {'worst':>5} {'refused':>7}"
    f" {'alone':>6} {'beside':>7} {'ratio':>6} {'report':>6}  {'falsely':>7}  its sum"
)


def scenarios(is_quick: bool) -> list[Scenario]:
    per_minute, seconds = (3000, 12) if is_quick else (6000, 25)
    pace = per_minute / 60 / 10 / 2  # half of an honest tenant's share
    one_greedy = [Member("greedy"), *(Member(f"honest-{number}", pace=pace) for number in range(1, 10))]
    result = [
        Scenario("a: one of ten asks 1000x", one_greedy, per_minute, seconds),
        Scenario("b: weights 1:2:4, all greedy", [Member(f"weight-{weight}", weight) for weight in (1, 2, 4)], per_minute, seconds),
    ]
    if is_quick:
        return result
    stays = [(0, 1e9), (0, 1e9), (0, 16.5), (0, 21.5), (6.5, 1e9), (11.5, 1e9)]
    coming = [Member(f"guest-{number}", lines=2, stays=stay) for number, stay in enumerate(stays)]
    result.append(Scenario("c: tenants come and go", coming, per_minute, seconds, (6.5, 11.5, 16.5, 21.5)))
    thousand = [Member("hog"), *(Member(f"small-{number}", pace=0.8) for number in range(1, 1000))]
    result.append(Scenario("d: a thousand tenants, one a hog", thousand, 24_000, 25, settling=6))
    return result


def can_fail() -> bool:
    """A division made unfair on purpose must be reported."""
    scenario = Scenario("self-test", [Member("one"), Member("other")], 600, 10)
    seen = Seen()
    for tenth in range(15, 115):
        seen.granted["one", tenth] = seen.refused["one", tenth] = seen.refused["other", tenth] = 1
    scenario.marks = (1.5, 11.5)
    seen.granted["other", 20] = 50
    quiet, sys.stdout = sys.stdout, open("/dev/null", "w")
    scenario.judge(seen, Seen())
    sys.stdout.close()
    sys.stdout = quiet
    works = any("index" in miss for miss in scenario.misses)
    print(f"self-test, 100 to 50 between equals: an index of {scenario.index:.3f}: {'the rig can fail' if works else 'VIOLATION it should be a miss'}")
    return works


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mreg", required=True)
    parser.add_argument("--quick", action="store_true", help="a and b alone, at half the rate")
    parser.add_argument("--only", default="", help="letters of the scenarios to run")
    arguments = parser.parse_args()
    mreg = str(Path(arguments.mreg).resolve())
    works = can_fail()
    print(HEADER)
    misses: list[str] = []
    for scenario in scenarios(arguments.quick):
        if not arguments.only or scenario.title[0] in arguments.only:
            scenario.run(mreg)
            misses += scenario.misses
    print("times are the 95th percentiles of honest tenants, in ms")
    for miss in misses:
        print(f"VIOLATION {miss}")
    return 1 if misses or not works else 0


if __name__ == "__main__":
    sys.exit(main())
