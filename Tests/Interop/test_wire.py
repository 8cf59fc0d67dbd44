"""Each message the gateway sends is one its revision has: raw HTTP, checked with the models of mcp-types."""

import pytest

from gateway import Gateway
from servers.everything import STATIC_TEXT, TEMPLATE, WATCHED
from upstreams import EVERYTHING, Upstream
from wire import LEGACY, META, Wire, answer_to, check, events, legacy, modern

every_server = pytest.mark.parametrize("alias", [server.alias for server in EVERYTHING])


def everywhere(wire: Wire, alias: str) -> None:
    """What both eras have."""
    for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
        assert wire.send(method).status == 200
    assert wire.call(f"{alias}__echo", text="x").result["content"] == [{"type": "text", "text": "x"}]
    for token in ("a token", 7):
        progress = wire.call(f"{alias}__progress", {"progressToken": token}, n=2)
        assert [message["params"]["progressToken"] for message in progress.messages[:-1]] == [token, token]
    prompt = {"name": f"{alias}__greeting", "arguments": {"name": "Ada"}}
    assert wire.send("prompts/get", prompt).result["messages"][0]["content"]["text"] == "Greet Ada."
    for reference in ({"type": "ref/prompt", "name": f"{alias}__greeting"}, {"type": "ref/resource", "uri": f"mcp.{alias}+{TEMPLATE}"}):
        completed = wire.send("completion/complete", {"ref": reference, "argument": {"name": "name", "value": ""}})
        assert completed.result["completion"]["values"]
    assert wire.send("resources/read", {"uri": f"mcp.{alias}+{STATIC_TEXT}"}).result["contents"]
    assert wire.send("resources/read", {"uri": f"mcp.{alias}+note://none"}).error["data"]["uri"]
    assert wire.call("nowhere__tool").error["code"] == -32602


@every_server
def test_a_conversation_of_the_stateless_era(alias: str, everything: Gateway) -> None:
    wire = modern(everything.endpoint, everything.token("wire-modern"))
    assert "2026-07-28" in wire.send("server/discover").result["supportedVersions"]
    everywhere(wire, alias)
    logged = wire.call(f"{alias}__log", {f"{META}logLevel": "warning"})
    assert [message["params"]["level"] for message in logged.messages[:-1]] == ["warning"]
    assert wire.call(f"{alias}__log").messages[:-1] == []
    for tool in ("ask_form", "ask_url", "sample", "roots", "ask_twice"):
        params = {"name": f"{alias}__{tool}", "arguments": {}}
        answer = wire.send("tools/call", params).result
        rounds = 0
        while answer["resultType"] == "input_required":
            rounds += 1
            answers = {key: answer_to(request) for key, request in answer["inputRequests"].items()}
            answer = wire.send("tools/call", {**params, "inputResponses": answers, "requestState": answer["requestState"]}).result
        assert rounds == (2 if tool == "ask_twice" else 1)
        assert not answer.get("isError"), answer
    for method in ("ping", "logging/setLevel", "resources/subscribe", "initialize"):
        refused = wire.send(method, {"uri": "x", "level": "info", "protocolVersion": LEGACY})
        assert (refused.status, refused.error["code"]) == (404, -32601), method


@every_server
def test_an_endpoint_of_one_server_says_what_that_server_offers(alias: str, everything: Gateway) -> None:
    wire = modern(everything.endpoint_of(alias), everything.token("wire-modern"))
    assert wire.send("tools/list").status == 200
    offered = wire.send("server/discover").result["capabilities"]
    assert set(offered) - {"extensions", "logging"} == {"tools", "prompts", "resources", "completions"}
    assert offered["resources"] == {"subscribe": True, "listChanged": True}
    of_all = modern(everything.endpoint, everything.token("wire-modern")).send("server/discover").result["capabilities"]
    assert set(offered) <= set(of_all)


def test_an_endpoint_of_one_server_offers_nothing_that_the_server_has_not(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    for alias, offered in {"demo": {"tools"}, "time": {"tools", "prompts", "resources"}}.items():
        wire = modern(gateway.endpoint_of(alias), gateway.token("wire-modern"))
        assert len(wire.send("tools/list").result["tools"]) == len(upstreams[alias].tools)
        assert set(wire.send("server/discover").result["capabilities"]) == offered


@every_server
def test_a_stream_of_changes_of_the_stateless_era(alias: str, everything: Gateway) -> None:
    wire = modern(everything.endpoint, everything.token("wire-modern"))
    uri = f"mcp.{alias}+{WATCHED}"
    wanted = {"toolsListChanged": True, "resourceSubscriptions": [uri, "mcp.nowhere+note://x"]}
    with wire.stream("subscriptions/listen", {"notifications": wanted}, id_="my-listen") as response:
        stream = events(response)
        acknowledged = next(stream).message
        assert acknowledged is not None
        assert acknowledged["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": [uri]}
        wire.call(f"{alias}__touch")
        while (message := next(stream).message) is not None:
            check(message, wire.revision)
            assert message["params"]["_meta"][f"{META}subscriptionId"] == "my-listen"
            if message["method"] == "notifications/resources/updated":
                assert message["params"]["uri"] == uri
                break


@every_server
def test_a_conversation_with_a_handshake(alias: str, everything: Gateway) -> None:
    wire = legacy(everything.endpoint, everything.token("wire-legacy"))
    assert wire.send("ping").result == {}
    everywhere(wire, alias)
    assert wire.send("logging/setLevel", {"level": "warning"}).result == {}
    logged = wire.call(f"{alias}__log")
    assert [message["params"]["level"] for message in logged.messages[:-1]] == ["warning"]
    for tool, method in {
        "ask_form": "elicitation/create",
        "ask_url": "elicitation/create",
        "sample": "sampling/createMessage",
        "roots": "roots/list",
    }.items():
        asked = wire.call(f"{alias}__{tool}")
        been_there = ["notifications/elicitation/complete"] if tool == "ask_url" and alias.startswith("el-") else []
        assert [message["method"] for message in asked.messages[:-1]] == [method, *been_there]
        assert not asked.result.get("isError"), asked.result
    assert wire.close().status_code == 204


@every_server
def test_a_first_subscription_hears_of_what_the_next_call_changes(alias: str, everything: Gateway) -> None:
    """The user never spoke with the server before, so nothing was there to subscribe in."""
    wire = legacy(everything.endpoint, everything.token(f"wire-first-{alias}"))
    uri = f"mcp.{alias}+{WATCHED}"
    with wire.listen() as response:
        stream = events(response)
        assert wire.send("resources/subscribe", {"uri": uri}).result == {}
        wire.call(f"{alias}__touch")
        while (message := next(stream).message) is not None:
            check(message, wire.revision)
            if message["method"] == "notifications/resources/updated":
                assert message["params"] == {"uri": uri}
                break
    assert wire.send("resources/unsubscribe", {"uri": uri}).result == {}
    assert wire.close().status_code == 204


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
def test_older_revisions_hear_what_they_have_and_no_more(revision: str, everything: Gateway) -> None:
    wire = legacy(everything.endpoint, everything.token("wire-old"), revision=revision)
    everywhere(wire, "ec-http")
    if revision == "2025-06-18":
        asked = wire.call("ec-http__ask_form")
        assert "mode" not in asked.messages[0]["params"]
        assert asked.result["content"][0]["text"] == "Hello, Zoë!"
