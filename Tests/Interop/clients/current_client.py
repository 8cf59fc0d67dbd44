"""The mcp 2.x client in each of its modes, and `converse`, after which nobody needs to know which SDK spoke."""

import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
from anyio.abc import TaskGroup
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ServerEvent, ToolsListChanged

from clients.script import (
    LEVEL,
    MODEL_ANSWER,
    PATIENCE,
    PROOF_PAUSE,
    ROOT,
    STEP_DEADLINE,
    Answer,
    Event,
    Step,
    call,
    elicitation,
    form_answer,
    listing,
    notification,
)

__all__ = ["CLIENTS", "CURRENT_CLIENTS", "Answer", "ClientKind", "Step", "Transcript", "call", "connect", "converse", "listing"]

LEGACY_PYTHON = Path(sys.prefix).with_name("legacy") / "bin" / "python"
LEGACY_CLIENT = Path(__file__).with_name("legacy_client.py")
FASTMCP_PYTHON = Path(sys.prefix).with_name("fastmcp") / "bin" / "python"
FASTMCP_CLIENT = Path(__file__).with_name("fastmcp_client.py")
LISTS = {
    "list": (Client.list_tools, "tools"),
    "prompts": (Client.list_prompts, "prompts"),
    "resources": (Client.list_resources, "resources"),
    "templates": (Client.list_resource_templates, "resourceTemplates"),
}
CHANGED = {ToolsListChanged: "tools", PromptsListChanged: "prompts", ResourcesListChanged: "resources"}


@dataclass(frozen=True)
class Transcript:
    revision: str
    answers: list[Answer]


@dataclass(frozen=True)
class ClientKind:
    name: str
    mode: str | None  # of mcp 2.x; None is a client out of process
    revision: str  # what it must agree on with a gateway that speaks both eras
    command: tuple[str, ...] = ()  # of a client out of process

    @property
    def is_modern(self) -> bool:
        return self.revision == "2026-07-28"


CURRENT_CLIENTS = (
    ClientKind("auto", "auto", "2026-07-28"),
    ClientKind("legacy", "legacy", "2025-11-25"),
    ClientKind("pinned", "2026-07-28", "2026-07-28"),
)
CLIENTS = (*CURRENT_CLIENTS, ClientKind("mcp1", None, "2025-11-25", (str(LEGACY_PYTHON), str(LEGACY_CLIENT))))
# It lists and calls, and does no other step of a script.
FASTMCP = ClientKind("fastmcp", None, "2026-07-28", (str(FASTMCP_PYTHON), str(FASTMCP_CLIENT)))


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
        return types.ElicitResult(action="accept", content=dict(form_answer(params.message)))

    async def sample(self, context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        content = params.messages[0].content
        self.hear("asked", "sampling", content.text if isinstance(content, types.TextContent) else "")
        answer = types.TextContent(text=MODEL_ANSWER)
        return types.CreateMessageResult(role="assistant", content=answer, model="a model", stop_reason="endTurn")

    async def roots(self, context: Any) -> types.ListRootsResult:
        self.hear("asked", "roots")
        return types.ListRootsResult(roots=[types.Root(uri=ROOT, name="home")])

    async def message(self, message: Any) -> None:
        if event := notification(getattr(message, "method", ""), getattr(message, "params", None)):
            self.hear(*event)

    def event(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated):
            self.hear("updated", event.uri)
        else:
            self.hear("changed", CHANGED[type(event)])


@asynccontextmanager
async def connect(url: str, token: str, mode: str, **options: Any) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, read_timeout_seconds=PATIENCE, **options) as client,
    ):
        yield client


async def converse(kind: ClientKind, url: str, token: str, *script: Step, can_be_asked: bool = False) -> Transcript:
    """Connects as `kind`, performs the script and returns what was agreed and answered (see script.py).

    - `can_be_asked`: whether it declares that it can be asked everything a client can be asked.
    """
    if kind.mode is None:
        return await converse_out_of_process(kind, url, token, script, can_be_asked)
    ear = Ear()
    options: dict[str, Any] = {"logging_callback": ear.log, "log_level": LEVEL, "cache": None}
    if can_be_asked:
        options |= {"sampling_callback": ear.sample, "elicitation_callback": ear.elicit, "list_roots_callback": ear.roots}
    if not kind.is_modern:
        options |= {"message_handler": ear.message}
    async with connect(url, token, kind.mode, **options) as client, AsyncExitStack() as stack:
        group = await stack.enter_async_context(anyio.create_task_group())
        driver = Driver(client, ear, stack, group)
        answers = [await driver.answer(step) for step in script]
        group.cancel_scope.cancel()
        return Transcript(client.protocol_version, answers)
    raise AssertionError("unreachable")


async def converse_out_of_process(
    kind: ClientKind, url: str, token: str, script: tuple[Step, ...], can_be_asked: bool
) -> Transcript:
    command = [*kind.command, url, token, *(["--everything"] if can_be_asked else [])]
    with anyio.fail_after(PATIENCE + len(script) * STEP_DEADLINE):
        run = await anyio.run_process(command, input=json.dumps(script).encode(), check=False)
    assert run.returncode == 0, f"the {kind.name} client gave up:\n{run.stderr.decode()}"
    return Transcript(**json.loads(run.stdout))


@dataclass
class Driver:
    client: Client
    ear: Ear
    stack: AsyncExitStack
    group: TaskGroup

    async def answer(self, step: Step) -> Answer:
        if step["do"] != "await":
            self.ear.heard = []
        try:
            with anyio.fail_after(STEP_DEADLINE):
                result = await self.perform(step)
            came = result if isinstance(result, dict) else result.model_dump(mode="json", by_alias=True, exclude_none=True)
        except MCPError as refusal:
            came = {"error": refusal.error.model_dump(mode="json", exclude_none=True)}
        except Exception as failure:
            came = {"failure": f"{type(failure).__name__}: {failure}"}
        return came | {"heard": list(self.ear.heard)}

    async def perform(self, step: Step) -> Any:
        client, ear = self.client, self.ear
        is_modern = client.protocol_version == "2026-07-28"
        match step["do"]:
            case "call":
                return await client.call_tool(step["name"], step["arguments"], progress_callback=ear.progress)
            case "prompt":
                return await client.get_prompt(step["name"], step["arguments"])
            case "read":
                return await client.read_resource(step["uri"])
            case "complete":
                kind = types.PromptReference if step["ref"]["type"] == "ref/prompt" else types.ResourceTemplateReference
                return await client.complete(kind.model_validate(step["ref"]), step["argument"])
            case "ping":
                return await client.session.send_ping()
            case "level":
                return {} if is_modern else await client.session.set_logging_level(step["level"])
            case "subscribe" if is_modern:
                return await self.listen(resource_subscriptions=[step["uri"]])
            case "subscribe":
                return await client.subscribe_resource(step["uri"])
            case "listen" if is_modern:
                return await self.listen(tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True)
            case "listen":
                return {}
            case "await":
                await ear.until(step["event"])
                return {}
            case "cancel":
                return await self.cancel(step)
            case kind:
                return await self.list_all(kind)

    async def listen(self, **wanted: Any) -> Answer:
        """Hears until the conversation ends; the answer says what the server agreed to tell."""
        subscription = await self.stack.enter_async_context(self.client.listen(**wanted))

        async def hear() -> None:
            async for event in subscription:
                self.ear.event(event)

        self.group.start_soon(hear)
        return {"honored": subscription.honored.model_dump(mode="json", by_alias=True, exclude_none=True)}

    async def list_all(self, kind: str) -> Answer:
        ask, member = LISTS[kind]
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = (await ask(self.client, cursor=cursor)).model_dump(  # type: ignore[operator]
                mode="json", by_alias=True, exclude_none=True
            )
            items += page[member]
            cursor = page.get("nextCursor")
            if cursor is None:
                return {member: items}

    async def cancel(self, step: Step) -> Answer:
        started = anyio.Event()

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            started.set()

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: self.client.call_tool(step["name"], step["arguments"], progress_callback=on_progress))
            await started.wait()
            group.cancel_scope.cancel()
        since = time.monotonic()
        while True:
            proof = await self.client.call_tool(step["proof"], step["arguments"])
            if isinstance(proof.content[0], types.TextContent) and proof.content[0].text == "yes":
                return {"seconds": time.monotonic() - since}
            await anyio.sleep(PROOF_PAUSE)
