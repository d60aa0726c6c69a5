"""Several choices of one answer: jobs of their own, told apart in one stream and one object."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage
from tests.edge.conftest import BODY, PROVIDER, RECEIPT

ERROR = Failed(errors.EngineCrashed("The engine died."))


def script(*texts, end=None):
    finished = Finished("stop", Usage(10, len(texts), 4))
    tokens = [Tokens(text, (at,)) for at, text in enumerate(texts)]
    return [Started(PROVIDER.peer_id, "org/tiny"), *tokens, *([finished, RECEIPT] if end is None else end)]


def play_each(edge, *scripts):
    """The first job to be opened gets the first script, and so on."""
    runner = edge.runner
    whole = runner.open

    @asynccontextmanager
    async def open_next(job):
        runner.steps = scripts[len(runner.jobs)]
        async with whole(job) as events:
            yield events

    runner.open = open_next


async def chunks_of(edge, **changes):
    answer = await edge.chat(stream=True, **changes)
    assert answer.text.endswith("data: [DONE]\n\n")
    return [json.loads(event[6:]) for event in answer.text.split("\n\n") if event[6:].startswith("{")]


async def test_every_choice_is_a_job_of_its_own(edge):
    play_each(edge, script("a"), script("b", "b"), script("c"))
    body = (await edge.chat(n=3, seed=7)).json()
    jobs = edge.runner.jobs
    assert len({job.seed for job in jobs}) == len({job.request_id for job in jobs}) == 3
    by_id = {job.request_id: job for job in jobs}
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert sorted(choice["message"]["content"] for choice in body["choices"]) == ["a", "bb", "c"]
    assert by_id[body["choices"][0]["request_id"]].seed == 7
    assert body["choices"][0]["request_id"] == body["request_id"]
    assert all(choice["receipt"]["id"] == choice["request_id"] for choice in body["choices"])
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (10, 4, 14)
    seeds = {job.seed for job in jobs}
    jobs.clear()
    await edge.chat(n=3, seed=7)
    assert {job.seed for job in jobs} == seeds


async def test_choices_come_interleaved_with_their_index(edge):
    go = trio.Event()

    def release(job):
        go.set()
        return RECEIPT(job)

    def tail(last):
        return [Tokens("2", (9,)), Finished("stop", Usage(10, 2, 4)), last]

    play_each(edge, script("1", end=[go, *tail(RECEIPT)]), script("1", end=tail(release)))
    chunks = await chunks_of(edge, n=2, stream_options={"include_usage": True})
    usage = chunks.pop()
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 4
    for index in range(2):
        mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert "".join(choice["delta"].get("content") or "" for choice in mine) == "12"
        assert mine[0]["delta"]["role"] == "assistant"
        assert mine[-1]["finish_reason"] == "stop"
        assert mine[0]["request_id"] == mine[-1]["request_id"]
    order = [chunk["choices"][0]["index"] for chunk in chunks]
    assert order != sorted(order) and order != sorted(order, reverse=True)
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("failure", [script("b", end=[ERROR]), [ERROR], [RuntimeError("secret words")]])
async def test_a_choice_that_fails_leaves_the_others_alone(edge, failure):
    play_each(edge, script("a"), failure)
    body = (await edge.chat(n=2)).json()
    fine, failed = sorted(body["choices"], key=lambda choice: choice["finish_reason"] == "error")
    assert (fine["message"]["content"], fine["finish_reason"], "error" in fine) == ("a", "stop", False)
    assert failed["error"]["code"] in (500, 502) and "receipt" not in failed
    assert "secret" not in json.dumps(body)
    assert body["usage"]["completion_tokens"] == 1

    edge.runner.jobs.clear()
    chunks = await chunks_of(edge, n=2)
    ends = {chunk["choices"][0]["index"]: chunk for chunk in chunks if chunk["choices"][0]["finish_reason"]}
    assert sorted(chunk["choices"][0]["finish_reason"] for chunk in ends.values()) == ["error", "stop"]
    assert sum("error" in chunk for chunk in chunks) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_when_all_fail_at_once_the_status_says_so(edge, stream):
    play_each(edge, [ERROR], [ERROR])
    answer = await edge.chat(n=2, stream=stream)
    assert (answer.status_code, answer.json()["error"]["metadata"]["reason"]) == (502, "engine_crashed")


async def test_a_client_that_hangs_up_cancels_every_choice(edge):
    play_each(edge, [trio.Event()], [trio.Event()])
    await edge.hang_up(lambda: edge.chat(n=2), jobs=2)
    with trio.fail_after(60):
        await edge.runner.cancelled.wait()
    assert len(edge.runner.jobs) == 2


async def test_a_server_that_stops_tells_every_choice(edge):
    play_each(edge, script("a", end=[trio.Event()]), script("b", end=[trio.Event()]))
    body = {**BODY, "n": 2, "stream": True}
    async with edge.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        text = ""
        async for piece in answer.aiter_text():
            text += piece
            if '"a"' in text and '"b"' in text:
                edge.stop.set()
            if text.endswith("data: [DONE]\n\n"):
                break
    chunks = [json.loads(event[6:]) for event in text.split("\n\n") if event[6:].startswith("{")]
    failed = [chunk for chunk in chunks if "error" in chunk]
    assert {chunk["choices"][0]["index"] for chunk in failed} == {0, 1}
    assert {chunk["error"]["metadata"]["reason"] for chunk in failed} == {"shutting_down"}
