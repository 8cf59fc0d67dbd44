"""Everything MCP has, of an upstream written with mcp 2.x: over HTTP, or over its pipes with --stdio.

What it wants to know from a client it asks as revision 2026-07-28 has it: the question is the answer.
"""

import base64
from typing import Any

import anyio
import mcp_types as types
from everything import BYTES, FORM, FORM_QUESTION, LEVELS, PROMPT_FOR_MODEL, SECOND_QUESTION, STATIC_BINARY, URL, URL_QUESTION
from everything import Everything, options
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from tools import serve

Context = ServerRequestContext[Any, Any]
Answer = types.CallToolResult | types.InputRequiredResult

state = Everything()
bus = InMemorySubscriptionBus()
CHANGES = {"tools": ToolsListChanged(), "prompts": PromptsListChanged(), "resources": ResourcesListChanged()}


def said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)])


def form(message: str) -> types.InputRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=FORM))


def ask(key: str, request: types.InputRequest, state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests={key: request}, request_state=state)


def name_of(answer: Any) -> str:
    return answer.content["name"] if answer.action == "accept" else answer.action


async def list_tools(ctx: Context, params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in state.tools])


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    arguments = params.arguments or {}
    answers = params.input_responses or {}
    match params.name:
        case "echo":
            return said(arguments["text"])
        case "progress":
            for step in range(1, arguments["n"] + 1):
                await ctx.session.report_progress(step, arguments["n"], f"step {step}")
            return said(f"{arguments['n']} steps")
        case "log":
            for level in LEVELS:
                await ctx.session.send_log_message(level, f"a {level} message", "everything", ctx.request_id)
            return said("logged")
        case "ask_form":
            return said(f"Hello, {name_of(answers['name'])}!") if answers else ask("name", form(FORM_QUESTION))
        case "ask_twice":
            return ask_twice(answers, params.request_state)
        case "ask_url":
            url = types.ElicitRequest(params=types.ElicitRequestURLParams(message=URL_QUESTION, url=URL))
            return said(f"The user did {answers['page'].action}.") if answers else ask("page", url)
        case "sample":
            prompt = types.SamplingMessage(role="user", content=types.TextContent(text=PROMPT_FOR_MODEL))
            request = types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[prompt], max_tokens=64))
            return said(f"The model says: {answers['model'].content.text}") if answers else ask("model", request)
        case "roots":
            return said(f"Roots: {[str(root.uri) for root in answers['r'].roots]}") if answers else ask("r", types.ListRootsRequest())
        case "slow":
            return await slow(ctx, arguments["key"])
        case "cancelled":
            return said("yes" if arguments["key"] in state.cancelled else "no")
        case "grow":
            state.grow(arguments["kind"], arguments["name"])
            await bus.publish(CHANGES[arguments["kind"]])
            return said("grown")
        case "touch":
            state.touched += 1
            await bus.publish(ResourceUpdated("note://watched"))
            return said(f"touched {state.touched} times")
    raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")


def ask_twice(answers: dict[str, Any], remembered: str | None) -> Answer:
    if not answers:
        return ask("first", form(FORM_QUESTION))
    if remembered is None:
        return ask("second", form(SECOND_QUESTION), name_of(answers["first"]))
    return said(f"Hello, {remembered} and {name_of(answers['second'])}!")


async def slow(ctx: Context, key: str) -> Answer:
    try:
        await ctx.session.report_progress(1, 60, "started")
        await anyio.sleep(60)
    except anyio.get_cancelled_exc_class():
        state.cancelled.add(key)
        raise
    return said("done")


async def list_prompts(ctx: Context, params: Any) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=[types.Prompt.model_validate(prompt) for prompt in state.prompts])


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    text = state.prompt(params.name, params.arguments or {})
    if text is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=types.TextContent(text=text))])


async def complete(ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    reference = params.ref.name if isinstance(params.ref, types.PromptReference) else params.ref.uri
    values = state.completions(reference, params.argument.value)
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


async def list_resources(ctx: Context, params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=[types.Resource.model_validate(resource) for resource in state.resources])


async def list_templates(ctx: Context, params: Any) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(
        resource_templates=[types.ResourceTemplate.model_validate(template) for template in state.templates]
    )


async def read(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    if params.uri == STATIC_BINARY:
        blob = base64.b64encode(BYTES).decode()
        return types.ReadResourceResult(
            contents=[types.BlobResourceContents(uri=params.uri, blob=blob, mime_type="application/octet-stream")]
        )
    text = state.text(params.uri)
    if text is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown resource: {params.uri}", {"uri": params.uri})
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text=text[0], mime_type=text[1])])


server: Server[Any] = Server(
    "everything-current",
    version="1.0",
    instructions="Offers everything.",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_prompts=list_prompts,
    on_get_prompt=get_prompt,
    on_completion=complete,
    on_list_resources=list_resources,
    on_list_resource_templates=list_templates,
    on_read_resource=read,
    on_subscriptions_listen=ListenHandler(bus),
)


async def over_pipes() -> None:
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


if __name__ == "__main__":
    chosen = options()
    if chosen.stdio:
        anyio.run(over_pipes)
    else:
        serve(server.streamable_http_app(), chosen.port)
