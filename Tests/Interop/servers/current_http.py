"""An upstream written with mcp 2.x: answers both eras; sessions for legacy clients unless --stateless."""

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from tools import FLOODED, PLAIN_TOOLS, introduction, options, serve

OPTIONS = options()
server = MCPServer("interop-current", version="1.0", log_level="WARNING")
for tool in PLAIN_TOOLS:
    server.add_tool(tool)


@server.tool()
def whoami(ctx: Context) -> str:
    """Names this server and the user agent that called it."""
    return introduction("current", OPTIONS.stateless, (ctx.headers or {}).get("user-agent", ""))


@server.tool()
async def steps(n: int, ctx: Context) -> str:
    """Reports progress n times."""
    for step in range(1, n + 1):
        await ctx.report_progress(step, n, f"step {step}")
    return f"{n} steps"


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ToolError(FLOODED)


if __name__ == "__main__":
    serve(server.streamable_http_app(stateless_http=OPTIONS.stateless), OPTIONS.port)
