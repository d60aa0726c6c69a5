"""Streams: the order on the wire, the end that waits for the receipt, failures in the middle, clients that hang up."""

from __future__ import annotations

import json

import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage, Waiting
from peernode.edge import job_response, serve
from peernode.edge.app import build_app
from peernode.edge.bind import parse_bind
from tests.edge.conftest import RECEIPT

FINISHED = Finished("length", Usage(10, 1, 4))


async def events_of(answer):
    """The payloads of a server-sent event stream as they arrive; JSON decoded, [DONE] as it is."""
    buffer = ""
    async for text in answer.aiter_text():
        buffer += text
        while "\n\n" in buffer:
            event, buffer = buffer.split("\n\n", 1)
            assert event.startswith("data: ")
            payload = event.removeprefix("data: ")
            yield payload if payload == "[DONE]" else json.loads(payload)


def streaming(edge, **changes):
    body = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True, **changes}
    return edge.client.stream("POST", "/v1/chat/completions", json=body)


async def whole(edge, **changes):
    async with streaming(edge, **changes) as answer:
        assert answer.status_code == 200
        return answer, [event async for event in events_of(answer)]


async def test_a_stream_is_role_contents_finish_done(edge):
    answer, (role, first, second, finish, done) = await whole(edge)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [first["choices"][0]["delta"], second["choices"][0]["delta"]] == [{"content": "Hel"}, {"content": "lo"}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in (role, first, second, finish)] == [None] * 3 + ["stop"]
    assert done == "[DONE]"
    heads = {(chunk["id"], chunk["created"], chunk["model"], chunk["request_id"]) for chunk in (role, first, finish)}
    assert len(heads) == 1
    assert finish["receipt"]["id"] == answer.headers["x-request-id"] == role["request_id"]
    assert finish["provider"].startswith("12D3Koo")
    assert "usage" not in finish
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"


async def test_usage_comes_last_when_asked_for(edge):
    _, (*chunks, usage, done) = await whole(edge, stream_options={"include_usage": True})
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 12
    assert usage["receipt"]["id"] == usage["request_id"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert done == "[DONE]"


async def test_every_token_arrives_before_the_next_is_made(edge):
    gates = [trio.Event(), trio.Event()]
    edge.runner.play("a", "b")
    edge.runner.steps[2:2] = [gates[0]]
    edge.runner.steps[4:4] = [gates[1]]
    with trio.fail_after(60):
        async with streaming(edge) as answer:
            events = events_of(answer)
            await anext(events)  # the role
            for text, gate in zip("ab", gates, strict=True):
                assert (await anext(events))["choices"][0]["delta"] == {"content": text}
                gate.set()
            assert (await anext(events))["choices"][0]["finish_reason"] == "stop"


async def test_the_end_waits_for_the_receipt(edge):
    receipt_made = trio.Event()
    edge.runner.steps.insert(-1, receipt_made)
    async with streaming(edge) as answer:
        events = events_of(answer)
        assert [(await anext(events))["choices"][0]["delta"].get("content") for _ in range(3)] == ["", "Hel", "lo"]
        with trio.move_on_after(0.1) as too_early:
            pytest.fail(f"{await anext(events)} came before the receipt")
        assert too_early.cancelled_caught


async def test_the_end_comes_once_the_receipt_is_there(edge):
    receipt_made = trio.Event()
    edge.runner.steps.insert(-1, receipt_made)
    async with streaming(edge) as answer:
        events = events_of(answer)
        for _ in range(3):
            await anext(events)
        receipt_made.set()
        assert (await anext(events))["receipt"]["digest"]
        assert await anext(events) == "[DONE]"


async def test_a_failure_in_the_middle_is_said_and_done(edge):
    edge.runner.play("Hel", end=[Failed(errors.EngineCrashed("The engine died."))])
    _, (_role, _text, failed, done) = await whole(edge)
    assert failed["error"]["code"] == 502
    assert failed["error"]["metadata"]["reason"] == "engine_crashed"
    assert failed["choices"][0]["finish_reason"] == "error"
    assert done == "[DONE]"


@pytest.mark.parametrize("end", [[RuntimeError("secret words")], []])
async def test_a_defect_in_the_middle_is_said_too(edge, end):
    edge.runner.play("Hel", end=end)
    _, (_role, _text, failed, done) = await whole(edge)
    assert failed["error"]["code"] == 500
    assert "secret" not in json.dumps(failed)
    assert done == "[DONE]"


async def test_a_refused_receipt_ends_the_stream_normally(edge):
    edge.runner.play("Hi", end=[FINISHED, Failed(errors.ReceiptRefused("Wrong digest."))])
    _, (_role, _text, finish, usage, done) = await whole(edge, stream_options={"include_usage": True})
    assert finish["choices"][0]["finish_reason"] == "length"
    assert "error" not in finish
    assert finish["receipt"]["error"]["code"] == usage["receipt"]["error"]["code"] == "receipt_refused"
    assert usage["usage"]["cost"] == 0
    assert done == "[DONE]"


async def test_an_empty_answer_still_has_a_role_and_an_end(edge):
    edge.runner.play()
    _, (role, finish, done) = await whole(edge)
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"


async def test_text_of_every_kind_survives_and_stays_ascii_on_the_wire(edge):
    text = 'quote " back \\ line \r\n sep \u2028 \x85 emoji 🦙 é'
    edge.runner.play(text)
    async with streaming(edge) as answer:
        raw = await answer.aread()
    assert raw.isascii()
    assert json.loads(raw.split(b"\n\n")[1].removeprefix(b"data: "))["choices"][0]["delta"]["content"] == text


async def test_a_client_that_hangs_up_while_waiting_cancels_the_job(edge):
    edge.runner.steps = [trio.Event()]
    await edge.hang_up(edge.chat)
    with trio.fail_after(60):
        await edge.runner.cancelled.wait()
        await edge.runner.closed.wait()


async def test_a_client_that_hangs_up_in_the_middle_cancels_the_job(edge):
    edge.runner.play("Hel", end=[trio.Event()])
    async with streaming(edge) as answer:
        await anext(events_of(answer))
    with trio.fail_after(60):
        await edge.runner.cancelled.wait()


async def test_an_answer_read_to_its_end_is_not_cancelled(edge):
    await whole(edge)
    await edge.chat()
    assert not edge.runner.cancelled.is_set()


async def test_one_connection_carries_many_answers(edge):
    for _ in range(5):
        await whole(edge)
        assert (await edge.chat()).status_code == 200
    assert len(edge.client._transport._pool.connections) == 1


async def test_a_server_that_stops_tells_those_who_still_listen(edge):
    edge.runner.play("Hel", end=[trio.Event()])
    async with streaming(edge) as answer:
        events = events_of(answer)
        for _ in range(2):
            await anext(events)
        edge.stop.set()
        with trio.fail_after(60):
            failed = await anext(events)
        assert failed["error"]["metadata"]["reason"] == "shutting_down"
        assert await anext(events) == "[DONE]"


async def test_a_server_that_stops_answers_those_who_still_wait(edge, nursery):
    edge.runner.steps = [trio.Event()]
    answers = []

    async def ask():
        answers.append(await edge.chat())

    with trio.fail_after(60):
        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            while not edge.runner.jobs:
                await trio.lowlevel.checkpoint()
            edge.stop.set()
    assert answers[0].status_code == 503


async def test_a_reader_that_stalls_does_not_hold_its_job_for_ever(monkeypatch, nursery, services):
    """It neither reads nor leaves: the kernel tells, or the deadline of the write."""
    monkeypatch.setattr(serve, "STALLED_S", 0.3)
    made, runner, _shelf = services
    runner.play(*["x" * 100_000] * 200)
    stop = trio.Event()

    async def run(task_status):
        await serve.serve_app(build_app(made), parse_bind("127.0.0.1:0"), stop=stop, task_status=task_status)

    bind = await nursery.start(run)
    body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "x"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with await trio.open_tcp_stream(bind.host, bind.port) as stalled:
        await stalled.send_all(head + body)
        with trio.fail_after(60):
            await runner.closed.wait()
        assert runner.cancelled.is_set()
    stop.set()


LOADING = (Waiting("loading", 11.2), Waiting("loading", 0.1))


async def comments_of(edge, *steps, **changes):
    """(status, comments, data) of an answer whose runner plays ``steps``."""
    edge.runner.steps = [*steps]
    async with streaming(edge, **changes) as answer:
        lines = (await answer.aread()).decode().splitlines()
    return answer, [line for line in lines if line.startswith(":")], [line for line in lines if line[:5] == "data:"]


async def test_a_client_that_has_waited_long_is_told_how_long_it_will_be(edge, monkeypatch):
    monkeypatch.setattr(job_response, "SILENCE_S", 0.0)
    tokens = [Started("", "org/tiny"), Tokens("Hi", (0,)), FINISHED, RECEIPT]
    answer, comments, data = await comments_of(edge, *LOADING, *tokens)
    assert answer.status_code == 200
    assert comments == [': loading "org/tiny", about 12 s', ': loading "org/tiny", about 1 s']
    assert data[-1] == "data: [DONE]"
    assert json.loads(data[1][5:])["choices"][0]["delta"] == {"content": "Hi"}


async def test_a_name_cannot_end_the_comment_that_it_stands_in(edge, monkeypatch):
    monkeypatch.setattr(job_response, "SILENCE_S", 0.0)
    _, comments, _ = await comments_of(edge, *LOADING[:1], Failed(errors.NoProvider("No.")), model="a\n\ndata: b")
    assert comments == [': loading "a\\n\\ndata: b", about 12 s']


async def test_an_error_behind_a_word_about_the_wait_is_told_in_the_stream(edge, monkeypatch):
    monkeypatch.setattr(job_response, "SILENCE_S", 0.0)
    answer, _, data = await comments_of(edge, LOADING[0], Failed(errors.FirstTokenTimeout("Too late.")))
    assert answer.status_code == 200
    assert json.loads(data[-2][5:])["error"]["metadata"]["reason"] == "first_token_timeout"
    assert data[-1] == "data: [DONE]"


async def test_until_then_an_error_has_its_own_status(edge):
    answer, _, _ = await comments_of(edge, *LOADING, Failed(errors.FirstTokenTimeout("Too late.")))
    assert answer.status_code == 504
    answer, _, _ = await comments_of(edge, *LOADING, Failed(errors.NoProvider("No.")), stream=False)
    assert answer.status_code == 503


async def test_one_who_wants_the_route_explained_waits_for_the_header_in_silence(edge, monkeypatch):
    monkeypatch.setattr(job_response, "SILENCE_S", 0.0)
    body = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    edge.runner.steps = [LOADING[0], Failed(errors.NoProvider("No."))]
    answer = await edge.client.post("/v1/chat/completions", json=body, headers={"X-Peernode-Route": "1"})
    assert answer.status_code == 503


async def test_an_error_that_knows_when_to_come_again_says_so(edge):
    for seconds, said in ((12.3, "13"), (None, "2")):
        busy = errors.NoProvider("Every provider of this model is busy.")
        busy.retry_after_s = seconds
        answer, _, _ = await comments_of(edge, Failed(busy))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, said)
    late = errors.FirstTokenTimeout("Too late.")
    late.retry_after_s = 30.0
    answer, _, _ = await comments_of(edge, Failed(late))
    assert (answer.status_code, answer.headers["retry-after"]) == (504, "30")
