"""Streams that have nothing to say for long: comments between the events, before the first one and after."""

from __future__ import annotations

import httpx
import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Usage
from peernode.edge import job_response
from tests.edge.conftest import BODY, RECEIPT

COMMENT = ": keep-alive"


@pytest.fixture
def brisk(monkeypatch):
    monkeypatch.setattr(job_response, "KEEP_ALIVE_S", 0.03)
    monkeypatch.setattr(job_response, "SILENCE_S", 0.0)


async def hear(edge, gate, path="/v1/chat/completions", **headers):
    """The events of a stream whose gate is opened by the first comment."""
    text = ""
    async with edge.client.stream("POST", path, json={**BODY, "stream": True}, headers=headers) as answer:
        async for piece in answer.aiter_text():
            text += piece
            if COMMENT in text:
                gate.set()
    return [event for event in text.split("\n\n") if event]


@pytest.mark.parametrize("place", [0, 2])
async def test_a_comment_comes_where_there_is_silence(edge, brisk, place):
    gate = trio.Event()
    edge.runner.steps.insert(place, gate)
    with trio.fail_after(60):
        events = await hear(edge, gate)
    said = [event for event in events if event != COMMENT]
    assert COMMENT in events
    assert (events.index(COMMENT) == 0) == (place == 0)
    assert said[-1] == "data: [DONE]"
    assert "".join(said).count('"Hel"') == 1


async def test_a_failure_after_a_comment_is_told_in_the_stream(edge, brisk):
    gate = trio.Event()
    edge.runner.steps = [gate, Failed(errors.NoProvider("Nobody has it."))]
    with trio.fail_after(60):
        events = await hear(edge, gate)
    assert "Nobody has it." in events[-2]
    assert events[-1] == "data: [DONE]"


async def test_what_is_no_event_stream_waits_in_silence(edge, brisk):
    gate = trio.Event()
    edge.runner.play("Hel", end=[gate, Finished("stop", Usage(10, 1)), RECEIPT])
    answers = []
    async with trio.open_nursery() as nursery:

        async def ask(path, body):
            async with httpx.AsyncClient(base_url=edge.base, timeout=60) as client:
                answers.append(await client.post(path, json=body))

        nursery.start_soon(ask, "/api/chat/stream", BODY)
        nursery.start_soon(ask, "/v1/chat/completions", BODY)
        await trio.sleep(0.2)
        gate.set()
    assert all(COMMENT not in answer.text and answer.status_code == 200 for answer in answers)


async def test_whoever_wants_the_choice_explained_hears_no_comment_first(edge, brisk):
    gate = trio.Event()
    edge.runner.steps.insert(0, gate)
    async with trio.open_nursery() as nursery:
        texts = []

        async def ask():
            texts.append(await hear(edge, trio.Event(), **{"x-peernode-route": "1"}))

        nursery.start_soon(ask)
        await trio.sleep(0.2)
        gate.set()
    assert texts[0][0].startswith("data: ")
