"""The fixture of the official conformance suite, behind the endpoint of that one server: its answers come back unchanged.

What is right the fixture says itself: each request goes to it directly, and through the gateway.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gateway import Gateway
from processes import ListeningProcess
from upstreams import SERVERS
from wire import EVERY_CAPABILITY, META, MODERN, MODERN_ONLY, Message, Wire, answer_to, check, events, legacy, modern

ALIAS, ALIAS_LEGACY = "conformance", "conf-legacy"
INVALID_PARAMS, HEADER_MISMATCH, MISSING_CAPABILITY = -32602, -32020, -32021


@dataclass
class Fixture:
    process: ListeningProcess
    direct: str
    gateway: Gateway

    def itself(self, capabilities: Message | None = None) -> Wire:
        return modern(self.direct, "nobody", capabilities)

    def through(self, era: str, capabilities: Message | None = None, alias: str = ALIAS) -> Wire:
        wire = modern if era == "modern" else legacy
        return wire(self.gateway.endpoint_of(alias), self.gateway.token(f"conformance-{era}"), capabilities)


@pytest.fixture(scope="module")
def fixture(everything: Gateway) -> Iterator[Fixture]:
    process = ListeningProcess([sys.executable, str(SERVERS / "conformance.py")])
    try:
        url = process.wait_for_url()
        everything.register(ALIAS, url)
        everything.register(ALIAS_LEGACY, url, era="legacy")
        yield Fixture(process, url, everything)
    finally:
        process.end()


both_eras = pytest.mark.parametrize("era", ["modern", "legacy"])
both_servers = pytest.mark.parametrize("alias", [ALIAS, ALIAS_LEGACY])
PLAIN_CALLS = [
    ("test_simple_text", {}),
    ("test_image_content", {}),
    ("test_audio_content", {}),
    ("test_embedded_resource", {}),
    ("test_multiple_content_types", {}),
    ("test_error_handling", {}),
    ("json_schema_2020_12_tool", {"name": "Zoë", "big": 12345678901234567890}),
    ("test_logging_tool", {}),
    ("test_streaming_elicitation", {}),
]
REQUESTS = [
    ("tools/list", {}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("prompts/list", {}),
    *(("tools/call", {"name": name, "arguments": arguments}) for name, arguments in PLAIN_CALLS),
    *(("resources/read", {"uri": f"test://{name}"}) for name in ("static-text", "static-binary", "watched-resource", "template/123/data")),
    ("prompts/get", {"name": "test_simple_prompt"}),
    ("prompts/get", {"name": "test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "b"}}),
    ("prompts/get", {"name": "test_prompt_with_embedded_resource", "arguments": {"resourceUri": "test://example"}}),
    ("prompts/get", {"name": "test_prompt_with_image"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"}, "argument": {"name": "arg1", "value": "par"}}),
]
ASKING = [
    "test_elicitation",
    "test_sampling",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
]


def bare(result: Message) -> Message:
    """A result without what its revision adds, and without who speaks."""
    meta = {key: value for key, value in result.get("_meta", {}).items() if not key.startswith(META)}
    return {key: value for key, value in result.items() if key not in MODERN_ONLY | {"_meta"}} | ({"_meta": meta} if meta else {})


@both_eras
@both_servers
@pytest.mark.parametrize(
    ("method", "params"), REQUESTS, ids=lambda part: part if isinstance(part, str) else str(part.get("name", part.get("uri", "")))
)
def test_a_documented_answer_comes_back_unchanged(era: str, alias: str, method: str, params: Message, fixture: Fixture) -> None:
    direct = fixture.itself().send(method, params).result
    assert bare(fixture.through(era, alias=alias).send(method, params).result) == bare(direct)


def asked(wire: Wire, method: str, params: Message) -> tuple[list[tuple[str, Any]], Message]:
    """All that was asked on the way to the answer, and the answer."""
    exchange = wire.send(method, params)
    questions = [(message["method"], message.get("params") or {}) for message in exchange.messages if "id" in message and "method" in message]
    result = exchange.result
    while result.get("resultType") == "input_required":
        requests = result["inputRequests"]
        questions += [(request["method"], request.get("params") or {}) for request in requests.values()]
        answers = {key: answer_to(request) for key, request in requests.items()}
        retry = {**params, "inputResponses": answers} | ({"requestState": result["requestState"]} if "requestState" in result else {})
        result = wire.send(method, retry).result
    return questions, bare(result)


@both_eras
@pytest.mark.parametrize("tool", ASKING)
def test_a_question_is_the_same_in_either_era_and_so_is_what_comes_of_it(era: str, tool: str, fixture: Fixture) -> None:
    params = {"name": tool, "arguments": {}}
    questions, result = asked(fixture.itself(), "tools/call", params)
    assert questions
    assert asked(fixture.through(era), "tools/call", params) == (questions, result)
    assert not result.get("isError")


@both_eras
def test_a_prompt_may_ask_too(era: str, fixture: Fixture) -> None:
    params = {"name": "test_input_required_result_prompt"}
    assert asked(fixture.through(era), "prompts/get", params) == asked(fixture.itself(), "prompts/get", params)


@both_eras
@both_servers
def test_log_messages_and_progress_come_as_the_fixture_sent_them(era: str, alias: str, fixture: Fixture) -> None:
    wire = fixture.through(era, alias=alias)
    if era == "legacy":
        wire.send("logging/setLevel", {"level": "info"})
    logged = wire.call("test_tool_with_logging", {f"{META}logLevel": "info"} if era == "modern" else {})
    assert [message["params"]["data"] for message in logged.messages[:-1]] == [
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
    ]
    progress = wire.call("test_tool_with_progress", {"progressToken": "t"})
    assert [message["params"]["progress"] for message in progress.messages[:-1]] == [0, 50, 100]


# Lists that change


@contextmanager
def listening(wire: Wire, *kinds: str) -> Iterator[Iterator[Message]]:
    """What is told outside of requests: to the newer era, of these kinds alone."""
    wanted = {"notifications": {f"{kind}ListChanged": True for kind in kinds}}
    with wire.stream("subscriptions/listen", wanted) if wire.revision == MODERN else wire.listen() as response:
        stream = (event.message for event in events(response) if event.message is not None)
        if wire.revision == MODERN:
            acknowledged = next(stream)
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            assert acknowledged["params"]["notifications"] == wanted["notifications"]
        yield stream


@both_eras
@both_servers
@pytest.mark.parametrize(("tool", "kind"), [("test_trigger_tool_change", "tools"), ("test_trigger_prompt_change", "prompts")])
def test_a_list_that_changes_is_announced_and_read_anew(tool: str, kind: str, alias: str, era: str, fixture: Fixture) -> None:
    wire = fixture.through(era, alias=alias)
    before = {one["name"] for one in wire.send(f"{kind}/list").result[kind]}
    with listening(wire, kind) as told:
        assert wire.call(tool).result["content"][0]["text"] == "Mutation triggered"
        while (message := next(told))["method"] != f"notifications/{kind}/list_changed":
            check(message, wire.revision)
    check(message, wire.revision)
    (newcomer,) = {one["name"] for one in wire.send(f"{kind}/list").result[kind]} - before
    assert newcomer.startswith("test_newcomer_")


@both_servers
def test_who_asked_for_prompts_hears_nothing_of_tools(alias: str, fixture: Fixture) -> None:
    wire = fixture.through("modern", alias=alias)
    with listening(wire, "prompts") as told:
        wire.call("test_trigger_tool_change")
        wire.call("test_trigger_prompt_change")
        message = next(told)
    assert message["method"] == "notifications/prompts/list_changed"
    assert message["params"]["_meta"][f"{META}subscriptionId"] is not None


# Streams that break off


@both_eras
def test_the_gateway_goes_on_with_a_stream_that_the_fixture_closed(era: str, fixture: Fixture) -> None:
    wire = fixture.through(era, alias=ALIAS_LEGACY)
    before = len(fixture.process.output)
    result = wire.call("test_reconnection").result
    assert result["content"][0]["text"].startswith("Reconnection test completed successfully.")
    said = fixture.process.output[before:]
    assert [line.split(" after ")[0].strip() for line in said] == ["test_reconnection was called", "gone on with"], said


def test_a_client_goes_on_with_the_gateways_stream_while_the_gateway_goes_on_with_the_fixtures(fixture: Fixture) -> None:
    wire = fixture.through("legacy", alias=ALIAS_LEGACY)
    params = {"name": "test_reconnection", "arguments": {}}
    with wire.stream("tools/call", params, {"progressToken": "t"}, id_="broken off") as response:
        stream = events(response)
        first, second = next(stream), next(stream)
    assert first.id and first.message is None and first.retry, first
    assert second.message and second.message["method"] == "notifications/progress"
    with wire.listen(second.id) as response:
        (answer,) = (event.message for event in events(response) if event.message is not None)
    check(answer, wire.revision, "tools/call")
    assert answer["id"] == "broken off"
    assert answer["result"]["content"][0]["text"].startswith("Reconnection test completed successfully.")


# What one of the eras has alone


@both_servers
def test_a_client_with_a_handshake_may_subscribe(alias: str, fixture: Fixture) -> None:
    wire = fixture.through("legacy", alias=alias)
    for method in ("resources/subscribe", "resources/unsubscribe"):
        assert wire.send(method, {"uri": "test://watched-resource"}).result == {}


@both_servers
def test_without_a_level_nothing_is_logged(alias: str, fixture: Fixture) -> None:
    wire = fixture.through("modern", alias=alias)
    assert len(wire.call("test_logging_tool").messages) == 1
    (message, _) = wire.call("test_logging_tool", {f"{META}logLevel": "info"}).messages
    assert message["params"]["data"] == "Diagnostic trace logging activated"


@both_servers
def test_no_request_comes_on_the_stream_of_an_answer(alias: str, fixture: Fixture) -> None:
    """Their check (`check`) knows none of revision 2026-07-28."""
    progress, answer = fixture.through("modern", alias=alias).call("test_streaming_elicitation", {"progressToken": "t"}).messages
    assert progress["params"] == {"progressToken": "t", "progress": 50, "total": 100}
    assert answer["result"]["content"][0]["text"] == "Streaming complete"


def test_only_what_the_client_declared_is_asked(fixture: Fixture) -> None:
    for name in EVERY_CAPABILITY:
        wire = fixture.through("modern", {name: {}})
        (request,) = wire.call("test_input_required_result_capabilities").result["inputRequests"].values()
        assert name.split("/")[0] in request["method"]


def test_a_state_that_was_tampered_with_is_refused(fixture: Fixture) -> None:
    wire = fixture.through("modern")
    params = {"name": "test_input_required_result_tampered_state", "arguments": {}}
    first = wire.send("tools/call", params).result
    answers = {key: answer_to(request) for key, request in first["inputRequests"].items()}
    state = first["requestState"]
    for tampered in (state[:-2] + ("AA" if state[-2:] != "AA" else "BB"), "nonsense", ""):
        refused = wire.send("tools/call", {**params, "inputResponses": answers, "requestState": tampered})
        assert (refused.status, refused.error["code"]) == (200, INVALID_PARAMS), tampered
    # Another's, and one for another request.
    other = modern(wire.url, fixture.gateway.token("conformance-other"))
    assert other.send("tools/call", {**params, "inputResponses": answers, "requestState": state}).error["code"] == INVALID_PARAMS
    elsewhere = {"name": "test_input_required_result_request_state", "arguments": {}, "inputResponses": answers, "requestState": state}
    assert wire.send("tools/call", elsewhere).error["code"] == INVALID_PARAMS
    assert "state-ok" in json.dumps(wire.send("tools/call", {**params, "inputResponses": answers, "requestState": state}).result)


def test_whoever_comes_back_without_the_answers_is_asked_again(fixture: Fixture) -> None:
    wire = fixture.through("modern")
    params = {"name": "test_input_required_result_multiple_inputs", "arguments": {}}
    first = wire.send("tools/call", params).result
    some = {"user_name": answer_to(first["inputRequests"]["user_name"]), "nobody asked": {"action": "decline"}}
    again = wire.send("tools/call", {**params, "inputResponses": some, "requestState": first["requestState"]}).result
    assert again["resultType"] == "input_required"
    assert set(again["inputRequests"]) == set(first["inputRequests"])


def test_a_capability_that_is_missing_is_named(fixture: Fixture) -> None:
    refused = fixture.through("modern", {}).call("test_missing_capability")
    assert (refused.status, refused.error["code"]) == (400, MISSING_CAPABILITY)
    assert refused.error["data"] == {"requiredCapabilities": {"sampling": {}}}
    assert fixture.through("modern").call("test_missing_capability").result["content"][0]["text"] == "sampling is there"


def test_parameters_that_headers_repeat_reach_the_fixture_in_both_places(fixture: Fixture) -> None:
    wire = fixture.through("modern")
    body, headers = wire.request("tools/call", {"name": "test_x_mcp_header", "arguments": {"region": "eu-1"}})
    response = wire.http.post(wire.url, json=body, headers=headers | {"Mcp-Param-Region": "eu-1"})
    assert response.json()["result"]["content"][0]["text"] == "eu-1 eu-1"
    for wrong in ({"Mcp-Param-Region": "eu-2"}, {}):
        refused = wire.http.post(wire.url, json=body, headers=headers | wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, HEADER_MISMATCH)


def test_a_client_with_a_handshake_sends_no_such_headers_and_the_gateway_does(fixture: Fixture) -> None:
    called = fixture.through("legacy").call("test_x_mcp_header", region="eu-1")
    assert called.result["content"][0]["text"] == "eu-1 eu-1"
