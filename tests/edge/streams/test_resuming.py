"""Streams that are fetched again: from any event on, while they run and after, by their owner and nobody else."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
import trio
import trio.testing

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Tokens, Usage
from peernode.edge.leave import Leave
from peernode.edge.streams import tape as tapes
from peernode.edge.streams.tape import Shelf, Tape
from peernode.ledger.client_key import new_key_text
from tests.edge.conftest import RECEIPT
from tests.edge.known_keys import KnownKeys

BODY = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True, "resumable": True}
OWNER, OTHER = new_key_text(secrets.token_bytes), new_key_text(secrets.token_bytes)
FINISHED = Finished("stop", Usage(10, 2, 4))


@pytest.fixture
def services(services):
    made, runner, shelf = services
    return replace(made, accounts=KnownKeys(OWNER, OTHER)), runner, shelf


def bearer(key):
    return {"authorization": f"Bearer {key.text}"}


def events_in(text):
    return [event for event in text.split("\n\n") if event]


async def broken_off(edge, path="/v1/chat/completions", *, after=1, **changes):
    """Ask, hear ``after`` pieces, and lose the connection. The request id and what was heard."""
    heard = b""
    async with edge.client.stream("POST", path, json={**BODY, **changes}) as answer:
        async for piece in answer.aiter_raw():
            heard += piece
            after -= 1
            if not after:
                break
        return answer.headers["x-request-id"], heard.decode()


async def fetch(edge, request_id, first=0, **headers):
    return await edge.client.get(f"/v1/streams/{request_id}", params={"from": first}, headers=headers)


async def test_a_whole_stream_can_be_heard_again_from_any_event(edge):
    first = await edge.client.post("/v1/chat/completions", json=BODY)
    events = events_in(first.text)
    for number in range(len(events) + 1):
        again = await fetch(edge, first.headers["x-request-id"], number)
        assert (again.status_code, events_in(again.text)) == (200, events[number:])
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_a_stream_goes_on_without_its_connection_and_its_rest_is_fetched(edge):
    gate = trio.Event()
    edge.runner.play("Hel", end=[gate, Tokens("lo", (2,)), FINISHED, RECEIPT])
    request_id, heard = await broken_off(edge)
    count = len(events_in(heard))
    answers = []
    async with trio.open_nursery() as nursery:

        async def listen():
            answers.append(await fetch(edge, request_id, count))

        nursery.start_soon(listen)
        await trio.testing.wait_all_tasks_blocked(0.05)
        gate.set()
    whole = heard + answers[0].text
    assert (whole.count('"Hel"'), whole.count('"lo"')) == (1, 1)
    assert whole.endswith("data: [DONE]\n\n")
    assert not edge.runner.cancelled.is_set()


async def test_it_goes_on_for_longer_than_others_have_to_take_leave(edge, monkeypatch):
    monkeypatch.setattr("peernode.edge.connections.Leave", lambda: Leave(0.05))
    gate = trio.Event()
    edge.runner.play("Hel", end=[gate, Tokens("lo", (2,)), FINISHED, RECEIPT])
    request_id, _ = await broken_off(edge)
    await trio.sleep(0.3)  # several times as long
    gate.set()
    with trio.fail_after(60):
        rest = (await fetch(edge, request_id)).text
    assert '"lo"' in rest
    assert '"error"' not in rest


async def test_lines_and_typed_events_are_fetched_as_well(edge):
    for path, body in (("/api/chat/stream", {}), ("/v1/responses", {"input": "hi"})):
        first = await edge.client.post(path, json={**BODY, **body})
        again = await fetch(edge, first.headers["x-request-id"], 2)
        end = "\n" if path == "/api/chat/stream" else "\n\n"
        assert again.text == "".join(event + end for event in first.text.split(end)[2:-1]) != ""


async def test_an_error_is_fetched_with_its_status(edge):
    edge.runner.steps = [Failed(errors.NoProvider("Nobody has it."))]
    first = await edge.client.post("/v1/chat/completions", json=BODY)
    again = await fetch(edge, first.headers["x-request-id"])
    assert (again.status_code, again.json()) == (503, first.json())


async def test_nobody_else_hears_it(edge):
    first = await edge.client.post("/v1/chat/completions", json=BODY, headers=bearer(OWNER))
    request_id = first.headers["x-request-id"]
    assert (await fetch(edge, request_id, **bearer(OWNER))).text == first.text
    for headers in ({}, bearer(OTHER)):
        assert (await fetch(edge, request_id, **headers)).status_code == 403


async def test_only_what_was_asked_for_is_kept(edge):
    first = await edge.client.post("/v1/chat/completions", json={**BODY, "resumable": False})
    missing = await fetch(edge, first.headers["x-request-id"])
    assert (missing.status_code, missing.json()["error"]["metadata"]["reason"]) == (404, "unknown_stream")
    assert (await fetch(edge, first.headers["x-request-id"], -1)).status_code == 400


async def test_a_stream_that_nobody_comes_back_for_is_cancelled(edge, monkeypatch):
    monkeypatch.setattr(tapes, "ALONE_S", 0.05)
    edge.runner.play("Hel", end=[trio.Event()])
    await broken_off(edge)
    with trio.fail_after(30):
        await edge.runner.cancelled.wait()


async def test_who_listens_keeps_it_running(autojump_clock):
    tape = Tape("req_1", "")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tape.abandoned)
        await trio.sleep(20)
        with tape.reader():
            await trio.sleep(100)
        left = trio.current_time()
    assert trio.current_time() == pytest.approx(left + tapes.ALONE_S)


def said(shelf, name, now, *, size=10, ended=True):
    tape = shelf.new(name, "", now)
    tape.begin(200, [(b"content-type", b"text/event-stream")])
    tape.add(b"data: " + b"x" * size + b"\n\n")
    if ended:
        tape.end(now)
    return tape


async def test_tapes_are_thrown_away_when_they_are_old_or_too_many(monkeypatch):
    shelf = Shelf()
    said(shelf, "a", 0.0)
    said(shelf, "b", 0.0, ended=False)
    assert shelf.find("a", tapes.KEPT_S) is not None
    assert shelf.find("a", tapes.KEPT_S + 1) is None
    assert shelf.find("b", tapes.KEPT_S + 1) is not None
    monkeypatch.setattr(tapes, "MAX_TAPES", 2)
    for name in "cd":
        said(shelf, name, 200.0)
    assert [shelf.find(name, 200.0) is not None for name in "bcd"] == [False, True, True]
    monkeypatch.setattr(tapes, "MAX_BYTES", 30)
    assert shelf.find("c", 200.0) is None
    monkeypatch.setattr(tapes, "MAX_TAPE_BYTES", 100)
    assert said(shelf, "e", 300.0, size=200).overran
    assert shelf.find("e", 300.0) is None


async def test_comments_are_not_counted():
    tape = Tape("req_1", "")
    tape.begin(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
    tape.add(b": queued\n\ndata: 1\n\n: queued\n\n")
    tape.add(b"data: 2\n\n")
    assert tape.events == [b"data: 1\n\n", b"data: 2\n\n"]
