#!/usr/bin/env python3
"""What long and many streams cost, and how fast lists are answered; standard library only.

usage: streams.py --mreg PROGRAM [silence] [churn] [lists] [--seconds 300] [--streams 10000] [--requests 2000]

silence  A tool that says nothing for five minutes reaches clients that give up after 60 s without a byte: of either era, with and
         without a progress token.
churn    So many streams opened and closed again, a quarter of them with a call under way, leave file descriptors, threads, memory and
         what the server holds as they were.
lists    `tools/list` over 100 servers of 50 tools each, all well, and with 30 of them down: time beside `ping` over the same connection.
"""
import argparse
import datetime
import http.client
import http.server
import json
import os
import platform
import re
import signal
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

MODERN, LEGACY = "2026-07-28", "2025-11-25"
UNLIMITED = {f"MREG_FASTMCP_RATE_LIMIT_{name}_RPM": "0" for name in ("ADMIN", "SERVER_OWNER", "USER", "ANONYMOUS", "GLOBAL")}
IDLE_LIMIT = 60


class Upstream(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One server for each path; `/N/mcp` lists tools of its own. Its calls are silent for as long as their argument says."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, tools):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tools = tools
        self.open = 0
        self.lock = threading.Lock()

    def count(self, change):
        with self.lock:
            self.open += change


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = message.get("method")
        if method == "server/discover":
            self.answer(message, {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}})
        elif method == "tools/list":
            schema = {"type": "object", "properties": {"seconds": {"type": "number", "description": "How long to be silent."}}}
            tools = [{"name": f"tool{n}", "description": f"Is silent, and then says so ({n}).", "inputSchema": schema} for n in range(self.server.tools)]
            self.answer(message, {"tools": tools})
        elif method == "tools/call":
            self.server.count(1)
            try:
                if self.waited(message["params"]["arguments"].get("seconds", 0)):
                    self.answer(message, {"content": [{"type": "text", "text": "done"}]})
            finally:
                self.server.count(-1)
        elif "id" in message:
            self.reply(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}}).encode())
        else:
            self.reply(b"", 202)

    def waited(self, seconds):
        """False if the other side has gone meanwhile."""
        self.connection.settimeout(seconds or None)
        if not seconds:
            return True
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return True
        except OSError:
            return False
        finally:
            self.connection.settimeout(None)

    def answer(self, message, result):
        self.reply(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **result}}).encode())

    def reply(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Gateway:
    def __init__(self, program, folder):
        command = [program, "evaluate", "--state-dir", folder, "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | UNLIMITED)
        for line in self.process.stdout:
            if found := re.match(r"listening on (\S+)", line):
                self.url = found[1].rstrip("/")
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.host = self.url.split("//")[1]
        self.tokens = {}

    def token(self, user):
        if user not in self.tokens:
            self.tokens[user] = self.api("/oauth/login", {"user_id": user})["access_token"]
        return self.tokens[user]

    def api(self, path, document=None, user=None):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token(user)}"} if user else {})
        request = urllib.request.Request(self.url + path, json.dumps(document).encode() if document is not None else None, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def register(self, alias, endpoint):
        record = {"alias": alias, "title": alias, "transport": "http", "endpoint": endpoint, "era": "auto", "tags": []}
        self.api("/api/v1/servers", record, user="admin")

    def request(self, method, params, era=MODERN, number=1, user="reader", **more):
        """A request's bytes."""
        headers = {
            "Host": self.host, "Authorization": f"Bearer {self.token(user)}", "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": era, **more}
        if era == MODERN:
            meta = {"protocolVersion": MODERN, "clientCapabilities": {}, "clientInfo": {"name": "streams", "version": "1"}}
            params = {**params, "_meta": {**{"io.modelcontextprotocol/" + name: value for name, value in meta.items()}, **params.get("_meta", {})}}
            headers["Mcp-Method"] = method
            if "name" in params:
                headers["Mcp-Name"] = params["name"]
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        fields = "".join(f"{name}: {value}\r\n" for name, value in (headers | {"Content-Length": len(body)}).items())
        return f"POST /mcp HTTP/1.1\r\n{fields}\r\n".encode() + body

    def connect(self, timeout=60.0):
        host, port = self.host.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @property
    def holdings(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return {
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(fields["Threads"]), "MiB": int(fields["VmRSS"].split()[0]) / 1024, "MiB of them anonymous": int(fields["RssAnon"].split()[0]) / 1024,
            "calls under way": self.gauge("mreg_calls_under_way"), "listeners": self.gauge("mreg_listeners")}

    def gauge(self, name):
        with urllib.request.urlopen(self.url + "/metrics", timeout=60) as response:
            return float(re.search(rf"^{name} (\S+)", response.read().decode(), re.MULTILINE)[1])

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def read_answer(connection):
    """Status, headers and body of an answer with a length."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response, response.read()


# A long silence

def silence(gateway, upstream, options):
    gateway.register("quiet", f"http://127.0.0.1:{upstream.server_address[1]}/quiet/mcp")
    results = {}

    def call(era, has_token):
        meta = {"_meta": {"progressToken": "p"}} if has_token else {}
        params = {"name": "quiet__tool0", "arguments": {"seconds": options.seconds}, **meta}
        start = last = time.monotonic()
        longest, received = 0.0, b""
        with gateway.connect(IDLE_LIMIT) as connection:
            connection.sendall(gateway.request("tools/call", params, era))
            try:
                while b'"done"' not in received:
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    now = time.monotonic()
                    longest, last = max(longest, now - last), now
                    received += piece
            except TimeoutError:
                longest = IDLE_LIMIT
        results[era, has_token] = (b'"done"' in received, time.monotonic() - start, longest, received.count(b"notifications/progress"),
                                   received.count(b": keep-alive"))

    threads = [threading.Thread(target=call, args=(era, has_token)) for era in (MODERN, LEGACY) for has_token in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"a tool that says nothing for {options.seconds} s, clients that give up after {IDLE_LIMIT} s without a byte:")
    for (era, has_token), (arrived, took, longest, progress, comments) in sorted(results.items()):
        print(f"  {era} {'with' if has_token else 'no  '} token: {'answered' if arrived else 'LOST'} after {took:.1f} s, "
              f"longest pause {longest:.1f} s, {progress} times progress, {comments} comments")
    return all(result[0] for result in results.values())


# Many streams

def churn(gateway, upstream, options):
    gateway.register("busy", f"http://127.0.0.1:{upstream.server_address[1]}/busy/mcp")
    users = [f"churn-{number}" for number in range(16)]
    for user in users:
        gateway.token(user)

    def round_of(count, user):
        listen = gateway.request("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, user=user)
        call = gateway.request("tools/call", {"name": "busy__tool0", "arguments": {"seconds": 600}}, user=user)
        for number in range(count):
            with gateway.connect() as connection:
                connection.sendall(call if number % 4 == 0 else listen)
                if number % 4 == 0:
                    # Until the server has it, so that there is something to leave behind.
                    before = time.monotonic()
                    while upstream.open == 0 and time.monotonic() - before < 0.05:
                        time.sleep(0.001)
                else:
                    data = connection.recv(65536)
                    while b"acknowledged" not in data:
                        piece = connection.recv(65536)
                        if not piece:
                            raise RuntimeError(f"a stream was refused: {data[-300:]!r}")
                        data += piece

    def run(count):
        threads = [threading.Thread(target=round_of, args=(count // len(users), user)) for user in users]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - start

    def settled():
        """What it holds when nothing changes any more."""
        end, last = time.monotonic() + 60, None
        while time.monotonic() < end:
            held = gateway.holdings
            if upstream.open == 0 and last and held["descriptors"] == last["descriptors"]:
                return held
            last = held
            time.sleep(5)
        return gateway.holdings

    run(options.streams // 10)
    before = settled()
    took = run(options.streams)
    after = settled()
    again = run(options.streams)
    later = settled()
    print(f"{options.streams:,} streams opened and closed in {took:.1f} s, and once more in {again:.1f} s (a tenth before to warm up):")
    for name, state in (("before", before), ("after", after), ("after the second time", later)):
        print(f"  {name}: " + ", ".join(f"{value:.0f} {what}" for what, value in state.items()))
    print(f"  calls still under way at the server: {upstream.open}")
    return upstream.open == 0 and later["descriptors"] <= before["descriptors"] + 4 and later["calls under way"] == later["listeners"] == 0


# Lists

def lists(gateway, upstream, options):
    port = upstream.server_address[1]
    well = [f"http://127.0.0.1:{port}/{number}/mcp" for number in range(70)]
    doomed = subprocess.Popen([sys.executable, __file__, "upstream"], stdout=subprocess.PIPE, text=True)
    try:
        other = int(doomed.stdout.readline())
        for number in range(100):
            gateway.register(f"s{number}", well[number] if number < 70 else f"http://127.0.0.1:{other}/{number}/mcp")
        deadline = time.monotonic() + 120
        while count_of(gateway) < 5000 and time.monotonic() < deadline:
            time.sleep(1)
        print(f"tools/list over 100 servers × 50 tools ({count_of(gateway):,} listed), a page of 100; median of {options.requests:,} requests, one connection:")
        measure_lists(gateway, options, "all well")
    finally:
        doomed.kill()
        doomed.wait()
    # More than 30 s: by then what was listed is asked for anew, and 30 servers do not answer.
    time.sleep(40)
    count_of(gateway)
    time.sleep(5)
    print(f"  ({gateway.gauge('mreg_servers_failing'):.0f} servers could not be asked last time)")
    measure_lists(gateway, options, "30 of them down")
    return True


def count_of(gateway):
    count, cursor = 0, None
    with gateway.connect() as connection:
        while True:
            connection.sendall(gateway.request("tools/list", {"cursor": cursor} if cursor else {}))
            result = json.loads(read_answer(connection)[1])["result"]
            count += sum(tool["name"].startswith("s") for tool in result["tools"])
            cursor = result.get("nextCursor")
            if not cursor:
                return count


def measure_lists(gateway, options, what):
    def times(request):
        with gateway.connect() as connection:
            taken, size = [], 0
            for _ in range(options.requests):
                start = time.perf_counter()
                connection.sendall(request)
                size = len(read_answer(connection)[1])
                taken.append((time.perf_counter() - start) * 1000)
        return statistics.median(taken), statistics.quantiles(taken, n=100)[98], size

    ping = times(gateway.request("ping", {}, LEGACY))
    listed = times(gateway.request("tools/list", {}))
    print(f"  {what}: tools/list p50 {listed[0]:.3f} ms, p99 {listed[1]:.3f} ms ({listed[2]:,} bytes); ping p50 {ping[0]:.3f} ms, p99 {ping[1]:.3f} ms; "
          f"difference of the medians {listed[0] - ping[0]:.3f} ms")


def model():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")


def serve_tools():
    upstream = Upstream(tools=50)
    print(upstream.server_address[1], flush=True)
    upstream.serve_forever()


def main():
    if sys.argv[1:] == ["upstream"]:
        return serve_tools()
    parser = argparse.ArgumentParser()
    every = {"silence": silence, "churn": churn, "lists": lists}
    # Not "choices": they would be compared with the default as a whole until Python 3.14.
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="silence, churn or lists; without any, all of them")
    parser.add_argument("--mreg", required=True)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    unknown = [name for name in options.figures if name not in every]
    if unknown:
        parser.error(f"there is no figure {unknown[0]!r}, but {', '.join(every)}")
    print(f"{model()}, {os.cpu_count()} cores, Linux {platform.release()}, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC; {options.mreg}")
    is_good = True
    for name in options.figures or every:
        upstream = Upstream(tools=50)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory() as folder:
            gateway = Gateway(options.mreg, folder)
            try:
                is_good &= every[name](gateway, upstream, options)
            finally:
                gateway.end()
                upstream.shutdown()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
