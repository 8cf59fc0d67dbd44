#!/usr/bin/env python3
"""Records every write of a loaded gateway, then cuts the power at many moments and looks at what would be left."""

import argparse
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

from rig import Callers, Folder, Gateway, compiled, environment, request_id

HEADER = struct.Struct("<IIIIQQQqqqII")
OPEN, WRITE, SYNC, TRUNCATE, UNLINK, RENAME, MKDIR, ALLOCATE, ANSWER, CLOSE = range(1, 11)
SECTOR = 512
KINDS = ("synced", "all", "prefix", "subset", "torn", "shredded")
PHASES = ("first start", "steady", "checkpoint", "stop and start")


# --- recording ---------------------------------------------------------------------------------------------------------


def record(arguments: argparse.Namespace, folder: Path) -> dict:
    """First start, load, a stop in good order, a second start, load, kill -9, a third start, a stop."""
    watched, log = folder / "watched", folder / "log"
    watched.mkdir()
    shim = compiled("trace.c", folder)
    env = environment(arguments.durability, LD_PRELOAD=shim, CRASH_TRACE_DIR=str(watched), CRASH_TRACE_LOG=str(log))
    answers: list[tuple[int, int]] = []  # that were seen by a caller, and when
    marks = [("first start", 0)]

    def start() -> Gateway:
        gateway = Gateway(arguments.mreg, watched / "state", env).wait()
        marks.append(("steady", time.monotonic_ns()))
        return gateway

    def load(gateway: Gateway, calls: int) -> None:
        tokens = [gateway.token(user) for user in ("alice", "bob", "carol")]
        callers = Callers(gateway.address, tokens, arguments.clients, calls)
        callers.join()
        answers.extend(callers.answers)
        if callers.statuses:
            print(f"note: answers other than 200: {callers.statuses}")

    def touched() -> int:
        return os.stat(watched / "state/gateway.sqlite").st_mtime_ns

    gateway = start()
    before = touched()
    load(gateway, arguments.calls)
    for _ in range(5):  # until the log has been copied back at least once under load
        if touched() != before:
            load(gateway, arguments.calls // 4)
            break
        load(gateway, arguments.calls)
    marks.append(("stop and start", time.monotonic_ns()))
    gateway.stop()
    gateway = start()
    load(gateway, arguments.calls // 2)
    marks.append(("stop and start", time.monotonic_ns()))
    killed = time.monotonic_ns()
    gateway.kill()
    if arguments.durability == "batched":
        answers = [(moment, request) for moment, request in answers if moment < killed - arguments.grace * 1_000_000]
    gateway = start()
    load(gateway, arguments.calls // 8)
    marks.append(("stop and start", time.monotonic_ns()))
    gateway.stop()
    key = watched / "state/keys/record-key"
    help_text = subprocess.run([arguments.mreg, "audit", "verify", "--help"], capture_output=True, text=True, env=environment()).stdout
    has_verify = arguments.verify > 0 and key.exists() and "--key" in help_text
    return {"key": key if has_verify else None, "log": log, "state": str(watched / "state"), "answers": answers, "marks": marks}


class Operation:
    __slots__ = ("kind", "begin", "end", "offset", "result", "argument", "handle", "data", "data2", "file", "path", "moment")


class File:
    """What one inode of the watched database holds: what is surely on disk, and what may be."""

    __slots__ = ("name", "synced", "pending")

    def __init__(self, name: str) -> None:
        self.name = name
        self.synced = bytearray()
        self.pending: list[Operation] = []


def read_log(recorded: dict) -> tuple[list[Operation], dict[int, int]]:
    """The operations on the database's files and their folders, in the order they ended; and when each answer was sent."""
    data = memoryview(Path(recorded["log"]).read_bytes())
    state = recorded["state"]
    database = f"{state}/gateway.sqlite"
    paths = {database, f"{database}-wal", f"{database}-journal"}
    folders = {state, os.path.dirname(state)}
    names: dict[tuple[int, int], str] = {}
    operations: list[Operation] = []
    sent: dict[int, int] = {}
    at = 0
    while at < len(data):
        pid, kind, _tid, handle, _seq, begin, end, offset, result, argument, length1, length2 = HEADER.unpack_from(data, at)
        at += HEADER.size
        first, second = bytes(data[at:at + length1]), bytes(data[at + length1:at + length1 + length2])
        at += length1 + length2
        if kind == ANSWER:
            if first.startswith(b"HTTP/1.1 200") and b"x-request-id:" in first.lower():
                sent.setdefault(request_id(first), begin)
            continue
        if kind == OPEN:
            names[pid, handle] = first.decode()
        path = names.get((pid, handle)) if kind in (OPEN, WRITE, SYNC, TRUNCATE, ALLOCATE, CLOSE) else first.decode()
        if kind == CLOSE or (path not in paths and not (path in folders and kind in (SYNC, MKDIR))):
            if kind != RENAME or second.decode() not in paths:
                continue
        operation = Operation()
        operation.kind, operation.begin, operation.end, operation.offset = kind, begin, end, offset
        operation.result, operation.argument, operation.handle = result, argument, (pid, handle)
        operation.data, operation.data2, operation.path = first, second.decode(), path
        operation.file = None
        operations.append(operation)
    operations.sort(key=lambda operation: operation.end)
    return operations, sent


def not_synced(recorded: dict) -> list[str]:
    """The other files that a strict file system need not have when the first answer leaves (what is mapped is not looked at)."""
    data = memoryview(Path(recorded["log"]).read_bytes())
    names: dict[tuple[int, int], str] = {}
    contents: dict[str, int] = {}
    entries: dict[str, int] = {}
    syncs: dict[str, int] = {}
    at = 0
    while at < len(data):
        pid, kind, _tid, handle, _seq, begin, end, offset, result, _arg, length1, length2 = HEADER.unpack_from(data, at)
        at += HEADER.size
        first, second = bytes(data[at:at + length1]), bytes(data[at + length1:at + length1 + length2])
        at += length1 + length2
        if kind == ANSWER:
            if first.startswith(b"HTTP/1.1 200") and b"x-request-id:" in first.lower():
                break
        elif kind == OPEN:
            names[pid, handle] = first.decode()
            if offset:
                entries[first.decode()] = end
        elif kind == MKDIR:
            entries[first.decode()] = end
        elif kind == RENAME:
            old, new = first.decode(), second.decode()
            entries.pop(old, None)
            entries[new] = end
            contents[new], syncs[new] = contents.pop(old, 0), syncs.pop(old, 0)
        elif kind == UNLINK:
            entries.pop(first.decode(), None)
            contents.pop(first.decode(), None)
        elif kind in (WRITE, TRUNCATE):
            contents[names[pid, handle]] = end
        elif kind == SYNC and result == 0:
            syncs[names[pid, handle]] = begin
    state = recorded["state"]
    passing = ("-shm", "-wal", "-journal", "/lock", ".sock", ".mdb", "/boot-id")
    found = []
    for path in sorted({*contents, *entries}):
        if path.endswith(passing):
            continue
        short = os.path.relpath(path, state)
        if contents.get(path, 0) > syncs.get(path, 0) and path != f"{state}/gateway.sqlite":
            found.append(f"the content of {short}")
        if entries.get(path, 0) > syncs.get(os.path.dirname(path), 0):
            found.append(f"the name {short}")
    return found


# --- what is left after a cut --------------------------------------------------------------------------------------------


def apply(image: bytearray, operation: Operation, keep=None) -> None:
    """Applies a write to an image; `keep` says which of its 512-byte blocks arrived."""
    if operation.kind == WRITE:
        end = operation.offset + len(operation.data)
        if keep is None:
            if len(image) < end:
                image.extend(bytes(end - len(image)))
            image[operation.offset:end] = operation.data
            return
        at = operation.offset
        while at < end:
            stop = min(end, (at // SECTOR + 1) * SECTOR)
            if keep():
                if len(image) < stop:
                    image.extend(bytes(stop - len(image)))
                image[at:stop] = operation.data[at - operation.offset:stop - operation.offset]
            at = stop
    elif operation.kind == TRUNCATE:
        if keep is not None and not keep():
            return
        if len(image) > operation.offset:
            del image[operation.offset:]
        else:
            image.extend(bytes(operation.offset - len(image)))
    elif operation.kind == ALLOCATE and not operation.argument:
        end = operation.offset + operation.result
        if len(image) < end:
            image.extend(bytes(end - len(image)))


class Disk:
    """Follows the operations, and knows at each moment what a power cut leaves for certain and what by chance."""

    def __init__(self, forgets_syncs: bool) -> None:
        self.forgets_syncs = forgets_syncs
        self.handles: dict[tuple[int, int], File | None] = {}
        self.live: dict[str, File] = {}  # names as the program sees them
        self.durable: dict[str, File] = {}  # names that are surely on disk
        self.directory: list[tuple[Operation, File | None]] = []  # what happened to names since

    def feed(self, operation: Operation) -> None:
        kind = operation.kind
        if kind == OPEN:
            if operation.offset or operation.path not in self.live:
                file = File(operation.path)
                self.live[operation.path] = file
                self.directory.append((operation, file))
            file = self.handles[operation.handle] = self.live[operation.path]
            if operation.argument & os.O_TRUNC:
                cut = Operation()
                cut.kind, cut.offset, cut.begin, cut.end = TRUNCATE, 0, operation.begin, operation.end
                file.pending.append(cut)
        elif kind in (WRITE, TRUNCATE, ALLOCATE):
            file = self.handles.get(operation.handle)
            if file is not None:
                file.pending.append(operation)
        elif kind == UNLINK:
            self.directory.append((operation, self.live.pop(operation.path, None)))
        elif kind == RENAME:
            file = self.live.pop(operation.path, None)
            if file is not None:
                self.live[operation.data2] = file
                self.directory.append((operation, file))
        elif kind == SYNC and operation.result == 0 and not self.forgets_syncs:
            file = self.handles.get(operation.handle)
            if file is None:
                self._sync_names(operation.begin)
                return
            # A journaling file system has the name of a synced file as well, with all that happened to names before it.
            created = [number for number, (_, made) in enumerate(self.directory) if made is file]
            if created:
                self._sync_names(self.directory[created[-1]][0].end + 1)
            early = [write for write in file.pending if write.end <= operation.begin]
            if early:
                for write in early:
                    apply(file.synced, write)
                file.pending = [write for write in file.pending if write.end > operation.begin]

    def _sync_names(self, before: int) -> None:
        while self.directory and self.directory[0][0].end <= before:
            self._rename(self.durable, *self.directory.pop(0))

    @staticmethod
    def _rename(names: dict[str, File], operation: Operation, file: File | None) -> None:
        if operation.kind == OPEN and file is not None:
            names[operation.path] = file
        elif operation.kind == UNLINK:
            names.pop(operation.path, None)
        elif operation.kind == RENAME and operation.path in names:
            names[operation.data2] = names.pop(operation.path)

    def left(self, kind: str, under_way: list[Operation], chance: random.Random) -> dict[str, bytearray]:
        """The files after a cut, by name."""
        names = dict(self.durable)
        count = {"synced": 0, "all": len(self.directory)}.get(kind, chance.randint(0, len(self.directory)))
        for entry in self.directory[:count]:
            self._rename(names, *entry)
        writes = [(write, file) for file in set(names.values()) for write in file.pending]
        writes += [(write, file) for write in under_way if (file := self.handles.get(write.handle)) is not None]
        writes.sort(key=lambda entry: entry[0].end)
        images: dict[File, bytearray] = {}

        def image(file: File) -> bytearray:
            if file not in images:
                images[file] = bytearray(file.synced)
            return images[file]

        if kind == "all":
            chosen = writes
        elif kind == "prefix":
            chosen = writes[:chance.randint(0, len(writes))]
        elif kind == "torn":
            chosen = writes[:chance.randint(1, len(writes))] if writes else []
        elif kind in ("subset", "shredded"):
            share = chance.choice((0.1, 0.5, 0.9))
            chosen = [entry for entry in writes if chance.random() < share]
        else:
            chosen = []
        for number, (write, file) in enumerate(chosen):
            is_torn = kind == "shredded" or (kind == "torn" and number == len(chosen) - 1)
            apply(image(file), write, (lambda: chance.random() < 0.5) if is_torn else None)
        return {os.path.basename(name): image(file) for name, file in names.items()}


# --- looking at it -------------------------------------------------------------------------------------------------------


def verified(mreg: str, folder: Path, key: Path) -> str:
    """What `mreg audit verify` has against the database in the folder; nothing if it agrees."""
    command = [mreg, "audit", "verify", "--database", str(folder / "gateway.sqlite"), "--key", str(key)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    return "" if run.returncode == 0 else f"audit verify: {(run.stdout + run.stderr).strip()[-300:]}"


def examine(folder: Path, files: dict[str, bytearray], owed: dict[int, int], moment: int, tally: Counter, verify=None) -> tuple[str, int, str]:
    """What became of it (ok, absent, corrupt), how many of the owed answers are not there, and what SQLite said."""
    for name, image in files.items():
        with open(folder / name, "wb", buffering=0) as file:
            file.write(image)
    try:
        if not files.get("gateway.sqlite") and not files.get("gateway.sqlite-wal"):
            return "absent", len(owed), ""
        # A reader recovers the log just as well, and does not copy it back when it leaves. It cannot undo a rollback journal.
        mode = "rw" if files.get("gateway.sqlite-journal") else "ro"
        database = sqlite3.connect(f"file:{folder}/gateway.sqlite?mode={mode}", uri=True, isolation_level=None, timeout=0)
        try:
            database.execute("PRAGMA cell_size_check = ON")
            verdict = database.execute("PRAGMA quick_check").fetchone()[0]
            if verdict != "ok":
                return "corrupt", 0, verdict
            if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit_rows'").fetchone():
                return "absent", len(owed), ""
            rows = {row[0] for row in database.execute("SELECT request_id FROM audit_rows")}
            lost = owed.keys() - rows
            first, last, count = database.execute("SELECT min(audit_id), max(audit_id), count(*) FROM audit_rows").fetchone()
            if count and last - first + 1 != count:
                return "corrupt", len(lost), f"audit_id: {count} rows from {first} to {last}"
            if database.execute("SELECT 1 FROM audit_inbox").fetchone():
                tally["with an inbox", ""] += 1
            said = verify(folder) if verify and count else ""
            if lost and not said:
                return "ok", len(lost), f"{(moment - min(owed[request] for request in lost)) / 1e6:.0f} ms before the cut"
            return "corrupt" if said else "ok", len(lost), said
        except sqlite3.Error as error:
            return "corrupt", 0, str(error)
        finally:
            database.close()
    finally:
        for entry in os.scandir(folder):
            os.unlink(entry.path)


def choose(operations: list[Operation], recorded: dict, count: int, chance: random.Random) -> list[tuple[int, str]]:
    """Moments to cut the power at, each with its phase: a quarter in each phase as far as there is one."""
    events = sorted({moment for operation in operations for moment in (operation.begin, operation.end)})
    marks = recorded["marks"]
    ends = [moment for _, moment in marks[1:]] + [events[-1] + 2]
    database = recorded["state"] + "/gateway.sqlite"
    copying = sorted(o.begin for o in operations if o.path == database and o.kind in (WRITE, SYNC, TRUNCATE))
    by_phase: dict[str, list[int]] = {phase: [] for phase in PHASES}
    mark = 0
    for moment in events:
        while moment >= ends[mark]:
            mark += 1
        phase = marks[mark][0]
        near = bisect_left(copying, moment - 2_000_000)
        if phase == "steady" and near < len(copying) and copying[near] <= moment + 2_000_000:
            phase = "checkpoint"
        by_phase[phase].append(moment)
    cuts = []
    present = [phase for phase in PHASES if by_phase[phase]]
    for number in range(count):
        phase = present[number % len(present)]
        cuts.append((chance.choice(by_phase[phase]) + chance.choice((0, 1)), phase))
    return sorted(cuts)


def explore(arguments: argparse.Namespace, recorded: dict, worker: int, wanted: int, results) -> None:
    chance = random.Random(arguments.seed * 31 + worker)
    operations, sent = read_log(recorded)
    # An answer counts from when the program began to send it, and only if a caller got it.
    answers = sorted((sent.get(request, moment), request) for moment, request in recorded["answers"])
    moments = [moment for moment, _ in answers]
    grace = arguments.grace * 1_000_000 if arguments.durability == "batched" else 0
    by_begin = sorted((o for o in operations if o.kind in (WRITE, TRUNCATE, ALLOCATE)), key=lambda o: o.begin)
    tally: Counter = Counter()
    notes: list[str] = []
    states = checked = lost = 0
    every = max(1, wanted * arguments.workers // max(1, arguments.verify))
    began = time.monotonic()

    def verify(folder: Path) -> str:
        return verified(arguments.mreg, folder, recorded["key"])

    with Folder(in_memory=True) as folder:
        while states < wanted:
            disk = Disk(arguments.forget_sync)
            owed: dict[int, int] = {}  # id and moment
            at = begun = owed_count = 0
            for moment, phase in choose(operations, recorded, min(1000, (wanted - states) // arguments.kinds_per_cut + 4), chance):
                while at < len(operations) and operations[at].end < moment:
                    disk.feed(operations[at])
                    at += 1
                while begun < len(by_begin) and by_begin[begun].begin < moment:
                    begun += 1
                under_way = [o for o in by_begin[max(0, begun - 64):begun] if o.end >= moment]
                due = bisect_left(moments, moment - grace)
                owed.update((request, moment) for moment, request in answers[owed_count:due])
                owed_count = max(owed_count, due)
                has_choice = disk.directory or under_way or any(f.pending for f in {*disk.live.values(), *disk.durable.values()})
                for kind in chance.sample(KINDS, arguments.kinds_per_cut) if has_choice else ("synced",):
                    files = disk.left(kind, under_way, chance)
                    is_verified = recorded["key"] and states % every == 0
                    verdict, missing, said = examine(folder, files, owed, moment, tally, verify if is_verified else None)
                    tally["verified", ""] += bool(is_verified and verdict != "absent")
                    states += 1
                    checked += len(owed)
                    lost += missing
                    tally[kind, verdict] += 1
                    tally["phase", phase] += 1
                    if missing:
                        tally[kind, "with losses"] += 1
                    if (missing or verdict == "corrupt") and len(notes) < 5:
                        sizes = ", ".join(f"{name} {len(image)}" for name, image in files.items())
                        oldest = f", the oldest {said}" if missing and said else f"; {said}" if said else ""
                        notes.append(f"{phase}, {kind}: {verdict}; {missing} of {len(owed)} answers lost{oldest}; cut at {moment}; {sizes}")
    results.put((states, checked, lost, tally, notes, time.monotonic() - began))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mreg", required=True)
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=1500, help="calls of the first run; the second makes half of it")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kinds-per-cut", type=int, default=3, choices=range(1, len(KINDS) + 1))
    parser.add_argument("--durability", choices=["answered", "batched", "strict"])
    parser.add_argument("--forget-sync", action="store_true", help="a disk that never heard of fsync: losses must be found")
    parser.add_argument("--self-test", action="store_true", help="first show, on the same record, that --forget-sync finds losses")
    parser.add_argument("--grace", type=int, default=100, help="milliseconds within which a batched record may be lost")
    parser.add_argument("--verify", type=int, default=40, help="about so many of the states also go to `mreg audit verify`")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", help="copy the record to this folder")
    arguments = parser.parse_args()
    arguments.mreg = str(Path(arguments.mreg).resolve())
    if arguments.seed is None:
        arguments.seed = random.randrange(2**32)

    with Folder() as folder:
        began = time.monotonic()
        recorded = record(arguments, folder)
        operations, sent = read_log(recorded)
        kinds = Counter((operation.path.rsplit("/", 1)[-1], operation.kind) for operation in operations)
        seen = sum(request in sent for _, request in recorded["answers"])
        print(f"record: {len(recorded['answers'])} answers ({seen} also seen leaving), {len(operations)} operations on the database, "
              f"{kinds['gateway.sqlite-wal', SYNC]} syncs of the WAL, {kinds['gateway.sqlite', SYNC]} of the database, "
              f"{kinds['state', SYNC]} of its folder, {kinds['watched', SYNC]} of the folder above, in {time.monotonic() - began:.1f} s")
        if loose := not_synced(recorded):
            print(f"note: not synced when the first answer left (no violation here; ext4 keeps names in order): {', '.join(loose)}")
        if arguments.keep:
            shutil.copytree(folder, arguments.keep, dirs_exist_ok=True)
        is_good = True
        if arguments.self_test and not arguments.forget_sync:
            arguments.forget_sync = True
            verify, arguments.verify = arguments.verify, 0
            states, _, lost, tally, _, seconds = in_parallel(arguments, recorded | {"key": None}, 60)
            arguments.verify = verify
            corrupt = sum(count for (_, verdict), count in tally.items() if verdict == "corrupt")
            print(f"self-test, all fsyncs forgotten: {states} states, {lost} losses, {corrupt} corrupt, {seconds:.1f} s: "
                  + ("the rig can fail" if lost else "VIOLATION the rig found nothing"))
            is_good = lost > 0
            arguments.forget_sync = False
        states, checked, lost, tally, notes, seconds = in_parallel(arguments, recorded, arguments.states)
    corrupt = sum(count for (_, verdict), count in tally.items() if verdict == "corrupt")
    print(f"replay: {states} states in {seconds:.1f} s ({states / max(seconds, 0.001):.0f} a second), seed {arguments.seed}, "
          f"durability {arguments.durability or 'as shipped'}")
    print("  cut in: " + ", ".join(f"{phase} {tally['phase', phase]}" for phase in PHASES))
    for kind in KINDS:
        print(f"  {kind:9} ok {tally[kind, 'ok']:6}  not there yet {tally[kind, 'absent']:5}  corrupt {tally[kind, 'corrupt']:4}  "
              f"with losses {tally[kind, 'with losses']:4}")
    print(f"  acks checked {checked}, lost {lost}; corrupt states {corrupt}; {tally['with an inbox', '']} with rows in the inbox; {tally['verified', '']} also passed to mreg audit verify")
    if not tally["phase", "checkpoint"]:
        print("note: the log was never copied back under load; --calls says how much load there is")
    for note in notes[:8]:
        print(f"VIOLATION {note}")
    if not recorded["answers"]:
        print("VIOLATION nothing was answered, so nothing was checked")
    return 0 if is_good and not lost and not corrupt and recorded["answers"] else 1


def in_parallel(arguments: argparse.Namespace, recorded: dict, wanted: int) -> tuple:
    context = get_context("fork")
    results = context.SimpleQueue()
    share = -(-wanted // arguments.workers)
    workers = [context.Process(target=explore, args=(arguments, recorded, number, share, results)) for number in range(arguments.workers)]
    for worker in workers:
        worker.start()
    parts = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    tally: Counter = Counter()
    for part in parts:
        tally.update(part[3])
    return (*(sum(part[i] for part in parts) for i in range(3)), tally, [note for part in parts for note in part[4]], max(p[5] for p in parts))


if __name__ == "__main__":
    sys.exit(main())
