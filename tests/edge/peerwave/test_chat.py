"""Peerwave's chat: its names in requests, its two forms of answers, and a client that keeps no half lines."""

from __future__ import annotations

import json

import httpx
import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Started, Usage
from peernode.chat.output_format import OutputFormat
from tests.edge.asked import CALL, PNG, PNG_BYTES
from tests.edge.conftest import PROVIDER, RECEIPT

BODY = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}]}
CALLING = ['<tool_call>\n{"name": "f", "argu', 'ments": {"city": "Bern"}}\n</tool_call>']
TOOLS = [{"type": "function", "function": {"name": "f"}}]


async def ask(edge, path="/api/chat", **changes):
    return await edge.client.post(path, json={**BODY, **changes})


def play_calls(edge, *texts):
    edge.runner.play(*texts, end=[Finished("stop", Usage(10, len(texts), 4)), RECEIPT])
    edge.runner.steps[0] = Started(PROVIDER.peer_id, "org/tiny", "hermes")


async def lines_of(edge, **changes):
    """As Peerwave's own samples read: every piece of the body is split at line ends, and nothing is carried over."""
    found = []
    async with edge.client.stream("POST", "/api/chat/stream", json={**BODY, **changes}) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
        async for piece in answer.aiter_bytes():
            found += [json.loads(line) for line in piece.decode().split("\n") if line]
    return found


async def test_an_answer_in_one_piece(edge):
    answer = await ask(edge)
    body = answer.json()
    assert (body["model"], body["message"]) == ("org/tiny", {"role": "assistant", "content": "Hello"})
    assert body["receipt"]["id"] == body["request_id"] == answer.headers["x-request-id"]
    assert float(answer.headers["credits"]) == body["Credits"] > 0
    assert (edge.runner.jobs[0].dialect, edge.runner.jobs[0].streamed) == ("peerwave", False)


async def test_an_answer_in_lines(edge):
    *said, end = await lines_of(edge)
    assert [line["message"] for line in said] == [
        {"role": "assistant", "content": "Hel"},
        {"role": "assistant", "content": "lo"},
    ]
    assert not any("Credits" in line for line in said)
    assert (end["done"], end["message"]["content"], end["model"]) == (True, "", "org/tiny")
    assert end["Credits"] == (await ask(edge)).json()["Credits"]
    assert edge.runner.jobs[0].streamed


async def test_lines_come_as_the_tokens_do(edge):
    gate = trio.Event()
    edge.runner.play("Hel", end=[gate, Finished("stop", Usage(10, 1)), RECEIPT])
    async with edge.client.stream("POST", "/api/chat/stream", json=BODY) as answer:
        pieces = answer.aiter_bytes()
        assert json.loads(await anext(pieces))["message"]["content"] == "Hel"
        gate.set()
        assert "Credits" in json.loads(b"".join([piece async for piece in pieces]))


async def test_the_body_may_ask_for_lines_at_the_path_of_the_whole_answer(edge):
    answer = await ask(edge, stream=True)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "Credits" in json.loads(answer.text.splitlines()[-1])


async def test_names_of_its_own_in_a_request(edge):
    await ask(
        edge,
        format="json",
        messages=[
            {"role": "user", "content": "look", "images": [PNG.partition(",")[2]]},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "done"},
        ],
        options={"seed": 5, "temperature": 0.5, "num_predict": 7, "stop": ["x"], "repeat_penalty": 1.5, "top_k": 3},
        n=3,
    )
    (job,) = edge.runner.jobs
    request = job.request
    assert (job.seed, request.max_tokens, request.stop) == (5, 7, ("x",))
    assert request.format == OutputFormat("json_object")
    assert (request.sampling.temperature, request.sampling.top_k, request.sampling.repetition_penalty) == (0.5, 3, 1.5)
    assert request.messages[0].images[0].data == PNG_BYTES
    assert request.messages[1].tool_calls[0].arguments == '{"a":1}'


async def test_what_stands_at_the_top_level_wins(edge):
    options = {"temperature": 0.5, "num_predict": -1, "repeat_penalty": 1.5}
    await ask(edge, options=options, temperature=0, repeat_penalty=1.25)
    request = edge.runner.jobs[0].request
    assert (request.sampling.temperature, request.max_tokens, request.sampling.repetition_penalty) == (0, None, 1.25)
    assert request.format == OutputFormat()


async def test_a_format_may_be_a_schema(edge):
    await ask(edge, format={"type": "object"})
    assert edge.runner.jobs[0].request.format.kind == "json_schema"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"format": "xml"}, "format"),
        ({"options": 3}, "options"),
        ({"options": {"temperature": 3}}, "temperature"),
        ({"model": None}, "model"),
    ],
)
async def test_what_is_wrong_is_named(edge, changes, param):
    answer = await ask(edge, **changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_arguments_of_calls_are_objects(edge):
    play_calls(edge, *CALLING)
    message = (await ask(edge, tools=TOOLS)).json()["message"]
    (call,) = message["tool_calls"]
    assert (message["content"], call["function"]) == ("", {"name": "f", "arguments": {"city": "Bern"}})


async def test_calls_come_as_one_line(edge):
    play_calls(edge, "Wait. ", *CALLING)
    *said, calls, end = await lines_of(edge, tools=TOOLS)
    assert "".join(line["message"]["content"] for line in said).strip() == "Wait."
    assert calls["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"city": "Bern"}}
    assert end["finish_reason"] == "tool_calls"


async def test_calls_that_came_back_are_read(edge):
    calling = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    await ask(edge, messages=[*BODY["messages"], calling, {"role": "tool", "content": "5", "tool_call_id": "1"}])
    assert edge.runner.jobs[0].request.messages[2].tool_call_id == "1"


async def test_a_failure_before_the_first_line_has_its_status(edge):
    edge.runner.steps = [Failed(errors.NoProvider("Nobody has it."))]
    answer = await ask(edge, "/api/chat/stream")
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Nobody has it.")
    assert "location" not in answer.headers


async def test_a_failure_in_the_middle_is_the_last_line(edge):
    edge.runner.play("Hel", end=[Failed(errors.ProviderFailed("It failed."))])
    said, end = await lines_of(edge)
    assert said["message"]["content"] == "Hel"
    assert (end["error"]["code"], end["Credits"]) == (502, 0)


async def test_models_and_tools_are_listed(edge):
    body = (await edge.client.get("/api/models")).json()
    assert [model["id"] for model in body["data"]] == [model["id"] for model in body["models"]] == ["org/tiny"]
    assert body["tools"] == []


async def test_a_plain_client_leaves_in_the_middle(edge):
    edge.runner.play("Hel", end=[trio.Event()])

    async def go():
        async with httpx.AsyncClient(base_url=edge.base) as client:
            await client.post("/api/chat/stream", json=BODY)

    await edge.hang_up(go)
    with trio.fail_after(10):
        await edge.runner.cancelled.wait()
