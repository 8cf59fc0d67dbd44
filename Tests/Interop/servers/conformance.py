"""The fixture that the scenarios of the official conformance suite expect of a server, written with mcp 2.x.

It speaks both eras; questions it asks in the newer one alone.
"""

import argparse
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.session import ServerSession
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError
from tools import serve

Context = ServerRequestContext[Any, Any]

# One red pixel, and a wave of no samples.
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
AUDIO = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0data\0\0\0\0").decode()
KEY = b"of this process"

OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
NAME_FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
DEFAULTS_FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
TITLED = [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}]
ENUMS_FORM = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2"]},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
}
JSON_SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}, "kind": {"const": 12345678901234567890}},
    "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
    "if": {"properties": {"name": {"const": "x"}}},
    "then": {"required": ["address"]},
    "additionalProperties": False,
}
X_MCP_HEADER = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}, "required": ["region"]}
SCHEMAS = {"json_schema_2020_12_tool": JSON_SCHEMA_2020_12, "test_x_mcp_header": X_MCP_HEADER}

TEXT = {"type": "text", "text": "This is a simple text response for testing."}
PICTURE = {"type": "image", "data": IMAGE, "mimeType": "image/png"}
SOUND = {"type": "audio", "data": AUDIO, "mimeType": "audio/wav"}
EMBEDDED = {
    "type": "resource",
    "resource": {"uri": "test://embedded-resource", "mimeType": "text/plain", "text": "This is an embedded resource content."},
}
MIXED = {
    "type": "resource",
    "resource": {"uri": "test://mixed-content-resource", "mimeType": "application/json", "text": '{"test":"data","value":123}'},
}
PLAIN: dict[str, list[dict[str, Any]]] = {
    "test_simple_text": [TEXT],
    "test_image_content": [PICTURE],
    "test_audio_content": [SOUND],
    "test_embedded_resource": [EMBEDDED],
    "test_multiple_content_types": [{"type": "text", "text": "Multiple content types test:"}, PICTURE, MIXED],
}
FORM = {"method": "elicitation/create", "params": {"mode": "form", "message": "What is your name?", "requestedSchema": NAME_FORM}}
COLOUR = {
    "method": "elicitation/create",
    "params": {
        "mode": "form",
        "message": "What is your favorite color?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
SAMPLING = {
    "method": "sampling/createMessage",
    "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "What is the capital of France?"}}],
        "maxTokens": 100,
    },
}
ROOTS = {"method": "roots/list", "params": {}}
DEFAULTS = {
    "method": "elicitation/create",
    "params": {"mode": "form", "message": "Please review and update the form fields with defaults", "requestedSchema": DEFAULTS_FORM},
}
ENUMS = {
    "method": "elicitation/create",
    "params": {"mode": "form", "message": "Please select options from the enum fields", "requestedSchema": ENUMS_FORM},
}
# What each tool asks for, under which key, and whether it wants a state back.
ASKING: dict[str, tuple[dict[str, dict[str, Any]], bool]] = {
    "test_elicitation": ({"input": FORM}, False),
    "test_sampling": ({"sample": SAMPLING}, False),
    "test_elicitation_sep1034_defaults": ({"form": DEFAULTS}, False),
    "test_elicitation_sep1330_enums": ({"form": ENUMS}, False),
    "test_input_required_result_elicitation": ({"user_name": FORM}, False),
    "test_input_required_result_sampling": ({"capital_question": SAMPLING}, False),
    "test_input_required_result_list_roots": ({"client_roots": ROOTS}, False),
    "test_input_required_result_request_state": ({"confirm": FORM}, True),
    "test_input_required_result_multiple_inputs": ({"user_name": FORM, "greeting": SAMPLING, "client_roots": ROOTS}, True),
    "test_input_required_result_tampered_state": ({"confirm": FORM}, True),
}
CHANGED = "Mutation triggered"
RECONNECTED = "Reconnection test completed successfully. If you received this, the client properly reconnected after stream closure."
TOOLS = [
    *PLAIN,
    *ASKING,
    "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
    "test_missing_capability",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_error_handling",
    "test_x_mcp_header",
    "json_schema_2020_12_tool",
    "test_logging_tool",
    "test_streaming_elicitation",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_reconnection",
]
PROMPTS: list[dict[str, Any]] = [
    {"name": "test_simple_prompt"},
    {"name": "test_prompt_with_arguments", "arguments": [{"name": "arg1", "required": True}, {"name": "arg2", "required": True}]},
    {"name": "test_prompt_with_embedded_resource", "arguments": [{"name": "resourceUri", "required": True}]},
    {"name": "test_prompt_with_image"},
    {"name": "test_input_required_result_prompt"},
]
RETRY_MILLISECONDS = 500

bus = InMemorySubscriptionBus()
# Those of the handshake era, by id: one of each is enough to tell it something.
sessions: dict[str, ServerSession] = {}


class Events(EventStore):
    """Every event of every stream, so that who lost one can go on with it. Says who does."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.kept.append((stream_id, message))
        return str(len(self.kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        stream, _ = self.kept[int(last_event_id) - 1]
        print(f"gone on with after event {last_event_id}", flush=True)
        for number, (other, message) in enumerate(self.kept, 1):
            if other == stream and number > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class Capable(Server):
    """Says what it can: by itself it does not say to the handshake era that its lists change."""

    def get_capabilities(self, notification_options: Any = None, *arguments: Any, **more: Any) -> types.ServerCapabilities:
        return super().get_capabilities(NotificationOptions(True, True, True), *arguments, **more)


def remember(ctx: Context) -> None:
    if session := ctx.request and ctx.request.headers.get("mcp-session-id"):
        sessions[session] = ctx.session


def result(content: list[dict[str, Any]], is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult.model_validate({"content": content, "isError": is_error})


def said(text: str) -> types.CallToolResult:
    return result([{"type": "text", "text": text}])


def sealed(text: str) -> str:
    return f"{text}.{hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()}"


def opened(state: str | None) -> str:
    text, _, mark = (state or "").rpartition(".")
    if not hmac.compare_digest(sealed(text).rpartition(".")[2], mark):
        raise MCPError(types.INVALID_PARAMS, "The requestState was tampered with.")
    return text


def asked(requests: dict[str, dict[str, Any]], state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult.model_validate(
        {"resultType": "input_required", "inputRequests": requests, "requestState": state and sealed(state)}
    )


def written(answers: Any) -> str:
    """What came back, for the test to read."""
    return json.dumps({key: json.loads(answer.model_dump_json(by_alias=True, exclude_none=True)) for key, answer in answers.items()})


async def list_tools(ctx: Context, params: Any) -> types.ListToolsResult:
    remember(ctx)
    tools = [{"name": name, "description": f"Tests {name}.", "inputSchema": SCHEMAS.get(name, OBJECT)} for name in TOOLS]
    return types.ListToolsResult.model_validate({"tools": tools})


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult | types.InputRequiredResult:
    remember(ctx)
    name, answers = params.name, params.input_responses or {}
    if name in PLAIN:
        return result(PLAIN[name])
    if name in ASKING:
        requests, has_state = ASKING[name]
        state = opened(params.request_state) if has_state and params.request_state is not None else None
        if set(requests) - set(answers):
            return asked(requests, "asked once" if has_state else None)
        return said(written(answers) + (" state-ok" if state == "asked once" else ""))
    match name:
        case "test_input_required_result_multi_round":
            return multi_round(answers, params.request_state)
        case "test_input_required_result_capabilities":
            return asked(can_be_asked(ctx)) if not answers else said(written(answers))
        case "test_missing_capability":
            if ctx.session.client_capabilities is None or ctx.session.client_capabilities.sampling is None:
                raise MCPError(-32021, "This needs sampling.", {"requiredCapabilities": {"sampling": {}}})
            return said("sampling is there")
        case "test_tool_with_logging":
            for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
                await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)
            return said("Tool with logging executed successfully")
        case "test_tool_with_progress":
            for step in (0, 50, 100):
                await ctx.session.report_progress(step, 100)
            return said("done")
        case "test_error_handling":
            return result([{"type": "text", "text": "This tool intentionally returns an error for testing"}], is_error=True)
        case "test_x_mcp_header":
            return said(f"{(params.arguments or {})['region']} {ctx.request.headers.get('mcp-param-region')}")
        case "json_schema_2020_12_tool":
            return said(json.dumps(params.arguments))
        case "test_logging_tool":
            await ctx.session.send_log_message("info", "Diagnostic trace logging activated", related_request_id=ctx.request_id)
            return said("Logging evaluated")
        case "test_streaming_elicitation":
            await ctx.session.report_progress(50, 100)
            return said("Streaming complete")
        case "test_trigger_tool_change":
            TOOLS.append(f"test_newcomer_{len(TOOLS)}")
            await bus.publish(ToolsListChanged())
            await tell_sessions(ServerSession.send_tool_list_changed)
            return said(CHANGED)
        case "test_trigger_prompt_change":
            PROMPTS.append({"name": f"test_newcomer_{len(PROMPTS)}"})
            await bus.publish(PromptsListChanged())
            await tell_sessions(ServerSession.send_prompt_list_changed)
            return said(CHANGED)
        case "test_reconnection":
            return await reconnection(ctx)
    raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name}")


async def tell_sessions(notify: Callable[[ServerSession], Awaitable[None]]) -> None:
    """Whoever has gone hears nothing."""
    for id_, session in list(sessions.items()):
        with anyio.move_on_after(2):
            try:
                await notify(session)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                del sessions[id_]


async def reconnection(ctx: Context) -> types.CallToolResult:
    """The event that a stream begins with is out before the stream is closed; the answer comes when it is. Says so before, to whom wants
    to hear of progress."""
    print("test_reconnection was called", flush=True)
    await ctx.session.report_progress(1, 2)
    if ctx.close_sse_stream is not None:
        await anyio.sleep(0.1)
        await ctx.close_sse_stream()
    return said(RECONNECTED)


def multi_round(answers: Any, state: str | None) -> types.CallToolResult | types.InputRequiredResult:
    if state is None:
        return asked({"step1": FORM}, "round 1")
    if opened(state) == "round 1":
        return asked({"step2": COLOUR}, f"round 2, {answers['step1'].content['name']}")
    return said(f"{opened(state)}, {answers['step2'].content['name']}")


def can_be_asked(ctx: Context) -> dict[str, dict[str, Any]]:
    declared = ctx.session.client_capabilities or types.ClientCapabilities()
    candidates = {"form": (declared.elicitation, FORM), "sample": (declared.sampling, SAMPLING), "roots": (declared.roots, ROOTS)}
    return {key: request for key, (capability, request) in candidates.items() if capability is not None}


async def list_resources(ctx: Context, params: Any) -> types.ListResourcesResult:
    uris = ("test://static-text", "test://static-binary", "test://watched-resource")
    return types.ListResourcesResult.model_validate({"resources": [{"uri": uri, "name": uri.removeprefix("test://")} for uri in uris]})


async def list_templates(ctx: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = {"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"}
    return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": [template]})


async def read(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = params.uri
    if uri == "test://static-binary":
        content: dict[str, Any] = {"blob": IMAGE, "mimeType": "image/png"}
    elif uri == "test://static-text":
        content = {"text": "This is the content of the static text resource.", "mimeType": "text/plain"}
    elif uri == "test://watched-resource":
        content = {"text": "Watched resource content", "mimeType": "text/plain"}
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        id_ = uri.split("/")[3]
        content = {"text": json.dumps({"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"}), "mimeType": "application/json"}
    else:
        raise MCPError(types.INVALID_PARAMS, f"Unknown resource: {uri}", {"uri": uri})
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, **content}]})


async def list_prompts(ctx: Context, params: Any) -> types.ListPromptsResult:
    remember(ctx)
    return types.ListPromptsResult.model_validate({"prompts": PROMPTS})


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    arguments, content = params.arguments or {}, dict[str, Any]()
    match params.name:
        case "test_simple_prompt":
            content = {"type": "text", "text": "This is a simple prompt for testing."}
        case "test_prompt_with_arguments":
            content = {"type": "text", "text": f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"}
        case "test_prompt_with_embedded_resource":
            resource = {"uri": arguments["resourceUri"], "mimeType": "text/plain", "text": "Embedded resource content for testing."}
            content = {"type": "resource", "resource": resource}
        case "test_prompt_with_image":
            content = PICTURE
        case "test_input_required_result_prompt":
            if not params.input_responses:
                return asked({"user_context": FORM})
            content = {"type": "text", "text": written(params.input_responses)}
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return types.GetPromptResult.model_validate({"messages": [{"role": "user", "content": content}]})


async def subscribed(ctx: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def complete(ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [value for value in ("paris", "park", "party") if value.startswith(params.argument.value)]
    return types.CompleteResult.model_validate({"completion": {"values": values, "total": 150, "hasMore": False}})


server: Server[Any] = Capable(
    "mcp-conformance-test-server",
    version="1.0.0",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_resources=list_resources,
    on_list_resource_templates=list_templates,
    on_read_resource=read,
    on_list_prompts=list_prompts,
    on_get_prompt=get_prompt,
    on_completion=complete,
    on_subscribe_resource=subscribed,
    on_unsubscribe_resource=subscribed,
    on_subscriptions_listen=ListenHandler(bus),
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    serve(server.streamable_http_app(event_store=Events(), retry_interval=RETRY_MILLISECONDS), parser.parse_args().port)
