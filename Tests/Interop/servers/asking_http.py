"""An upstream written with mcp 2.x whose tool asks twice; what it remembers in between it seals with a key of its own process."""

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from tools import options, serve

server = MCPServer("interop-asking", version="1.0", log_level="WARNING")


def question(message: str, state: str) -> types.InputRequiredResult:
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    request = types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))
    return types.InputRequiredResult(input_requests={"word": request}, request_state=state)


@server.tool()
async def two_words(ctx: Context) -> str | types.InputRequiredResult:
    """Asks for one word, and then for another."""
    if ctx.input_responses is None:
        return question("The first?", "first")
    word = ctx.input_responses["word"].content["word"]
    return question("The second?", word) if ctx.request_state == "first" else f"{ctx.request_state} {word}"


if __name__ == "__main__":
    serve(server.streamable_http_app(), options().port)
