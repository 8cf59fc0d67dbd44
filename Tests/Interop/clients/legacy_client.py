"""Drives the mcp 1.x client from outside: `legacy_client.py URL TOKEN [--everything]`, the script on stdin (see script.py), a
transcript on stdout: `{"revision": …, "answers": […]}` with one answer per step.

With --everything it can be asked everything a client can be asked. `current_client` does the same with mcp 2.x.
"""

import json
import sys
import time
from datetime import timedelta
from typing import Any

import anyio
import httpx
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client
from script import MODEL_ANSWER, PATIENCE, PROOF_PAUSE, ROOT, STEP_DEADLINE, Answer, Event, Step, elicitation, form_answer, notification

LISTS = {
    "list": (ClientSession.list_tools, "tools"),
    "prompts": (ClientSession.list_prompts, "prompts"),
    "resources": (ClientSession.list_resources, "resources"),
    "templates": (ClientSession.list_resource_templates, "resourceTemplates"),
}


class Ear:
    """Hears what a client is told, and answers what it is asked."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.rang = anyio.Event()

    def hear(self, *event: Any) -> None:
        self.heard.append([*event])
        self.rang.set()
        self.rang = anyio.Event()

    async def until(self, event: Event) -> None:
        while event not in self.heard:
            await self.rang.wait()

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.hear("progress", progress, total, message)

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.hear("log", params.level, params.data)

    async def elicit(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        if isinstance(params, types.ElicitRequestURLParams):
            self.hear("asked", "url", params.message, params.url)
            self.hear("named", elicitation(params))
            return types.ElicitResult(action="accept")
        self.hear("asked", "form", params.message)
        return types.ElicitResult(action="accept", content=form_answer(params.message))

    async def sample(self, context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        content = params.messages[0].content
        self.hear("asked", "sampling", content.text if isinstance(content, types.TextContent) else "")
        answer = types.TextContent(type="text", text=MODEL_ANSWER)
        return types.CreateMessageResult(role="assistant", content=answer, model="a model", stopReason="endTurn")

    async def roots(self, context: Any) -> types.ListRootsResult:
        self.hear("asked", "roots")
        return types.ListRootsResult(roots=[types.Root(uri=ROOT, name="home")])  # type: ignore[arg-type]

    async def message(self, message: Any) -> None:
        if isinstance(message, types.ServerNotification):
            if event := notification(message.root.method, message.root.params):
                self.hear(*event)


async def list_all(session: ClientSession, kind: str) -> Answer:
    ask, member = LISTS[kind]
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = (await ask(session, params=types.PaginatedRequestParams(cursor=cursor))).model_dump(  # type: ignore[operator]
            mode="json", by_alias=True, exclude_none=True
        )
        items += page[member]
        cursor = page.get("nextCursor")
        if cursor is None:
            return {member: items}


async def perform(session: ClientSession, step: Step, ear: Ear) -> Any:
    match step["do"]:
        case "call":
            return await session.call_tool(step["name"], step["arguments"], progress_callback=ear.progress)
        case "prompt":
            return await session.get_prompt(step["name"], step["arguments"])
        case "read":
            return await session.read_resource(step["uri"])
        case "complete":
            kind = types.PromptReference if step["ref"]["type"] == "ref/prompt" else types.ResourceTemplateReference
            return await session.complete(kind.model_validate(step["ref"]), step["argument"])
        case "ping":
            return await session.send_ping()
        case "level":
            return await session.set_logging_level(step["level"])
        case "subscribe":
            return await session.subscribe_resource(step["uri"])
        case "listen":
            return {}
        case "await":
            await ear.until(step["event"])
            return {}
        case "cancel":
            return await cancel(session, step, ear)
        case kind:
            return await list_all(session, kind)


async def cancel(session: ClientSession, step: Step, ear: Ear) -> Answer:
    request_id = session._request_id
    async with anyio.create_task_group() as group:
        started = anyio.Event()

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            started.set()

        async def run() -> None:
            try:
                await session.call_tool(step["name"], step["arguments"], progress_callback=on_progress)
            except McpError as refusal:
                ear.hear("cancelled call", refusal.error.code)

        group.start_soon(run)
        await started.wait()
        word = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=request_id, reason="enough"))
        await session.send_notification(types.ClientNotification(word))
        since = time.monotonic()
        while (await session.call_tool(step["proof"], step["arguments"])).content[0].text != "yes":  # type: ignore[union-attr]
            await anyio.sleep(PROOF_PAUSE)
        seconds = time.monotonic() - since
        group.cancel_scope.cancel()
    return {"seconds": seconds}


async def answer(session: ClientSession, step: Step, ear: Ear) -> Answer:
    if step["do"] != "await":
        ear.heard = []
    try:
        with anyio.fail_after(STEP_DEADLINE):
            result = await perform(session, step, ear)
        came = result if isinstance(result, dict) else result.model_dump(mode="json", by_alias=True, exclude_none=True)
    except McpError as refusal:
        came = {"error": refusal.error.model_dump(mode="json", exclude_none=True)}
    except Exception as failure:
        came = {"failure": f"{type(failure).__name__}: {failure}"}
    return came | {"heard": list(ear.heard)}


async def converse(url: str, token: str, can_be_asked: bool, script: list[Step]) -> dict[str, Any]:
    ear = Ear()
    asked = {"sampling_callback": ear.sample, "elicitation_callback": ear.elicit, "list_roots_callback": ear.roots}
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as http,
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(
            read,
            write,
            read_timeout_seconds=timedelta(seconds=PATIENCE),
            logging_callback=ear.log,
            message_handler=ear.message,
            **(asked if can_be_asked else {}),  # type: ignore[arg-type]
        ) as session,
    ):
        greeting = await session.initialize()
        return {"revision": greeting.protocolVersion, "answers": [await answer(session, step, ear) for step in script]}


if __name__ == "__main__":
    print(json.dumps(anyio.run(converse, sys.argv[1], sys.argv[2], "--everything" in sys.argv, json.load(sys.stdin))))
