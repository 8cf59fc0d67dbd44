#!/usr/bin/env python3
"""Fills the disk under the running program, fails it, and starts it on what is broken.  usage: faults.py --mreg PATH   (needs root: it mounts a tmpfs)

A full disk refuses calls (503) and lets them go on by itself when there is room; the record verifies. A database that is
truncated, has a broken page, lies open to others, has lost its key or its write-ahead log, or is on a read-only disk is refused at the
start, with a sentence that names it. Nothing is served half.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "demo-http__echo", "arguments": {"text": "x"}}}


class Gateway:
    def __init__(self, mreg, state):
        environment = dict(os.environ, MREG_FASTMCP_RATE_LIMIT_USER_RPM="0", MREG_BUCKETS_MAP_BYTES="1048576")
        self.process = subprocess.Popen([mreg, "evaluate", "--port", "0", "--state-dir", state], env=environment, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.origin = line.split()[2]
                break
        self.token = self.post("/oauth/login", {"user_id": "user"})[1]["access_token"]

    def post(self, path, body):
        headers = {"Content-Type": "application/json"}
        if getattr(self, "token", None):
            headers["Authorization"] = "Bearer " + self.token
        request = urllib.request.Request(self.origin + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def call(self):
        return self.post("/mcp", CALL)[0]

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


def check(what, is_so, detail=""):
    print(("ok      " if is_so else "FAILED  ") + what + (f": {detail}" if detail else ""))
    if not is_so:
        check.failed = True


check.failed = False


def refused(what, mreg, state, word):
    run = subprocess.run(["timeout", "10", mreg, "evaluate", "--port", "0", "--state-dir", state], capture_output=True, text=True)
    sentence = (run.stderr.strip().splitlines() or [""])[-1]
    check(what, run.returncode == 1 and word in run.stderr, sentence.replace(state, "STATE"))


def run(mreg, disk):
    state, ballast = disk + "/state", disk + "/ballast"
    database = state + "/gateway.sqlite"
    gateway = Gateway(mreg, state)
    check("a call before", gateway.call() == 200)
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
    statuses = [gateway.call() for _ in range(200)]
    check("on a full disk calls are refused", 503 in statuses and statuses[-1] == 503, str(sorted(set(statuses))))
    status, problem = gateway.post("/oauth/login", {"user_id": "newcomer"})
    check("nobody signs in unrecorded", status == 503 and problem["code"] == "audit_unavailable", problem.get("detail", ""))
    os.unlink(ballast)
    start = time.monotonic()
    while gateway.call() != 200 and time.monotonic() < start + 10:
        time.sleep(0.02)
    elapsed = time.monotonic() - start
    check("with room again they go on by themselves", elapsed < 10, f"after {elapsed:.2f} s")
    verified = subprocess.run([mreg, "audit", "verify", "--state-dir", state], capture_output=True, text=True)
    check("the record verifies", verified.returncode == 0, verified.stdout.strip().splitlines()[-1])
    check("it stops in order", gateway.stop() == 0)

    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    refused("a read-only disk", mreg, state, "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)

    shutil.copy(database, disk + "/whole")
    size = os.path.getsize(database)
    os.truncate(database, size // 2)
    refused("a truncated file", mreg, state, "mreg restore")
    shutil.copy(disk + "/whole", database)
    with open(database, "r+b") as file:
        file.seek(size // 2 // 1024 * 1024)
        file.write(b"\xa5" * 1024)
    refused("a broken page", mreg, state, "mreg restore")
    shutil.copy(disk + "/whole", database)
    os.chmod(state, 0o755)
    refused("a state directory open to others", mreg, state, "chmod 700")
    os.chmod(state, 0o700)
    os.rename(state + "/keys/record-key", disk + "/record-key")
    refused("a missing record key", mreg, state, "record-key is missing")
    os.rename(disk + "/record-key", state + "/keys/record-key")
    gateway = Gateway(mreg, state)
    gateway.process.kill()
    gateway.process.wait()
    os.unlink(database + "-wal")
    refused("a missing write-ahead log", mreg, state, "write-ahead log")


def turned_read_only(mreg, folder):
    """What ext4 does when the disk below it fails."""
    image, disk = os.path.join(folder, "image"), os.path.join(folder, "failing")
    os.mkdir(disk)
    with open(image, "wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    state = os.path.join(disk, "state")
    try:
        gateway = Gateway(mreg, state)
        check("a call before the file system fails", gateway.call() == 200)
        # Its answer says that it did not go well, which is the point.
        subprocess.run(["mount", "-o", "remount,abort", disk], capture_output=True)
        codes = [gateway.call() for _ in range(20)]
        check("calls on a file system that turned read-only", set(codes) == {503}, sorted(set(codes)))
        check("the program is still there to say why", gateway.process.poll() is None)
        gateway.stop()
    finally:
        subprocess.run(["umount", disk], check=True)
    subprocess.run(["e2fsck", "-y", image], capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        gateway = Gateway(mreg, state)
        check("a call after the file system was repaired", gateway.call() == 200)
        verify = subprocess.run([mreg, "audit", "verify", "--state-dir", state], capture_output=True, text=True)
        check("the record verifies", verify.returncode == 0, verify.stdout.strip())
        gateway.stop()
    finally:
        subprocess.run(["umount", disk], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mreg", required=True)
    mreg = os.path.abspath(parser.parse_args().mreg)
    with tempfile.TemporaryDirectory() as disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", disk], check=True)
        try:
            run(mreg, disk)
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
    with tempfile.TemporaryDirectory() as folder:
        turned_read_only(mreg, folder)
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
