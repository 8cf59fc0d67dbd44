"""What each kind of client has of each kind of server through the gateway, cell by cell."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from clients.current_client import CLIENTS, ClientKind, Transcript, converse
from clients.script import DOG, LEVEL, MODEL_ANSWER, NAME, ROOT, Answer, Step, call, listing
from gateway import Gateway
from servers.everything import (
    BYTES,
    FORM_QUESTION,
    PROMPT_FOR_MODEL,
    SECOND_QUESTION,
    STATIC_BINARY,
    STATIC_TEXT,
    TEMPLATE,
    URL,
    URL_ELICITATION,
    URL_QUESTION,
    WATCHED,
    Everything,
)
from upstreams import EVERYTHING, EverythingServer

pytestmark = pytest.mark.anyio

METHOD_NOT_FOUND = -32601


@dataclass(frozen=True)
class Names:
    """How the endpoint names what a server has."""

    alias: str | None

    def tool(self, name: str) -> str:
        return f"{self.alias}__{name}" if self.alias else name

    def uri(self, uri: str) -> str:
        return f"mcp.{self.alias}+{uri}" if self.alias else uri


@dataclass(frozen=True)
class Cell:
    client: ClientKind
    server: EverythingServer
    is_verbatim: bool

    @property
    def names(self) -> Names:
        return Names(None if self.is_verbatim else self.server.alias)

    @property
    def shared_names(self) -> Names:
        return Names(None if self.is_verbatim else self.server.shared)

    def asked(self, question: str) -> str:
        """On an endpoint of many servers people are told which one asks."""
        return question if self.is_verbatim else f"{self.server.title}: {question}"

    @property
    def is_legacy_throughout(self) -> bool:
        return not self.client.is_modern and self.server.alias.startswith("el-")

    @property
    def newcomer(self) -> str:
        return f"later-{self.client.name}{'-v' if self.is_verbatim else ''}"


Script = Callable[[Cell], list[Step]]
Check = Callable[[Cell, list[Answer]], None]


@dataclass(frozen=True)
class Method:
    name: str
    script: Script
    check: Check


METHODS: list[Method] = []


def method(name: str, script: Script) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        METHODS.append(Method(name, script, check))
        return check

    return register


def text_of(answer: Answer) -> str:
    assert "content" in answer, answer
    assert not answer.get("isError"), answer
    return str(answer["content"][0]["text"])


def heard(answer: Answer, kind: str) -> list[Any]:
    return [event[1:] for event in answer["heard"] if event[0] == kind]


def own(cell: Cell, items: list[dict[str, Any]], key: str, opening: str) -> list[dict[str, Any]]:
    """Of a list, what is the server's; not what others added in the meantime."""
    return [item for item in items if item[key].startswith("" if cell.is_verbatim else opening) and "later-" not in item[key]]


def tool_call(name: str, **arguments: Any) -> Script:
    return lambda cell: [call(cell.names.tool(name), arguments)]


# What each method is to do


@method("tools list", lambda cell: [listing()])
def tools_list(cell: Cell, answers: list[Answer]) -> None:
    tools = own(cell, answers[0]["tools"], "name", f"{cell.server.alias}__")
    offered = Everything().tools
    assert [tool["name"] for tool in tools] == [cell.names.tool(tool["name"]) for tool in offered]
    assert [tool["inputSchema"] for tool in tools] == [tool["inputSchema"] for tool in offered]


@method("tools call", tool_call("echo", text="grüße \\ \" 🎉"))
def tools_call(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == "grüße \\ \" 🎉"


@method("progress", tool_call("progress", n=3))
def progress(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == "3 steps"
    assert heard(answers[0], "progress") == [[1, 3, "step 1"], [2, 3, "step 2"], [3, 3, "step 3"]]


@method("log message", lambda cell: [{"do": "level", "level": LEVEL}, call(cell.names.tool("log"))])
def log_message(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[1]) == "logged"
    assert heard(answers[1], "log") == [["info", "a info message"], ["warning", "a warning message"]]


@method("prompts list", lambda cell: [{"do": "prompts"}])
def prompts_list(cell: Cell, answers: list[Answer]) -> None:
    prompts = own(cell, answers[0]["prompts"], "name", f"{cell.server.alias}__")
    assert [prompt["name"] for prompt in prompts] == [cell.names.tool("plain"), cell.names.tool("greeting")]
    assert prompts[1]["arguments"] == [{"name": "name", "required": True}]


@method(
    "prompts get",
    lambda cell: [
        {"do": "prompt", "name": cell.names.tool("plain"), "arguments": {}},
        {"do": "prompt", "name": cell.names.tool("greeting"), "arguments": {"name": "Ada"}},
    ],
)
def prompts_get(cell: Cell, answers: list[Answer]) -> None:
    texts = [answer["messages"][0]["content"]["text"] for answer in answers]
    assert texts == ["A plain prompt.", "Greet Ada."]


@method(
    "completion",
    lambda cell: [
        {
            "do": "complete",
            "ref": {"type": "ref/prompt", "name": cell.names.tool("greeting")},
            "argument": {"name": "name", "value": "A"},
        },
        {
            "do": "complete",
            "ref": {"type": "ref/resource", "uri": cell.names.uri(TEMPLATE)},
            "argument": {"name": "id", "value": "1"},
        },
    ],
)
def completion(cell: Cell, answers: list[Answer]) -> None:
    assert [answer["completion"]["values"] for answer in answers] == [["Ada", "Alan"], ["10", "11"]]


@method("resources list", lambda cell: [{"do": "resources"}])
def resources_list(cell: Cell, answers: list[Answer]) -> None:
    resources = own(cell, answers[0]["resources"], "uri", f"mcp.{cell.server.alias}+")
    assert [resource["uri"] for resource in resources] == [cell.names.uri(uri) for uri in (STATIC_TEXT, STATIC_BINARY, WATCHED)]


@method("templates list", lambda cell: [{"do": "templates"}])
def templates_list(cell: Cell, answers: list[Answer]) -> None:
    templates = [template["uriTemplate"] for template in answers[0]["resourceTemplates"]]
    assert cell.names.uri(TEMPLATE) in templates
    assert len(templates) == len(set(templates))


@method(
    "resources read",
    lambda cell: [{"do": "read", "uri": cell.names.uri(uri)} for uri in (STATIC_TEXT, STATIC_BINARY, "note://item/42", "note://none")],
)
def resources_read(cell: Cell, answers: list[Answer]) -> None:
    text, binary, item = (answer["contents"][0] for answer in answers[:3])
    assert (text["uri"], text["text"], text["mimeType"]) == (cell.names.uri(STATIC_TEXT), "Static – text ✓", "text/plain")
    assert (binary["uri"], base64.b64decode(binary["blob"])) == (cell.names.uri(STATIC_BINARY), BYTES)
    assert (item["uri"], item["text"]) == (cell.names.uri("note://item/42"), '{"id": "42"}')
    assert answers[3]["error"]["code"] == (-32602 if cell.client.is_modern else -32002)


@method("form elicitation", tool_call("ask_form"))
def form_elicitation(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == f"Hello, {NAME}!"
    assert heard(answers[0], "asked") == [["form", cell.asked(FORM_QUESTION)]]


@method("two rounds of questions", tool_call("ask_twice"))
def two_rounds(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == f"Hello, {NAME} and {DOG}!"
    assert heard(answers[0], "asked") == [["form", cell.asked(FORM_QUESTION)], ["form", cell.asked(SECOND_QUESTION)]]


@method("URL elicitation", tool_call("ask_url"))
def url_elicitation(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == "The user did accept."
    assert heard(answers[0], "asked") == [["url", cell.asked(URL_QUESTION), URL]]
    # Only between two sides with a handshake is there a word for that they have been there.
    named = heard(answers[0], "named")
    assert heard(answers[0], "been there") == (named if cell.is_legacy_throughout else [])
    assert [URL_ELICITATION] not in named, "a name that two servers may give is not the client's"


@method("sampling", tool_call("sample"))
def sampling(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == f"The model says: {MODEL_ANSWER}"
    assert heard(answers[0], "asked") == [["sampling", PROMPT_FOR_MODEL]]


@method("roots", tool_call("roots"))
def roots(cell: Cell, answers: list[Answer]) -> None:
    assert text_of(answers[0]) == f"Roots: ['{ROOT}']"
    assert heard(answers[0], "asked") == [["roots"]]


@method("ping", lambda cell: [{"do": "ping"}])
def ping(cell: Cell, answers: list[Answer]) -> None:
    """Revision 2026-07-28 has no ping: the client says so itself, or the gateway does."""
    if not cell.client.is_modern:
        assert set(answers[0]) == {"heard"}
    else:
        assert answers[0].get("error", {}).get("code") == METHOD_NOT_FOUND or "ping" in answers[0].get("failure", ""), answers[0]


@method(
    "subscribe and updated",
    lambda cell: [
        {"do": "subscribe", "uri": cell.names.uri(WATCHED)},
        call(cell.names.tool("touch")),
        {"do": "await", "event": ["updated", cell.names.uri(WATCHED)]},
    ],
)
def subscribe(cell: Cell, answers: list[Answer]) -> None:
    assert "error" not in answers[0], answers[0]
    assert "failure" not in answers[0], answers[0]
    if cell.client.is_modern:
        assert answers[0]["honored"] == {"resourceSubscriptions": [cell.names.uri(WATCHED)]}
    assert text_of(answers[1]).startswith("touched")
    assert "failure" not in answers[2], answers[2]


def grow(cell: Cell, kind: str, list_step: str) -> list[Step]:
    return [
        call(cell.shared_names.tool("grow"), {"kind": kind, "name": cell.newcomer}),
        {"do": "await", "event": ["changed", kind]},
        {"do": list_step},
    ]


def growing(cell: Cell) -> list[Step]:
    kinds = {"tools": "list", "prompts": "prompts", "resources": "resources"}
    return [{"do": "listen"}, *(step for kind, list_step in kinds.items() for step in grow(cell, kind, list_step))]


@method("list changed", growing)
def list_changed(cell: Cell, answers: list[Answer]) -> None:
    listed = {"tools": ("name", cell.shared_names.tool), "prompts": ("name", cell.shared_names.tool), "resources": ("uri", None)}
    for place, (kind, (key, name)) in enumerate(listed.items()):
        grown, waited, page = answers[1 + 3 * place : 4 + 3 * place]
        assert text_of(grown) == "grown"
        assert "failure" not in waited, (kind, waited)
        newcomer = name(cell.newcomer) if name else cell.shared_names.uri(f"note://{cell.newcomer}")
        assert newcomer in [item[key] for item in page[kind]]


@method(
    "cancel",
    lambda cell: [
        {
            "do": "cancel",
            "name": cell.names.tool("slow"),
            "proof": cell.names.tool("cancelled"),
            "arguments": {"key": f"{cell.client.name} {cell.is_verbatim}"},
        }
    ],
)
def cancel(cell: Cell, answers: list[Answer]) -> None:
    assert answers[0].get("seconds", 60) < 5, answers[0]


# The table


@dataclass
class Conversations:
    """Each cell's conversation is had once, whatever of it is looked at."""

    gateway: Gateway
    had: dict[Cell, tuple[Transcript, dict[str, list[Answer]]]] = field(default_factory=dict)

    async def answers(self, cell: Cell) -> tuple[Transcript, dict[str, list[Answer]]]:
        if cell not in self.had:
            self.had[cell] = await self.converse(cell)
        return self.had[cell]

    async def converse(self, cell: Cell) -> tuple[Transcript, dict[str, list[Answer]]]:
        scripts = {method.name: method.script(cell) for method in methods_of(cell)}
        url = self.gateway.endpoint_of(cell.server.alias) if cell.is_verbatim else self.gateway.endpoint
        steps = [step for script in scripts.values() for step in script]
        transcript = await converse(cell.client, url, self.gateway.token(f"cells-{cell.client.name}"), *steps, can_be_asked=True)
        answers = iter(transcript.answers)
        return transcript, {name: [next(answers) for _ in script] for name, script in scripts.items()}


def methods_of(cell: Cell) -> list[Method]:
    """What changed in a process that all share is told on its own endpoint, which is not the one of this conversation."""
    apart = cell.is_verbatim and cell.server.shared != cell.server.alias
    return [method for method in METHODS if not (apart and method.name == "list changed")]


@pytest.fixture(scope="module")
def conversations(everything: Gateway) -> Conversations:
    return Conversations(everything)


def cells() -> Iterator[Any]:
    for is_verbatim in (False, True):
        for server in EVERYTHING:
            for client in CLIENTS:
                cell = Cell(client, server, is_verbatim)
                for one in methods_of(cell):
                    place = "verbatim" if is_verbatim else "aggregate"
                    yield pytest.param(cell, one, id=f"{place}: {client.name} client, {server.name} server: {one.name}")


@pytest.mark.parametrize(("cell", "wanted"), [*cells()])
async def test_cell(cell: Cell, wanted: Method, conversations: Conversations) -> None:
    transcript, answers = await conversations.answers(cell)
    assert transcript.revision == cell.client.revision
    wanted.check(cell, answers[wanted.name])
