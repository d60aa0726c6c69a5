"""The credits of a stream as an HTTP trailer: over HTTP/2, which alone carries them here, to who can read them."""

from __future__ import annotations

import json

import h2.connection
import h2.events
import trio

from tests.edge.conftest import BODY, EdgeUnderTest


async def streamed(edge: EdgeUnderTest, path: str, *, te: str = "", stream: bool = True) -> list[h2.events.Event]:
    """All events of one request over HTTP/2."""
    host, port = edge.base.removeprefix("http://").split(":")
    body = json.dumps({**BODY, "stream": stream}).encode()
    headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", f"{host}:{port}")]
    headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
    headers += [("te", te)] if te else []
    seen: list[h2.events.Event] = []
    with trio.fail_after(30):
        async with await trio.open_tcp_stream(host, int(port)) as connection:
            client = h2.connection.H2Connection()
            client.initiate_connection()
            client.send_headers(1, headers)
            client.send_data(1, body, end_stream=True)
            await connection.send_all(client.data_to_send())
            while not any(isinstance(event, h2.events.StreamEnded) for event in seen):
                seen += client.receive_data(await connection.receive_some())
                await connection.send_all(client.data_to_send())
    return seen


def trailers_of(events: list[h2.events.Event]) -> list[dict[bytes, bytes]]:
    return [dict(event.headers) for event in events if isinstance(event, h2.events.TrailersReceived)]


def text_of(events: list[h2.events.Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


async def test_every_stream_ends_with_its_credits(edge: EdgeUnderTest) -> None:
    for path in ("/v1/chat/completions", "/api/v1/chat/completions", "/api/chat/stream"):
        seen = await streamed(edge, path, te="trailers")
        (trailers,) = trailers_of(seen)
        whole = await edge.client.post("/v1/chat/completions", json=BODY)
        assert trailers[b"credits"].decode() == whole.headers["credits"] != "0"
        assert b"lo" in text_of(seen)


async def test_who_does_not_ask_gets_none_and_the_same_stream(edge: EdgeUnderTest) -> None:
    plain = await streamed(edge, "/v1/chat/completions")
    assert trailers_of(plain) == []
    assert text_of(plain).endswith(b"data: [DONE]\n\n")


async def test_an_answer_in_one_piece_has_them_in_front(edge: EdgeUnderTest) -> None:
    seen = await streamed(edge, "/v1/chat/completions", te="trailers", stream=False)
    (head,) = [dict(event.headers) for event in seen if isinstance(event, h2.events.ResponseReceived)]
    assert head[b"credits"] != b"0"
    assert json.loads(text_of(seen))["choices"]


async def test_a_failure_in_the_middle_costs_nothing(edge: EdgeUnderTest) -> None:
    edge.runner.steps = [*edge.runner.steps[:2], ValueError("broken")]
    (trailers,) = trailers_of(await streamed(edge, "/v1/chat/completions", te="trailers"))
    assert trailers[b"credits"] == b"0"
