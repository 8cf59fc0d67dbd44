"""The audit rows of the benchmark as CSV, for PostgreSQL: the same that RecordBenchmark.swift makes.

usage: rows.py FOLDER ROWS HOURS
"""
import os
import sys

MASK = (1 << 64) - 1
END = 1_750_000_000_000
USERS, TENANTS = 5000, 100
METHODS = ["tools/list", "tools/call", "tools/call", "tools/call", "initialize", "ping", "resources/list", "prompts/list"]


def splitmix(state):
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        value = state
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
        yield value ^ (value >> 31)


def rows(count, hours):
    random = splitmix(1)
    span = hours * 3_600_000
    step = span / count
    unit = 1.0 / (1 << 64)
    for number in range(count):
        time = END - span + int(number * step + next(random) * unit * step)
        share = next(random) * unit
        user = int(USERS * share * share)
        method = METHODS[next(random) & 7]
        draw = next(random) % 1000
        status = 200 if draw < 985 else 429 if draw < 990 else 401 if draw < 992 else 500
        slow = next(random) * unit
        yield number + 1, time, user, method, status, round(2 + 400 * slow ** 6, 3)


def main(folder, count, hours):
    with open(os.path.join(folder, "users.csv"), "w") as file:
        for user in range(USERS):
            file.write(f"u{user},t{user % TENANTS}\n")
    with open(os.path.join(folder, "sessions.csv"), "w") as file:
        for number in range(USERS * 2):
            user = number // 2
            file.write(f"s{number},u{user},t{user % TENANTS},{'t' if number % 3 else 'f'},{END - number * 7919 % 86_400_000}\n")
    with open(os.path.join(folder, "audit.csv"), "w", buffering=1 << 20) as file:
        for number, time, user, method, status, milliseconds in rows(count, hours):
            tool = f"echo_{user % 10}" if method == "tools/call" else ""
            file.write(f"{number},{time},t{user % TENANTS},u{user},{method},{tool},{status},{milliseconds},req-{number:010x}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
