"""What both HTTP test servers share, whichever SDK runs them. Tools that need the SDK's own types stand beside it."""

import argparse
import asyncio
import socket
from typing import TypedDict

import uvicorn
from starlette.applications import Starlette


class Weather(TypedDict):
    city: str
    celsius: float
    sunny: bool


def add(a: int, b: int) -> int:
    """Adds two integers."""
    return a + b


def greet(name: str) -> str:
    """Grüßt höflich – こんにちは, 🎉 and “quotes”."""
    return f"Grüß Gott, {name}! 🎉"


def weather(city: str) -> Weather:
    """Tells the weather as structured output."""
    return {"city": city, "celsius": 21.5, "sunny": True}


PLAIN_TOOLS = (add, greet, weather)
FLOODED = "the cellar is flooded"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stateless", action="store_true")
    return parser.parse_args()


def introduction(name: str, stateless: bool, user_agent: str) -> str:
    return f"{name} {'stateless' if stateless else 'stateful'} {user_agent}".strip()


def serve(app: Starlette, port: int) -> None:
    """Serves `app` on loopback. The line is printed when the socket listens, so whoever reads it can connect."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener]))
