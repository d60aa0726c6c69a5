"""Idempotency keys over real HTTP: one run and one answer for a request that is sent again, whatever dialect."""

from __future__ import annotations

import secrets
import struct
from dataclasses import replace

import pytest
import trio
import trio.testing

from peernode.chat import errors
from peernode.chat.embedding_request import vector_line
from peernode.chat.events import Failed, Finished, Tokens, Usage
from peernode.edge.idempotency import kept_answers
from peernode.edge.leave import Leave
from peernode.ledger.client_key import new_key_text
from tests.edge.conftest import BODY, RECEIPT
from tests.edge.known_keys import KnownKeys

ONE, OTHER = new_key_text(secrets.token_bytes), new_key_text(secrets.token_bytes)
FINISHED = Finished("stop", Usage(10, 2, 4))
EMBEDDED = [Tokens(vector_line(struct.pack("<2f", 1.0, 0.0)), ()), FINISHED, RECEIPT]
CHAT = "/v1/chat/completions"
DIALECTS = {
    "chat": (CHAT, BODY),
    "chat, streamed": (CHAT, {**BODY, "stream": True}),
    "chat, streamed, resumable": (CHAT, {**BODY, "stream": True, "resumable": True}),
    "completions": ("/v1/completions", {"model": "org/tiny", "prompt": "hi"}),
    "completions, streamed": ("/v1/completions", {"model": "org/tiny", "prompt": "hi", "stream": True}),
    "responses": ("/v1/responses", {"model": "org/tiny", "input": "hi"}),
    "responses, streamed": ("/v1/responses", {"model": "org/tiny", "input": "hi", "stream": True}),
    "OpenRouter": ("/api/v1/chat/completions", BODY),
    "Peerwave": ("/api/chat", BODY),
    "Peerwave, streamed": ("/api/chat/stream", BODY),
}


@pytest.fixture
def services(services):
    made, runner, shelf = services
    return replace(made, accounts=KnownKeys(ONE, OTHER)), runner, shelf


def keyed(key="k-1", who=None):
    return {"Idempotency-Key": key} | ({"Authorization": f"Bearer {who.text}"} if who else {})


def reason(answer):
    return answer.status_code, answer.json()["error"]["metadata"]["reason"]


@pytest.mark.parametrize("name", DIALECTS)
async def test_the_same_request_again_is_the_same_answer_and_has_not_run(edge, name):
    path, body = DIALECTS[name]
    first = await edge.client.post(path, json=body, headers=keyed())
    again = await edge.client.post(path, json=body, headers=keyed())
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["x-request-id"] == first.headers["x-request-id"] == edge.runner.jobs[0].request_id
    for header in ("content-type", "x-generation-id", "x-peernode-receipt", "credits"):
        assert again.headers.get(header) == first.headers.get(header)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(edge.runner.jobs) == 1


async def test_embeddings_too(edge):
    edge.runner.play(end=EMBEDDED)
    answers = [
        await edge.client.post("/v1/embeddings", json={"model": "org/tiny", "input": "hi"}, headers=keyed())
        for _ in range(2)
    ]
    assert len(edge.runner.jobs) == 1
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content


async def test_without_a_key_or_with_another_it_runs_again(edge):
    for headers in ({}, {}, keyed("a"), keyed("b"), keyed("a", ONE), keyed("a", OTHER), keyed("a", ONE)):
        assert (await edge.client.post(CHAT, json=BODY, headers=headers)).status_code == 200
    assert len(edge.runner.jobs) == 6


async def test_one_key_with_two_requests_is_refused(edge):
    await edge.client.post(CHAT, json=BODY, headers=keyed())
    for path, body in ((CHAT, {**BODY, "max_tokens": 5}), ("/api/chat", BODY), (f"{CHAT}?x=1", BODY)):
        refused = await edge.client.post(path, json=body, headers=keyed())
        assert reason(refused) == (422, "idempotency_key_reused")
    assert len(edge.runner.jobs) == 1


@pytest.mark.parametrize("headers", [[("Idempotency-Key", "")], [("Idempotency-Key", "a" * 256)],
                                     [("Idempotency-Key", "ü".encode())], [("Idempotency-Key", "a")] * 2])  # fmt: skip
async def test_what_is_no_key_is_refused(edge, headers):
    assert reason(await edge.client.post(CHAT, json=BODY, headers=headers)) == (400, "bad_idempotency_key")
    assert not edge.runner.jobs


async def test_while_it_runs_others_hear_it_from_its_beginning(edge):
    gate = trio.Event()
    edge.runner.play("Hel", end=[gate, Tokens("lo", (2,)), FINISHED, RECEIPT])
    body = {**BODY, "stream": True}
    answers = []

    async def ask():
        answers.append(await edge.client.post(CHAT, json=body, headers=keyed()))

    with trio.fail_after(60):
        async with (
            trio.open_nursery() as nursery,
            edge.client.stream("POST", CHAT, json=body, headers=keyed()) as first,
        ):
            pieces = first.aiter_raw()
            heard = await anext(pieces)
            nursery.start_soon(ask)
            async with edge.client.stream("POST", CHAT, json=body, headers=keyed()) as second:
                assert await anext(second.aiter_raw()) == heard  # at once, long before the end
            gate.set()
            heard += b"".join([piece async for piece in pieces])
    assert answers[0].content == heard
    assert len(edge.runner.jobs) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_who_lost_the_connection_gets_the_whole_answer(edge, monkeypatch, stream):
    """It goes on for longer than others have to take leave."""
    monkeypatch.setattr("peernode.edge.connections.Leave", lambda: Leave(0.05))
    gate = trio.Event()
    edge.runner.play("Hel", end=[gate, Tokens("lo", (2,)), FINISHED, RECEIPT])
    body = {**BODY, "stream": stream}
    await edge.hang_up(lambda: edge.client.post(CHAT, json=body, headers=keyed()))
    await trio.sleep(0.3)
    assert not edge.runner.closed.is_set()
    answers = []

    async def ask():
        answers.append(await edge.client.post(CHAT, json=body, headers=keyed()))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            gate.set()
    assert "lo" in answers[0].text
    assert not edge.runner.cancelled.is_set()
    assert len(edge.runner.jobs) == 1


async def test_what_failed_before_it_said_anything_is_tried_again(edge):
    edge.runner.play(end=[Failed(errors.NoProvider("Nobody is there."))])
    assert reason(await edge.client.post(CHAT, json=BODY, headers=keyed()))[0] == 503
    edge.runner.play("Hello")
    answer = await edge.client.post(CHAT, json=BODY, headers=keyed())
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers
    assert (await edge.client.post(CHAT, json={"model": 5}, headers=keyed("bad"))).status_code == 400
    assert (await edge.client.post(CHAT, json=BODY, headers=keyed("bad"))).status_code == 200


async def test_who_waits_for_a_failure_hears_of_it(edge):
    gate = trio.Event()
    edge.runner.play(end=[gate, Failed(errors.NoProvider("Nobody is there."))])
    answers = []

    async def ask():
        answers.append(await edge.client.post(CHAT, json=BODY, headers=keyed()))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.1)
            gate.set()
    assert [reason(answer) for answer in answers] == [(503, "no_provider")] * 2
    assert len(edge.runner.jobs) == 1


async def test_an_answer_too_large_to_keep_does_not_run_again(edge, monkeypatch):
    monkeypatch.setattr(kept_answers, "MAX_ANSWER_BYTES", 100)
    assert (await edge.client.post(CHAT, json=BODY, headers=keyed())).status_code == 200
    assert reason(await edge.client.post(CHAT, json=BODY, headers=keyed())) == (409, "answer_not_kept")
    assert len(edge.runner.jobs) == 1
