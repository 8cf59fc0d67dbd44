"""Admission beside Redis: decisions of four buckets in our process, and of one bucket by the guide's script over a socket.

usage: pacing.py --benchmark PROGRAM [--seconds 3] [--runs 3] [--million]

Needs redis-server and redis-tools from Debian. A function call is compared with a round trip, for that is what each design
costs a gateway: Redis is always asked over a socket.
"""
import argparse
import datetime
import json
import os
import platform
import socket
import statistics
import subprocess
import tempfile
import time

SCRIPT = """local capacity = tonumber(ARGV[1])
local refill_rate = tonumber(ARGV[2])
local tokens_requested = tonumber(ARGV[3])
local now = tonumber(ARGV[4])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'last_refill')
local current_tokens = tonumber(bucket[1]) or capacity
local last_refill = tonumber(bucket[2]) or now
local elapsed = math.max(0, now - last_refill)
current_tokens = math.min(capacity, current_tokens + elapsed * refill_rate)
local success = current_tokens >= tokens_requested
if success then current_tokens = current_tokens - tokens_requested end
redis.call('HMSET', KEYS[1], 'tokens', current_tokens, 'last_refill', now)
redis.call('EXPIRE', KEYS[1], 120)
return {success and 1 or 0, current_tokens, capacity}"""


def ours(program, keys, threads, seconds):
    with tempfile.TemporaryDirectory() as folder:
        line = subprocess.run([program, folder + "/buckets", str(keys), str(threads), str(seconds)], check=True, capture_output=True, text=True).stdout
    return json.loads(line)


class Redis:
    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder.name],
            stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                self.sha = self.ask("SCRIPT", "LOAD", SCRIPT)
                return
            except subprocess.CalledProcessError:
                time.sleep(0.05)
        raise SystemExit("redis-server does not answer")

    def ask(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], check=True, capture_output=True, text=True).stdout.strip()

    def rate(self, connections, keys, requests):
        command = ["redis-benchmark", "-p", str(self.port), "-c", str(connections), "-n", str(requests), "-r", str(keys), "--csv",
                   "EVALSHA", self.sha, "1", "user:__rand_int__", "1000000000", "166667", "1", "1700000000"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()
        return float(lines[-1].replace('"', "").split(",")[-7])

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def model():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="also with a million keys")
    options = parser.parse_args()
    print(f"{model()}, {os.cpu_count()} cores, Linux {platform.release()}, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC; "
          f"median of {options.runs}")
    redis = Redis()
    print(subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout.split(" sha")[0])
    sizes = [1_000, 10_000] + ([1_000_000] if options.million else [])
    try:
        theirs = {}
        for connections, requests in [(1, 40_000), (50, 200_000)]:
            for keys in (1_000, 10_000):
                theirs[connections, keys] = statistics.median(redis.rate(connections, keys, requests) for _ in range(options.runs))
                print(f"Redis, one bucket, {connections:2} connections, {keys:9,} keys: {theirs[connections, keys]:11,.0f} decisions/s")
    finally:
        redis.stop()
    base = None
    for keys in sizes:
        for threads in (1, 2):
            runs = [ours(options.benchmark, keys, threads, options.seconds) for _ in range(options.runs)]
            rate = statistics.median(run["per_second"] for run in runs)
            p99 = statistics.median(run["p99_us"] for run in runs)
            if threads == 1 and base is None:
                base = rate
            beside = min(keys, 10_000)
            print(f"ours, four buckets, {threads} threads, {keys:9,} keys: {rate:11,.0f} decisions/s, p50 {runs[0]['p50_us']:.1f} µs, p99 {p99:.1f} µs; "
                  f"{rate / theirs[50, beside]:.1f}x of 50 connections, {rate / theirs[1, beside]:.1f}x of one; "
                  f"1/{base / rate:.1f} of a thousand keys")


main()
