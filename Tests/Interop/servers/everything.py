"""What both servers that offer everything have in common: what they list, and what they remember. As dictionaries, for the
two SDKs have types of their own."""

import argparse
from typing import Any

STATIC_TEXT = "note://static-text"
STATIC_BINARY = "note://static-binary"
WATCHED = "note://watched"
TEMPLATE = "note://item/{id}"
BYTES = bytes(range(256))

FORM = {"type": "object", "properties": {"name": {"type": "string", "title": "Your name"}}, "required": ["name"]}
FORM_QUESTION = "What is your name?"
SECOND_QUESTION = "And the name of your dog?"
URL = "https://example.com/authorize?step=1"
URL_ELICITATION = "elicitation-1"
URL_QUESTION = "Please look at this page."
PROMPT_FOR_MODEL = "What is the capital of France?"

NAMES = ["Ada", "Alan", "Grace", "Zoë"]
IDS = ["10", "11", "20"]


def tool(name: str, description: str, /, **properties: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}, "required": [*properties]}
    return {"name": name, "description": description, "inputSchema": schema}


class Everything:
    """What the server offers at the moment, and what happened to it."""

    def __init__(self) -> None:
        self.tools = [
            tool("echo", "Says what it was told.", text="string"),
            tool("progress", "Reports progress n times.", n="integer"),
            tool("log", "Logs a message of each of three levels."),
            tool("ask_form", "Asks for a name by a form."),
            tool("ask_twice", "Asks two questions, one after the other."),
            tool("ask_url", "Asks the user to look at a page."),
            tool("sample", "Asks the client's model."),
            tool("roots", "Asks for the client's roots."),
            tool("slow", "Takes a minute, and notices when it is cancelled.", key="string"),
            tool("cancelled", "Tells whether that slow call was cancelled.", key="string"),
            tool("grow", "Adds a tool, prompt or resource of that name.", kind="string", name="string"),
            tool("touch", "Changes the watched resource."),
        ]
        self.prompts: list[dict[str, Any]] = [
            {"name": "plain", "description": "Takes nothing."},
            {"name": "greeting", "description": "Greets.", "arguments": [{"name": "name", "required": True}]},
        ]
        self.resources: list[dict[str, Any]] = [
            {"uri": STATIC_TEXT, "name": "static text", "mimeType": "text/plain"},
            {"uri": STATIC_BINARY, "name": "static binary", "mimeType": "application/octet-stream"},
            {"uri": WATCHED, "name": "watched", "mimeType": "text/plain"},
        ]
        self.templates = [{"uriTemplate": TEMPLATE, "name": "item", "mimeType": "application/json"}]
        self.touched = 0
        self.cancelled: set[str] = set()

    def grow(self, kind: str, name: str) -> None:
        match kind:
            case "tools":
                self.tools.append(tool(name, "Came later."))
            case "prompts":
                self.prompts.append({"name": name, "description": "Came later."})
            case "resources":
                self.resources.append({"uri": f"note://{name}", "name": name, "mimeType": "text/plain"})

    def text(self, uri: str) -> tuple[str, str] | None:
        """The text of a resource, and its type."""
        if uri == STATIC_TEXT:
            return "Static – text ✓", "text/plain"
        if uri == WATCHED:
            return f"touched {self.touched} times", "text/plain"
        if uri.startswith("note://item/"):
            return '{"id": "' + uri.removeprefix("note://item/") + '"}', "application/json"
        return None

    def prompt(self, name: str, arguments: dict[str, str]) -> str | None:
        match name:
            case "plain":
                return "A plain prompt."
            case "greeting":
                return f"Greet {arguments['name']}."
        return None

    def completions(self, reference: str, value: str) -> list[str]:
        known = {"greeting": NAMES, TEMPLATE: IDS}.get(reference, [])
        return [candidate for candidate in known if candidate.startswith(value)]


LEVELS = ("debug", "info", "warning")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stdio", action="store_true")
    return parser.parse_args()
