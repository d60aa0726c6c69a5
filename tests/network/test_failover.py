"""An answer survives its provider, on real nodes with the real model: broken at a certain token in every way there is.

The long runs are ``scripts/chaos failover``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from failover_network import FailoverNetwork, chat
from failover_verdict import complete, judge
from nodes import chat_stream
from streamed_answer import StreamedAnswer

pytestmark = pytest.mark.real
STORY = {"max_tokens": 40, "temperature": 0.8, "seed": 5}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colours": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 2, "maxItems": 3},
    },
    "required": ["name", "age", "colours"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[FailoverNetwork]:
    made = FailoverNetwork(tmp_path_factory.mktemp("failover"), model_path)
    try:
        yield made.start()
    finally:
        made.kill()


def unbroken(network: FailoverNetwork, body: dict[str, Any]) -> StreamedAnswer:
    """The answer of a request that the first provider answers alone."""
    network.wait_well(0)
    answer = network.ask(network.aimed(body, only=0))
    assert answer.faults() == []
    return answer


def broken_off(
    network: FailoverNetwork, kind: str, body: dict[str, Any], after: int, *, victim: int = 0
) -> tuple[StreamedAnswer, list[int]]:
    """The answer of a request whose first provider breaks it behind ``after`` tokens, and where that was."""
    for each in range(len(network.providers)):
        network.wait_well(each)
    strike = network.breaker(kind, victim, after)
    try:
        answer = network.ask(network.aimed(body, first=victim), strike)
    finally:
        network.mend(kind, victim)
    seams = network.seams(answer)
    assert seams, "the break did not come before the end"
    return answer, seams


@pytest.mark.parametrize("kind", ["reset", "drop", "garbage", "noise", "black_hole", "stop", "kill"])
def test_the_client_sees_one_whole_answer(network: FailoverNetwork, kind: str) -> None:
    body = chat(f"Tell a story about a {kind}.", **STORY)
    whole = unbroken(network, body)
    answer, seams = broken_off(network, kind, body, 9)
    verdict = judge(kind, answer, whole, seams, network.all_receipts(answer, len(seams) + 1))
    assert verdict.broken == []
    assert (len(answer.tokens), verdict.unreceipted) == (STORY["max_tokens"], 0)
    assert verdict.identical


def test_a_schema_is_kept_over_the_seam(network: FailoverNetwork) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
    body = chat("Describe a person.", response_format=form, max_tokens=80, temperature=0.8, seed=2)
    whole = unbroken(network, body)
    answer, _ = broken_off(network, "reset", body, len(whole.tokens) // 2)
    assert answer.faults() == []
    person = json.loads(answer.text)
    assert sorted(person) == ["age", "colours", "name"]
    assert isinstance(person["age"], int)
    assert set(person["colours"]) <= {"red", "green", "blue"}
    assert answer.text == whole.text


def test_a_call_is_read_over_the_seam(network: FailoverNetwork) -> None:
    calls = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    body = chat("What is the weather like in Bern?", max_tokens=80, seed=1, **calls)
    whole = unbroken(network, body)
    # The first tokens are forced by the grammar and come together; the break is in the middle of the arguments.
    answer, _ = broken_off(network, "reset", body, len(whole.tokens) - 10)
    assert answer.faults() == []
    assert (answer.reasons, answer.text) == (["tool_calls"], "")
    assert list(json.loads(answer.arguments)) == ["city"]
    assert answer.arguments == whole.arguments


def test_every_choice_of_several_is_whole(network: FailoverNetwork) -> None:
    body = chat("Name an animal and tell of it.", n=2, **STORY)

    def choices(body: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
        texts, ends = ["", ""], []
        for chunk in chat_stream(network.edge.url, {**body, "stream_options": {"include_usage": True}}):
            assert "error" not in chunk
            ends += [chunk["usage"]] if chunk.get("usage") else []
            for choice in chunk["choices"]:
                texts[choice["index"]] += choice["delta"].get("content") or ""
        return texts, ends

    network.wait_well(0)
    texts, (usage,) = choices(network.aimed(body, only=0))
    network.wait_well(1)
    since = network.edge.mark
    network.breaker("drop", 0, 9)  # one of the two strikes, and both lose the connection
    again, (counted,) = choices(network.aimed(body, first=0))
    network.mend("drop", 0)
    assert network.edge.wait_for("provider_lost", since=since)
    assert again == texts
    assert counted["completion_tokens"] == usage["completion_tokens"] > STORY["max_tokens"]


def test_what_a_stop_string_holds_back_at_the_seam_is_neither_lost_nor_said_twice(network: FailoverNetwork) -> None:
    body = chat("Tell a story about a bridge.", **STORY)
    whole = unbroken(network, body)
    at, stop = straddling(whole)
    cut, seams = broken_off(network, "reset", {**body, "stop": [stop]}, at)
    assert (cut.faults(), len(seams)) == ([], 1)
    assert at - 2 <= seams[0] <= at
    assert (cut.text, cut.reasons) == (whole.text[: whole.text.index(stop)], ["stop"])
    # The same is held back there, and turns out not to be the end.
    on, _ = broken_off(network, "reset", {**body, "stop": [stop[:-1] + "\u0001"]}, at)
    assert on.faults() == []
    assert on.text == whole.text


def straddling(whole: StreamedAnswer) -> tuple[int, str]:
    """(tokens, a string that begins some tokens before and ends behind them), for its first place in the text.

    Tokens travel together at times, so that a break comes one or two sooner than it was planned.
    """
    for at in range(8, len(whole.tokens) - 8):
        *others, last = whole.tokens[at - 2 : at + 2]
        first = whole.tokens[at - 3]
        pieces = [first[-2:], *others, last[:2]]
        if b"".join(pieces).isascii() and len(first) > 1 and len(last) > 1:
            stop = b"".join(pieces).decode()
            if whole.text.index(stop) == len(complete(whole.tokens[: at - 2])) - 2:
                return at, stop
    raise AssertionError("the answer says everything twice")


def test_a_break_at_the_very_end_costs_no_token(network: FailoverNetwork) -> None:
    body = chat("Tell a story about a spoon.", **{**STORY, "max_tokens": 12})
    whole = unbroken(network, body)
    answer, seams = broken_off(network, "reset", body, 12)
    assert seams == [12]
    verdict = judge("reset", answer, whole, seams, network.receipts(answer))
    assert (verdict.broken, verdict.identical) == ([], True)


def test_a_dead_provider_costs_one_failed_dial(network: FailoverNetwork) -> None:
    for each in range(2):
        network.wait_well(each)
    network.providers[0].kill()
    try:
        answer = network.ask(network.aimed(chat("Say yes.", max_tokens=4), first=0))
    finally:
        network.mend("kill", 0)
    assert answer.faults() == []
    assert len(network.passed_over(answer)) == 1


def test_a_client_may_hang_up_while_an_heir_is_looked_for(network: FailoverNetwork) -> None:
    for each in range(2):
        network.wait_well(each)
    body = network.aimed(chat("Tell a story about a lamp.", **STORY), only=0)
    since, seen = network.edge.mark, 0
    with (
        httpx.Client(timeout=60) as client,
        client.stream("POST", f"{network.edge.url}/v1/chat/completions", json={**body, "stream": True}) as answer,
    ):
        request_id = answer.headers["x-request-id"]
        for line in answer.iter_lines():
            seen += '"content"' in line
            if seen == 8:
                network.providers[0].kill()
                network.edge.wait_for("provider_lost", since=since)
                break
    try:
        ended = network.edge.wait_for("job_ended", where=lambda line: line["request_id"] == request_id)
        assert ended["outcome"] == "client_left"
        assert network.edge.admin("/admin/status")["jobs"] == {"coordinated": 0, "provided": 0}
    finally:
        network.mend("kill", 0)
