"""What a script may ask of a client, whichever SDK runs it, and what comes of it.

A script is a list of steps, each a dictionary: `do` says what to do, the rest with what. What came of a step is the result as it
stands on the wire, or `{"error": {…}}` for a JSON-RPC error, or `{"failure": …}` if the client gave up; and under `heard` what
the client was told or asked meanwhile.

| do | with | what it does |
|---|---|---|
| `list`, `prompts`, `resources`, `templates` | | lists all pages |
| `call` | `name`, `arguments` | calls a tool, with a token for progress |
| `prompt` | `name`, `arguments` | gets a prompt |
| `read` | `uri` | reads a resource |
| `complete` | `ref`, `argument` | asks for completions |
| `ping` | | pings, where there is a ping |
| `level` | `level` | asks for log messages from that level on |
| `subscribe` | `uri` | hears of changes of a resource from here on |
| `listen` | | hears of changes of lists from here on |
| `await` | `event` | waits until that was heard since the step before |
| `cancel` | `name`, `arguments`, `proof` | calls, cancels once there was progress, and calls `proof` until it says "yes" |
"""

from typing import Any

Step = dict[str, Any]
Answer = dict[str, Any]
Event = list[Any]

PATIENCE = 30  # seconds until a hanging peer becomes an error
STEP_DEADLINE = 20  # seconds that one step may take
PROOF_PAUSE = 0.2  # seconds between two looks at whether something was cancelled
LEVEL = "info"

NAME, DOG = "Zoë", "Rex"
MODEL_ANSWER = "Paris"
ROOT = "file:///home/zoe"


def form_answer(message: str) -> dict[str, str]:
    return {"name": DOG if "dog" in message else NAME}


def listing() -> Step:
    return {"do": "list"}


def call(name: str, arguments: dict[str, Any] | None = None) -> Step:
    return {"do": "call", "name": name, "arguments": arguments or {}}


def elicitation(params: Any) -> str | None:
    """The name of an elicitation by URL, in whichever way the library spells it."""
    return getattr(params, "elicitation_id", None) or getattr(params, "elicitationId", None)


def notification(method: str, params: Any) -> Event | None:
    """What a notification says outside of any call."""
    match method:
        case "notifications/tools/list_changed":
            return ["changed", "tools"]
        case "notifications/prompts/list_changed":
            return ["changed", "prompts"]
        case "notifications/resources/list_changed":
            return ["changed", "resources"]
        case "notifications/resources/updated":
            return ["updated", str(params.uri)]
        case "notifications/elicitation/complete":
            return ["been there", elicitation(params)]
    return None
