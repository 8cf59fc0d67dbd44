"""An upstream written with mcp 1.x: knows nothing newer than 2025-11-25; sessions unless --stateless."""

from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from tools import FLOODED, PLAIN_TOOLS, introduction, options, serve

OPTIONS = options()
server = FastMCP("interop-legacy", stateless_http=OPTIONS.stateless, log_level="WARNING")
for tool in PLAIN_TOOLS:
    server.add_tool(tool)


@server.tool()
def whoami(ctx: Context) -> str:
    """Names this server and the user agent that called it."""
    request = ctx.request_context.request
    return introduction("legacy", OPTIONS.stateless, request.headers.get("user-agent", "") if request else "")


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
    serve(server.streamable_http_app(), OPTIONS.port)
