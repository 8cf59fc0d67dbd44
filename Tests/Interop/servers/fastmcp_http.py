"""An upstream written with fastmcp, over HTTP, sessions included."""

from dataclasses import dataclass

from fastmcp import Context, FastMCP
from tools import options, serve

server = FastMCP("interop-fastmcp")


@dataclass
class Person:
    name: str


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
async def steps(n: int, context: Context) -> str:
    """Reports progress n times."""
    for step in range(1, n + 1):
        await context.report_progress(step, n, f"step {step}")
    return f"{n} steps"


@server.tool
async def greet(context: Context) -> str:
    """Greets whoever the user says."""
    answer = await context.elicit("What is your name?", response_type=Person)
    return f"Hello, {answer.data.name}!" if answer.action == "accept" else "Hello."


@server.resource("note://x")
def note() -> str:
    return "a note"


@server.prompt
def about(topic: str) -> str:
    return f"Tell me about {topic}."


if __name__ == "__main__":
    serve(server.http_app(), options().port)
