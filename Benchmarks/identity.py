"""What it costs to know who calls and whether they may, beside one ES256 verification and one SHA-256 of 1 KiB in the same run.

usage: identity.py --benchmark PROGRAM [--rounds 7] [--tokens 5000] [--decisions 400000]
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile

KNOWN_LIMIT, FIRST_SIGHT_LIMIT = 5, 1000  # µs of CPU


def once(options):
    with tempfile.TemporaryDirectory() as folder:
        command = [options.benchmark, folder, str(options.tokens), str(options.decisions)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def model():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=5000)
    parser.add_argument("--decisions", type=int, default=400_000)
    options = parser.parse_args()
    rounds = [once(options) for _ in range(options.rounds)]

    def median(name):
        return statistics.median(round[name] for round in rounds)

    def spread(name):
        return f"{min(round[name] for round in rounds):.2f}–{max(round[name] for round in rounds):.2f}"

    def ratio(name, to):
        return statistics.median(round[name] / round[to] for round in rounds)

    print(f"{model()}, {os.cpu_count()} cores, Linux {platform.release()}, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC; "
          f"median of {options.rounds} (least–most), CPU time; {options.tokens:,} tokens of {rounds[0]['token_bytes']} bytes, {rounds[0]['rules']} rules")
    print(f"one ES256 verification:  {median('es256_us'):8.2f} µs ({spread('es256_us')})")
    print(f"one SHA-256 of 1 KiB:    {median('sha256_1k_us'):8.2f} µs ({spread('sha256_1k_us')})")
    print(f"a known token, allowed:  {median('known_us'):8.2f} µs ({spread('known_us')}); 1/{1 / ratio('known_us', 'es256_us'):.0f} of a verification, "
          f"{ratio('known_us', 'sha256_1k_us'):.1f}x the digest; at most {KNOWN_LIMIT} µs is the aim")
    print(f"at first sight, allowed: {median('first_sight_us'):8.2f} µs ({spread('first_sight_us')}); {ratio('first_sight_us', 'es256_us'):.1f}x a verification; "
          f"at most {FIRST_SIGHT_LIMIT} µs is the aim")


main()
