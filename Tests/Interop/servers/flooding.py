"""A program that says what nobody asked it, as fast as it can, and answers as well. Without any SDK.

Its argument is the kind of what it says.
"""

import json
import os
import queue
import sys
import threading
from typing import Any

TICK = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "debug", "data": "tick"}}
FLOODS = {
    "log": TICK,
    "progress": {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "nobody's", "progress": 1}},
    "unknown": {"jsonrpc": "2.0", "method": "notifications/unheard-of", "params": {}},
}
LINE = json.dumps(FLOODS[sys.argv[1]]) + "\n"

asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
written = 0


def hear() -> None:
    for line in sys.stdin:
        asked.put(json.loads(line))
    os._exit(0)


def result_of(question: dict[str, Any]) -> dict[str, Any] | None:
    match question.get("method"):
        case "initialize":
            introduced = {"name": "flooding", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "logging": {}}, "serverInfo": introduced}
        case "tools/list":
            return {"tools": [{"name": "written", "inputSchema": {"type": "object"}}]}
        case "tools/call":
            return {"content": [{"type": "text", "text": json.dumps({"written": written, "pid": os.getpid()})}]}
    return None


def say(line: str) -> None:
    global written
    sys.stdout.write(line)
    sys.stdout.flush()
    written += len(line)


threading.Thread(target=hear, daemon=True).start()
while True:
    try:
        question = asked.get_nowait()
    except queue.Empty:
        say(LINE)
        continue
    if "id" in question:
        result = result_of(question)
        answer = {"error": {"code": -32601, "message": "Method not found"}} if result is None else {"result": result}
        say(json.dumps({"jsonrpc": "2.0", "id": question["id"], **answer}) + "\n")
