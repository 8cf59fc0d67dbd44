"""An upstream written with mcp 2.x whose tool describes itself as the first argument says."""

import sys

from mcp.server.mcpserver import MCPServer
from tools import options, serve

server = MCPServer("interop-saying", version="1.0", log_level="WARNING")


@server.tool(description=sys.argv.pop(1))
def say(word: str) -> str:
    return word


if __name__ == "__main__":
    serve(server.streamable_http_app(), options().port)
