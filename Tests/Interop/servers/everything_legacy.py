"""Everything MCP had, of an upstream written with mcp 1.x: over HTTP, or over its pipes with --stdio.

What it wants to know from a client it asks in requests of its own, as the revisions up to 2025-11-25 have it.
"""

import base64
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

import anyio
from everything import BYTES, FORM, FORM_QUESTION, LEVELS, PROMPT_FOR_MODEL, SECOND_QUESTION, STATIC_BINARY, URL
from everything import URL_ELICITATION, URL_QUESTION, Everything, options
from mcp import McpError, types
from mcp.server.fastmcp.server import StreamableHTTPASGIApp
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Route
from tools import serve

state = Everything()
sessions: WeakSet[ServerSession] = WeakSet()
subscribers: WeakSet[ServerSession] = WeakSet()


class Capable(Server):
    """Says what it can: mcp 1.x never says that of subscriptions, and of changing lists only when asked to."""

    def get_capabilities(self, notification_options: Any, experimental_capabilities: Any) -> types.ServerCapabilities:
        capabilities = super().get_capabilities(NotificationOptions(True, True, True), experimental_capabilities)
        assert capabilities.resources is not None
        capabilities.resources.subscribe = True
        return capabilities


server: Server[Any, Any] = Capable("everything-legacy", "1.0", "Offers everything.")


def handles(request: type[Any]) -> Callable[[Callable[[Any], Awaitable[Any]]], None]:
    def register(handler: Callable[[Any], Awaitable[Any]]) -> None:
        async def handle(message: Any) -> types.ServerResult:
            sessions.add(server.request_context.session)
            return types.ServerResult(await handler(message.params))

        server.request_handlers[request] = handle

    return register


def said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


async def tell(those: WeakSet[ServerSession], notify: Callable[[ServerSession], Awaitable[None]]) -> None:
    """Whoever has gone hears nothing."""
    for session in list(those):
        with anyio.move_on_after(2):
            try:
                await notify(session)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                those.discard(session)


@handles(types.ListToolsRequest)
async def list_tools(params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in state.tools])


async def report(progress: float, total: float, message: str) -> None:
    context = server.request_context
    if context.meta and context.meta.progressToken is not None:
        await context.session.send_progress_notification(
            context.meta.progressToken, progress, total, message, related_request_id=str(context.request_id)
        )


async def ask(message: str) -> str:
    context = server.request_context
    answer = await context.session.elicit_form(message, FORM, context.request_id)
    return str((answer.content or {})["name"]) if answer.action == "accept" else answer.action


@handles(types.CallToolRequest)
async def call_tool(params: types.CallToolRequestParams) -> types.CallToolResult:
    arguments = params.arguments or {}
    context = server.request_context
    session, request_id = context.session, context.request_id
    match params.name:
        case "echo":
            return said(arguments["text"])
        case "progress":
            for step in range(1, arguments["n"] + 1):
                await report(step, arguments["n"], f"step {step}")
            return said(f"{arguments['n']} steps")
        case "log":
            for one in LEVELS:
                await session.send_log_message(one, f"a {one} message", "everything", related_request_id=request_id)
            return said("logged")
        case "ask_form":
            return said(f"Hello, {await ask(FORM_QUESTION)}!")
        case "ask_twice":
            return said(f"Hello, {await ask(FORM_QUESTION)} and {await ask(SECOND_QUESTION)}!")
        case "ask_url":
            answer = await session.elicit_url(URL_QUESTION, URL, URL_ELICITATION, request_id)
            await session.send_elicit_complete(URL_ELICITATION, request_id)
            return said(f"The user did {answer.action}.")
        case "sample":
            prompt = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=PROMPT_FOR_MODEL))
            reply = await session.create_message([prompt], max_tokens=64, related_request_id=request_id)
            assert isinstance(reply.content, types.TextContent)
            return said(f"The model says: {reply.content.text}")
        case "roots":
            return said(f"Roots: {[str(root.uri) for root in (await session.list_roots()).roots]}")
        case "slow":
            return await slow(arguments["key"])
        case "cancelled":
            return said("yes" if arguments["key"] in state.cancelled else "no")
        case "grow":
            state.grow(arguments["kind"], arguments["name"])
            notify = {
                "tools": ServerSession.send_tool_list_changed,
                "prompts": ServerSession.send_prompt_list_changed,
                "resources": ServerSession.send_resource_list_changed,
            }[arguments["kind"]]
            await tell(sessions, notify)
            return said("grown")
        case "touch":
            state.touched += 1
            await tell(subscribers, lambda one: one.send_resource_updated("note://watched"))
            return said(f"touched {state.touched} times")
    raise McpError(types.ErrorData(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name}"))


async def slow(key: str) -> types.CallToolResult:
    try:
        await report(1, 60, "started")
        await anyio.sleep(60)
    except anyio.get_cancelled_exc_class():
        state.cancelled.add(key)
        raise
    return said("done")


@handles(types.ListPromptsRequest)
async def list_prompts(params: Any) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=[types.Prompt.model_validate(prompt) for prompt in state.prompts])


@handles(types.GetPromptRequest)
async def get_prompt(params: types.GetPromptRequestParams) -> types.GetPromptResult:
    text = state.prompt(params.name, params.arguments or {})
    if text is None:
        raise McpError(types.ErrorData(code=types.INVALID_PARAMS, message=f"Unknown prompt: {params.name}"))
    content = types.TextContent(type="text", text=text)
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])


@handles(types.CompleteRequest)
async def complete(params: types.CompleteRequestParams) -> types.CompleteResult:
    reference = params.ref.name if isinstance(params.ref, types.PromptReference) else params.ref.uri
    values = state.completions(reference, params.argument.value)
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), hasMore=False))


@handles(types.ListResourcesRequest)
async def list_resources(params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=[types.Resource.model_validate(resource) for resource in state.resources])


@handles(types.ListResourceTemplatesRequest)
async def list_templates(params: Any) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(
        resourceTemplates=[types.ResourceTemplate.model_validate(template) for template in state.templates]
    )


@handles(types.ReadResourceRequest)
async def read(params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    if uri == STATIC_BINARY:
        blob = base64.b64encode(BYTES).decode()
        contents = types.BlobResourceContents(uri=params.uri, blob=blob, mimeType="application/octet-stream")
        return types.ReadResourceResult(contents=[contents])
    text = state.text(uri)
    if text is None:
        raise McpError(types.ErrorData(code=-32002, message=f"Unknown resource: {uri}", data={"uri": uri}))
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text=text[0], mimeType=text[1])])


@handles(types.SetLevelRequest)
async def set_level(params: Any) -> types.EmptyResult:
    return types.EmptyResult()


@handles(types.SubscribeRequest)
async def subscribe(params: Any) -> types.EmptyResult:
    subscribers.add(server.request_context.session)
    return types.EmptyResult()


@handles(types.UnsubscribeRequest)
async def unsubscribe(params: Any) -> types.EmptyResult:
    subscribers.discard(server.request_context.session)
    return types.EmptyResult()


async def over_pipes() -> None:
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def over_http() -> Starlette:
    manager = StreamableHTTPSessionManager(server)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        async with manager.run():
            yield

    return Starlette(routes=[Route("/mcp", StreamableHTTPASGIApp(manager))], lifespan=lifespan)


if __name__ == "__main__":
    chosen = options()
    if chosen.stdio:
        anyio.run(over_pipes)
    else:
        serve(over_http(), chosen.port)
