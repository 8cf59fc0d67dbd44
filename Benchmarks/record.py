"""The record beside PostgreSQL: the same rows, the guide's two queries, and durable rows from 64 callers.

usage: record.py --benchmark PROGRAM [--rows 1000000] [--hours 48] [--seconds 5] [--without-postgres]

Needs postgresql-15 from Debian. Everything runs here, one after the other, in a temporary folder.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

import rows

BIN = "/usr/lib/postgresql/15/bin"
ACTIVITY = """SELECT u.user_id, u.tenant_id, COUNT(DISTINCT s.session_id) AS active_sessions, MAX(a.created_at) AS last_activity
FROM users u LEFT JOIN user_sessions s ON u.user_id = s.user_id AND s.is_active = true LEFT JOIN audit_logs a ON u.user_id = a.user_id
WHERE u.tenant_id = 't{tenant}' AND a.created_at > to_timestamp({end}) - INTERVAL '1 hour' GROUP BY u.user_id, u.tenant_id"""
ANALYTICS = """WITH tenant_activity AS (SELECT tenant_id, COUNT(DISTINCT user_id) AS unique_users, COUNT(*) AS total_requests,
AVG(response_time_ms) AS avg_response_time FROM audit_logs WHERE created_at > to_timestamp({end}) - INTERVAL '24 hours' GROUP BY tenant_id)
SELECT * FROM tenant_activity ORDER BY total_requests DESC"""
INSERT = r"""\set u random(0,4999)
\set r random(1,400)
INSERT INTO audit_logs (created_at, tenant_id, user_id, method, tool, status, response_time_ms, request_id)
VALUES (now(), 't' || (:u % 100), 'u' || :u, 'tools/call', 'echo_1', 200, :r, 'req-0123456789');
"""
SCHEMA = """
CREATE TABLE users (user_id text PRIMARY KEY, tenant_id text NOT NULL);
CREATE TABLE user_sessions (session_id text PRIMARY KEY, user_id text NOT NULL, tenant_id text NOT NULL, is_active boolean NOT NULL,
    last_activity timestamptz NOT NULL);
CREATE TABLE audit_logs (id bigserial PRIMARY KEY, created_at timestamptz NOT NULL, tenant_id text NOT NULL, user_id text NOT NULL,
    method text NOT NULL, tool text NOT NULL, status int NOT NULL, response_time_ms double precision NOT NULL, request_id text NOT NULL);
CREATE UNLOGGED TABLE loading_sessions (a text, b text, c text, d boolean, e bigint);
CREATE UNLOGGED TABLE loading_rows (i bigint, t bigint, te text, u text, m text, tool text, st int, rt double precision, rid text);
\\copy users FROM '{folder}/users.csv' CSV
\\copy loading_sessions FROM '{folder}/sessions.csv' CSV
\\copy loading_rows FROM '{folder}/audit.csv' CSV FORCE NOT NULL tool
INSERT INTO user_sessions SELECT a, b, c, d, to_timestamp(e / 1000.0) FROM loading_sessions;
INSERT INTO audit_logs SELECT i, to_timestamp(t / 1000.0), te, u, m, tool, st, rt, rid FROM loading_rows;
DROP TABLE loading_sessions, loading_rows;
SELECT setval('audit_logs_id_seq', (SELECT max(id) FROM audit_logs));
CREATE INDEX idx_audit_logs_user_tenant_time ON audit_logs (user_id, tenant_id, created_at DESC);
CREATE INDEX idx_audit_logs_tenant_time_performance ON audit_logs (tenant_id, created_at DESC);
CREATE INDEX idx_user_sessions_tenant_active ON user_sessions (tenant_id, is_active, last_activity DESC);
CREATE INDEX idx_users_tenant_id ON users (tenant_id);
VACUUM ANALYZE;
"""
SETTINGS = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 1GB
effective_cache_size = 8GB
work_mem = 32MB
maintenance_work_mem = 256MB
max_wal_size = 4GB
random_page_cost = 1.1
"""


class Postgres:
    def __init__(self, folder, port=9432):
        self.folder, self.port, self.data = folder, port, os.path.join(folder, "pg")
        os.chmod(folder, 0o755)
        os.mkdir(self.data)
        if os.getuid() == 0:
            subprocess.run(["chown", "postgres:", self.data], check=True)
        self.run(f"{BIN}/initdb", "-D", self.data, "-A", "trust", "-U", "bench", "--no-locale", "-E", "UTF8")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(SETTINGS.format(port=port))
        self.run(f"{BIN}/pg_ctl", "-D", self.data, "-l", os.path.join(self.data, "log"), "-w", "start")

    def run(self, *command):
        prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(prefix + list(command), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def psql(self, text):
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(command, input=text, text=True, check=True, capture_output=True).stdout

    def load(self):
        self.psql(SCHEMA.format(folder=self.folder))

    def times(self, queries):
        out = self.psql("\\timing on\n" + "".join(query + ";\n" for query in queries))
        return [float(found) for found in re.findall(r"^Time: ([\d.]+) ms", out, re.M)]

    def commits(self, clients, seconds, rounds=3):
        path = os.path.join(self.folder, "insert.sql")
        with open(path, "w") as file:
            file.write(INSERT)
        command = [f"{BIN}/pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2",
                   "-T", str(seconds), "-f", path, "postgres"]
        rates = []
        for _ in range(rounds):
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rates.append(float(re.search(r"tps = ([\d.]+)", out)[1]))
        return sorted(rates)

    def stop(self):
        self.run(f"{BIN}/pg_ctl", "-D", self.data, "-m", "fast", "stop")


def postgres(folder, count, hours, seconds):
    server = Postgres(folder)
    try:
        rows.main(folder, count, hours)
        server.load()
        end = rows.END / 1000
        tenants = [number * 37 % 100 for number in range(300)]
        activity = statistics.median(
            statistics.median(server.times(ACTIVITY.format(tenant=tenant, end=end) for tenant in tenants)) for _ in range(3))
        analytics = statistics.median(server.times([ANALYTICS.format(end=end)] * 15))
        return {"activity": activity, "analytics": analytics, "commits": {clients: server.commits(clients, seconds) for clients in (15, 64)},
                "sustained": server.commits(64, 4 * seconds, 1)[0]}
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--without-postgres", action="store_true")
    arguments = parser.parse_args()
    version = subprocess.run([f"{BIN}/postgres", "--version"], capture_output=True, text=True).stdout.strip() if not arguments.without_postgres else ""
    model = next((line.split(": ")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown processor")
    print(f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M UTC}, {model}, {os.cpu_count()} cores, Linux {platform.release()}, {version}")
    print("command:", " ".join(sys.argv))
    theirs = None
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.without_postgres:
            theirs = postgres(folder, arguments.rows, arguments.hours, arguments.seconds)
    time.sleep(2)
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run([arguments.benchmark, folder, str(arguments.rows), str(arguments.hours), str(arguments.seconds)], check=True,
                             capture_output=True, text=True).stdout
    ours = {}
    flushes = []
    for line in out.splitlines():
        figure = json.loads(line)
        if figure["test"] == "flush":
            flushes.append(figure["p50_ms"])
        ours[figure["test"]] = figure
        print(line)
    activity, analytics = ours["user activity 1 h"]["p50_ms"], ours["tenant analytics 24 h"]["p50_ms"]
    commits = ours["durable rows, 64 callers"]["rows_per_s"]
    added = ours["answered at 2,000 calls/s"]["p50_ms"] - ours["batched at 2,000 calls/s"]["p50_ms"]
    bound = 2 * statistics.median(flushes) + 0.2
    print(f"\nthe disk flushes 4 KiB in {' and '.join(f'{value:.3f}' for value in flushes)} ms (p50, before and after)")
    print(f"a row takes {ours['load']['bytes_per_row']:.0f} bytes on disk, indexes, codes and seals included")
    print(f"answered adds {added:.3f} ms (p50) at 2,000 calls/s; twice the flush and 0.2 ms are {bound:.3f} ms")
    if theirs:
        print(f"{'':34}{'PostgreSQL':>12}{'mreg':>12}{'ratio':>8}")
        print(f"{'user activity, 1 h, p50 ms':34}{theirs['activity']:12.3f}{activity:12.3f}{theirs['activity'] / activity:8.1f}")
        print(f"{'tenant analytics, 24 h, p50 ms':34}{theirs['analytics']:12.3f}{analytics:12.3f}{theirs['analytics'] / analytics:8.1f}")
        for clients, rates in theirs["commits"].items():
            ratio = commits / rates[1]
            print(f"{f'durable rows/s, {clients} clients / 64':34}{rates[1]:12.0f}{commits:12.0f}{ratio:8.1f}   {[round(rate) for rate in rates]}")
        full = ours["durable rows, 64 callers, inbox full"]["rows_per_s"]
        print(f"{'the same, 64, without end':34}{theirs['sustained']:12.0f}{full:12.0f}{full / theirs['sustained']:8.1f}")


if __name__ == "__main__":
    main()
