#!/usr/bin/env python3
"""Measures the running gateway beside nginx as a plain proxy, both in front of the same fast MCP upstream. See README.md."""

import argparse
import contextlib
import dataclasses
import datetime
import http.client
import json
import os
import pathlib
import platform
import random
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TICK = 1 / os.sysconf("SC_CLK_TCK")
SCENARIOS = ["tools/list", "tools/call"]
CONNECTIONS = [16, 1]
TOOLS = ["echo", "search", "fetch", "list_files", "read_file", "write_file", "run_query", "send_message", "create_ticket", "summarize"]
FIGURES = {"req/s": ("rate", "{:,.0f}"), "p50 ms": ("p50_ms", "{:.3f}"), "p99 ms": ("p99_ms", "{:.3f}"), "CPU µs/req": ("cpu_us", "{:.1f}"),
           "core busy": ("busy", "{:.0%}"), "RSS MiB": ("rss_mib", "{:.1f}")}
NGINX = """
{user} daemon off; worker_processes 1; pid nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    upstream mcp {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://mcp; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffer_size 16k; proxy_buffers 8 16k; }}
    }}
}}
"""


class Failure(Exception):
    """The benchmark cannot go on; the message says why."""


@dataclasses.dataclass
class Target:
    name: str
    origin: str
    process: subprocess.Popen
    prefix: str = ""
    token: str = ""


# Processes


def tree(root):
    """The fields of /proc/PID/stat after the name, by process id, for `root` and its descendants."""
    stats = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stats[int(entry)] = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in stats:
            found[pid] = stats[pid]
            waiting += [child for child, stat in stats.items() if int(stat[1]) == pid]
    return found


def cpu_seconds(process):
    """User and system time of the process tree, reaped children included."""
    return TICK * sum(int(field) for stat in tree(process.pid).values() for field in stat[11:15])


def rss_mib(process):
    kib = 0
    for pid in tree(process.pid):
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            kib += sum(map(int, re.findall(r"^VmRSS:\s*(\d+) kB", status, re.M)))
    return kib / 1024


def machine_busy_seconds():
    user, nice, system, _, _, irq, softirq, *_ = map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return TICK * (user + nice + system + irq + softirq)


def settle(process):
    """Waits until the process has finished what its last requests left behind."""
    for _ in range(25):
        before = cpu_seconds(process)
        time.sleep(0.2)
        if cpu_seconds(process) - before <= 2 * TICK:
            return


def start(stack, core, command, log, **environment):
    with open(log, "wb") as output:
        process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], env={**os.environ, **environment},
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    stack.callback(stop, process)
    return process


def stop(process):
    family = tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for pid, stat in family.items():
        if (left := tree(pid).get(pid)) and left[19] == stat[19]:  # the same start time: still the same process
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


def wait_for(what, process, log, probe, seconds=30):
    """The first true answer of `probe`; a failure with the end of the log when the process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"waited in vain for {what}:\n" + log.read_text(errors="replace")[-2000:])
        time.sleep(0.05)
    return answer


# The targets


def start_upstream(stack, scratch, core):
    program, log = scratch / "upstream", scratch / "upstream.log"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program, HERE / "upstream.c"], check=True)
    process = start(stack, core, [program], log)
    port = wait_for("the upstream's port", process, log, lambda: re.match(r"(\d+)\n", log.read_text()))[1]
    return Target("direct", f"http://127.0.0.1:{port}", process), port


def start_nginx(stack, scratch, core, upstream_port):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder, log = scratch / "nginx", scratch / "nginx.log"
    folder.mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(user="user root;" if os.geteuid() == 0 else "", upstream=upstream_port, port=port))
    process = start(stack, core, [program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"], log)

    def listening():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True

    wait_for("nginx", process, log, listening)
    return Target("nginx", f"http://127.0.0.1:{port}", process)


def start_mreg(stack, scratch, core, executable, upstream_port):
    log = scratch / "mreg.log"
    process = start(stack, core, [executable, "evaluate", "--state-dir", scratch / "state", "--port", "0"], log,
                    MREG_FASTMCP_RATE_LIMIT_USER_RPM="0", MREG_FASTMCP_RATE_LIMIT_GLOBAL_RPM="0", MREG_FASTMCP_RATE_LIMIT_ADMIN_RPM="0")
    origin = wait_for("mreg to listen", process, log, lambda: re.search(r"listening on (http://\S+?)/?\s", log.read_text(errors="replace")))[1]
    mreg = Target("mreg", origin, process, prefix="fast__")
    mreg.token = post(mreg, "/oauth/login", {"user_id": "admin"}, expecting=200)["access_token"]
    server = {"alias": "fast", "title": "Fast", "transport": "http", "endpoint": f"http://127.0.0.1:{upstream_port}/mcp", "era": "auto", "tags": []}
    post(mreg, "/api/v1/servers", server, expecting=201)
    wait_for("mreg to list the upstream's tools", process, log, lambda: not wrong_answer(mreg, "tools/list"))
    return mreg


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise Failure(f"{name} is not installed")
    return found


# Asking and checking


def exchange(target, method, path, body=None):
    address = urllib.parse.urlsplit(target.origin)
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    with contextlib.closing(http.client.HTTPConnection(address.hostname, address.port, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()


def post(target, path, value, expecting):
    body = json.dumps(value, ensure_ascii=random.random() < 0.5).encode()
    status, kind, answer = exchange(target, "POST", path, body)
    if status != expecting:
        raise Failure(f"{target.name}: POST {path} answered {status}, not {expecting}: {answer[:300]!r}")
    if kind.startswith("text/event-stream"):
        answer = b"".join(line[5:] for line in answer.splitlines() if line.startswith(b"data:"))
    return json.loads(answer)


def wrong_answer(target, method):
    """Asks once with a random id and text; what is wrong with the answer, or None."""
    def scramble(length):
        return "".join(random.choices("abcXYZ019 -_\"\\/{}[],:é漢😀\n", k=length))

    identifier = random.choice([random.randrange(2**53), scramble(12)])
    sent = scramble(40)
    params = {"name": target.prefix + "echo", "arguments": {"text": sent}} if method == "tools/call" else {}
    try:
        answer = post(target, "/mcp", {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}, expecting=200)
        if answer["id"] != identifier:
            return f"id {answer['id']!r} for {identifier!r}"
        if method == "tools/call":
            content = answer["result"]["content"]
            return None if content == [{"type": "text", "text": sent}] else f"content {content!r} for {sent!r}"
        names = sorted(tool["name"] for tool in answer["result"]["tools"] if tool["name"].startswith(target.prefix))
        return None if names == sorted(target.prefix + name for name in TOOLS) else f"tools {names}"
    except Failure as failure:
        return str(failure)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def wrong_answers(target, method, count=6):
    return [f"{target.name} {method}: {wrong}" for _ in range(count) if (wrong := wrong_answer(target, method))]


# Measuring


class Bench:
    def __init__(self, upstream, targets, load_core, seconds):
        self.upstream, self.targets, self.load_core, self.seconds = upstream, targets, load_core, seconds  # the upstream is a target too
        self.wrong, self.reply_bytes, self.foreign_cores = [], {}, 0.0

    def rehearse(self, target, method):
        """One second in which wrk looks at every answer; it also warms up and gives the size of a right answer."""
        load = self.wrk(target, method, max(CONNECTIONS), 1, check=True)
        faults = wrong_answers(target, method) + self.faults_of(target, method, load)
        if load["wrong"]:
            faults.append(f"{target.name} {method}: {load['wrong']} of {load['requests']} answers under load, such as {load['sample']}")
        if not load["requests"]:
            faults.append(f"{target.name} {method}: no answer within a second")
        if faults:
            raise Failure("\n".join(self.wrong + faults))
        self.reply_bytes[target.name, method] = load["bytes"] / load["requests"]

    def measure(self, target, method, connections):
        self.wrong += wrong_answers(target, method)
        before = self.meters(target, method)
        load = self.wrk(target, method, connections, self.seconds)
        rss = rss_mib(target.process)
        settle(target.process)
        spent = {name: value - before[name] for name, value in self.meters(target, method).items()}
        self.wrong += self.faults_of(target, method, load) + wrong_answers(target, method)

        requests = max(1, load["requests"])
        size, right_size = load["bytes"] / requests, self.reply_bytes[target.name, method]
        if abs(size / right_size - 1) > 0.005:
            self.wrong.append(f"{target.name} {method}: {size:.1f} bytes per answer, a right one has {right_size:.1f}")
        if method == "tools/call" and spent["reached"] < load["requests"]:
            self.wrong.append(f"{target.name} {method}: {load['requests']} answers, but the upstream saw {spent['reached']} calls")
        foreign = (spent["machine"] - spent["ours"]) / spent["clock"]
        self.foreign_cores = max(self.foreign_cores, foreign)
        return {"rate": load["requests"] / load["seconds"], "p50_ms": load["p50_ms"], "p99_ms": load["p99_ms"],
                "cpu_us": 1e6 * spent["cpu"] / requests, "busy": spent["cpu"] / load["seconds"], "rss_mib": rss,
                "upstream_per_request": spent["reached"] / requests, "foreign_cores": foreign}

    def meters(self, target, method):
        return {"reached": json.loads(exchange(self.upstream, "GET", "/counts")[2])[method], "cpu": cpu_seconds(target.process),
                "ours": sum(os.times()[:4]) + sum(cpu_seconds(each.process) for each in self.targets),
                "machine": machine_busy_seconds(), "clock": time.monotonic()}

    def wrk(self, target, method, connections, seconds, check=False):
        environment = {"BENCH_METHOD": method, "BENCH_TOOL": target.prefix + "echo", "BENCH_PREFIX": target.prefix, "BENCH_TOKEN": target.token,
                       "BENCH_CHECK": "1" if check else "0"}
        command = ["taskset", "-c", str(self.load_core), program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                   "-s", HERE / "wrk.lua", target.origin + "/mcp"]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        try:
            return json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise Failure(f"wrk against {target.name}: {done.stdout[-500:]}{done.stderr[-500:]}") from None

    def faults_of(self, target, method, load):
        return [f"{target.name} {method}: {load[kind]} {name} of {load['requests']} under load"
                for kind, name in [("non2xx", "non-2xx answers"), ("broken", "socket errors or timeouts")] if load[kind]]


def measure_all(bench, rounds):
    rows, ratios = [], []
    for method in SCENARIOS:
        for target in bench.targets:
            bench.rehearse(target, method)
        for connections in CONNECTIONS:
            samples = {target.name: [] for target in bench.targets}
            for number in range(rounds):
                for target in bench.targets:
                    say(f"{method}, {connections} connections, round {number + 1} of {rounds}: {target.name}")
                    samples[target.name].append(bench.measure(target, method, connections))
            for name, measured in samples.items():
                medians = {figure: statistics.median(sample[figure] for sample in measured) for figure in measured[0]}
                rows.append({"scenario": method, "connections": connections, "target": name, **medians, "rounds": measured})
            if "mreg" in samples:
                pairs = list(zip(samples["mreg"], samples["nginx"]))
                by_round = {figure: [mreg[figure] / nginx[figure] for mreg, nginx in pairs if nginx[figure]] for figure in ("cpu_us", "rate")}
                ratios.append({"scenario": method, "connections": connections, **by_round})
    say("")
    return rows, ratios


# Reporting


def say(progress):
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)


def machine():
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)

    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") if git("rev-parse", "--verify", "--quiet", "HEAD") else ""
    return {"cpu": model[1].strip() if model else platform.machine(), "cores": os.cpu_count(), "kernel": f"{platform.system()} {platform.release()}",
            "nginx": subprocess.run([program("nginx"), "-v"], capture_output=True, text=True).stderr.rpartition("/")[2].strip(),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": (commit or "none") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else ""),
            "command": shlex.join(sys.argv).replace(f"{ROOT}/", "")}


def print_report(rows, ratios, bench, about):
    table = [["scenario", "conns", "target", *FIGURES]]
    for row in rows:
        table.append([row["scenario"], str(row["connections"]), row["target"], *(form.format(row[key]) for key, form in FIGURES.values())])
    widths = [max(map(len, column)) for column in zip(*table)]
    for number, line in enumerate(table):
        if number and line[:2] != table[number - 1][:2]:
            print()
        print("  ".join(cell.ljust(width) if at in (0, 2) else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths))))
    if ratios:
        print("\nmreg / nginx, each round by itself: median (lowest to highest)")
        for ratio in ratios:
            print(f"{ratio['scenario']}  {ratio['connections']:>5}  " + "  ".join(
                f"{label} {statistics.median(ratio[key]):.2f} ({min(ratio[key]):.2f} to {max(ratio[key]):.2f})" if ratio[key] else f"{label} –"
                for label, key in [("CPU per request", "cpu_us"), ("req/s", "rate")]))
    reached = {(row["target"], row["scenario"]): row["upstream_per_request"] for row in rows if row["connections"] == CONNECTIONS[0]}
    print("\nRequests that reached the upstream, per answer: " + ", ".join(f"{' '.join(key)} {share:.2f}" for key, share in reached.items()))
    if reached.get(("mreg", "tools/list"), 1) < 0.01:
        print("So tools/list is not the same work: nginx passes it to the upstream, mreg answers it from its own snapshot.")
    print("direct is wrk and the upstream alone, sharing the load's core: what is forwarded cannot be faster than that.")
    foreign = max(0, bench.foreign_cores)
    print(f"Other processes used at most {foreign:.2f} cores during a run" + ("; repeat this on a quieter machine." if foreign > 0.1 else "."))
    print("{cpu}, {cores} cores, {kernel}, nginx {nginx}, {date}, commit {commit}: {command}".format(**about))


def run(options, stack):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("two cores are needed: one for the target, one for the load")
    target_core, load_core = cores[:2]
    scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mreg-bench-")))
    upstream, upstream_port = start_upstream(stack, scratch, load_core)
    targets = [start_nginx(stack, scratch, target_core, upstream_port)]
    if options.mreg:
        targets.append(start_mreg(stack, scratch, target_core, options.mreg.resolve(), upstream_port))
    bench = Bench(upstream, [*targets, upstream], load_core, options.seconds)
    about = machine()
    rows, ratios = measure_all(bench, options.rounds)
    print_report(rows, ratios, bench, about)
    if options.json:
        report = {"machine": about, "rows": rows, "ratios": ratios, "foreign_cores": bench.foreign_cores, "wrong": bench.wrong}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if bench.wrong:
        raise Failure(f"{len(bench.wrong)} faults; the figures are worth nothing:\n" + "\n".join(bench.wrong[:20]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mreg", type=pathlib.Path, metavar="PATH", help="a release binary; without it only nginx and the upstream are measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="per target and round")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures there as well, round by round")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    try:
        with contextlib.ExitStack() as stack:
            try:
                run(options, stack)
            finally:  # nothing may interrupt the cleaning up
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failure, subprocess.CalledProcessError, OSError) as failure:
        sys.exit(f"bench: {failure}")


if __name__ == "__main__":
    main()
