"""Bodies that are too large, too slow, or unwanted; and bytes that are no HTTP at all."""

from __future__ import annotations

import random

import httpx
import pytest
import trio
import trio.testing
from starlette.responses import PlainTextResponse

from peernode.edge.app import build_app
from peernode.edge.bind import parse_bind
from peernode.edge.boundary import Boundary
from peernode.edge.connections import Connections
from peernode.edge.intake import Intake
from peernode.edge.leave import Leave
from peernode.edge.serve import serve_app
from peernode.wire.bounds import MAX_BODY_BYTES


async def test_a_body_over_the_limit_is_413(edge):
    answer = await edge.client.post("/v1/chat/completions", content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["metadata"]["reason"] == "body_too_large"


async def test_a_body_at_the_limit_is_read(edge):
    answer = await edge.client.post("/v1/chat/completions", content=b"x" * MAX_BODY_BYTES)
    assert answer.status_code == 400


async def test_a_chunked_body_is_limited_too(edge):
    async def pieces():
        for _ in range(MAX_BODY_BYTES // (1 << 20) + 1):
            yield b"x" * (1 << 20)

    assert (await edge.client.post("/v1/chat/completions", content=pieces())).status_code == 413


async def test_a_body_that_nobody_wants_does_not_wedge_its_connection(edge):
    for path in ("/nowhere", "/v1/models"):
        answer = await edge.client.post(path, content=b"x" * (3 << 20))
        assert answer.status_code in (404, 405)
    assert (await edge.client.get("/healthz")).status_code == 200
    assert len(edge.client._transport._pool.connections) == 1


async def test_a_slow_body_is_408(autojump_clock):
    async def app(scope, receive, send):
        await PlainTextResponse("never")(scope, receive, send)

    sent = []

    async def receive():
        await trio.sleep(1 if len(sent) == 0 else 0)
        return {"type": "http.disconnect"} if sent else {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message):
        sent.append(message)

    await Boundary(Intake(app, body_s=5), lambda: "req_x")({"type": "http", "path": "/", "headers": []}, receive, send)
    assert sent[0]["status"] == 408


async def raw(edge, data: bytes) -> bytes:
    """Send bytes as they are; return what comes until the server is silent or closes."""
    host, port = edge.base.removeprefix("http://").split(":")
    got = b""
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        with trio.move_on_after(0.3):
            try:
                await stream.send_all(data)
                await stream.send_eof()
                async for piece in stream:
                    got += piece
            except trio.BrokenResourceError:
                pass
    return got


def http(start: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([start, b"Host: localhost", *headers, b"", b""]) + body


POST = b"POST /v1/chat/completions HTTP/1.1"
GET = b"GET /healthz HTTP/1.1"
UPGRADE = b"Connection: Upgrade"
WEBSOCKET = (UPGRADE, b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HOSTILE = {
    "zeros": b"\0" * 100,
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": http(GET, b"Host: b"),
    "old version": b"GET / HTTP/1.0\r\n\r\n",
    "strange path": http(b"GET /\xff%00%zz HTTP/1.1"),
    "absolute target": http(b"GET http://evil/ HTTP/1.1"),
    "negative length": http(POST, b"Content-Length: -5"),
    "two lengths": http(POST, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "bad chunk": http(POST, b"Transfer-Encoding: chunked", body=b"zz\r\n"),
    "short body": http(POST, b"Content-Length: 500", body=b"{"),
    "half a websocket": http(GET, UPGRADE, b"Upgrade: websocket"),
    "websocket": http(GET, *WEBSOCKET, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "h2c": http(GET, UPGRADE, b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    "bad h2c": http(GET, UPGRADE, b"Upgrade: h2c", b"HTTP2-Settings: !!"),
    "h2c with a setting out of range": http(
        GET, UPGRADE, b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAI"
    ),
    "h2 noise": H2_PREFACE + b"\xff" * 200,
    "h2 without authority": H2_PREFACE + bytes.fromhex("0000000400000000000000050105000000018284864100"),
    "long header": http(GET, b"X: " + b"y" * 200_000),
    "pipelined": http(GET) * 50,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_bytes_cost_nobody_else_anything(edge, name):
    await raw(edge, HOSTILE[name])
    assert (await edge.client.get("/healthz")).status_code == 200


async def test_random_damage_to_good_requests_never_stops_the_server(edge):
    rng = random.Random(7)
    good = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 20\r\n\r\n{"model":"m","a": 1}' + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    for _ in range(40):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        await raw(edge, bytes(damaged))
    assert (await edge.client.get("/healthz")).status_code == 200


async def test_connections_whose_clients_left_are_let_go(edge, monkeypatch):
    """Without our mending, Hypercorn keeps each until its keep-alive time is over."""
    made = []
    original = Connections.__init__

    def noted(self, *args):
        original(self, *args)
        made.append(self)

    monkeypatch.setattr(Connections, "__init__", noted)
    monkeypatch.setattr("peernode.edge.connections.Leave", lambda: Leave(0.1))
    stop = trio.Event()

    async def run(task_status):
        await serve_app(build_app(edge.services), parse_bind("127.0.0.1:0"), stop=stop, task_status=task_status)

    async with trio.open_nursery() as serving:
        bind = await serving.start(run)
        for data in (b"", b"GET", HOSTILE["h2 noise"], HOSTILE["h2c"], HOSTILE["short body"], http(GET)):
            async with await trio.open_tcp_stream(bind.host, bind.port) as stream:
                await stream.send_all(data)
                await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.fail_after(60):
            while made[0].open:
                await trio.testing.wait_all_tasks_blocked(0.01)
        stop.set()


async def test_large_bodies_share_a_room_and_give_it_back(nursery):
    began, go = trio.Event(), trio.Event()

    async def app(scope, receive, send):
        began.set()
        await go.wait()
        await PlainTextResponse("read")(scope, receive, send)

    async def run(task_status):
        layers = Boundary(Intake(app, room=3 << 20), lambda: "req_1")
        await serve_app(layers, parse_bind("127.0.0.1:0"), stop=stop, task_status=task_status)

    stop = trio.Event()
    bind = await nursery.start(run)
    large, small = b"x" * (5 << 19), b"x"
    async with httpx.AsyncClient(base_url=f"http://{bind}", timeout=60) as client, trio.open_nursery() as asking:
        asking.start_soon(lambda: client.post("/", content=large))
        await began.wait()
        refused = await client.post("/", content=large)
        assert (refused.status_code, refused.json()["error"]["metadata"]["reason"]) == (503, "no_room")
        assert "retry-after" in refused.headers
        go.set()
        assert (await client.post("/", content=small)).status_code == 200
    async with httpx.AsyncClient(base_url=f"http://{bind}", timeout=60) as client:
        assert (await client.post("/", content=large)).status_code == 200
    stop.set()


@pytest.mark.parametrize("chunked", [b"chunked", b"Chunked", b"chunked, chunked", b"gzip, chunked", b" chunked"])
async def test_two_lengths_are_one_refusal_and_nothing_behind_them_is_a_request(edge, chunked):
    """What one reads as a body another reads as a second request: smuggling past a proxy."""
    smuggled = b"0\r\n\r\n" + http(b"GET /v1/models HTTP/1.1")
    for headers in (
        (b"Content-Length: %d" % len(smuggled), b"Transfer-Encoding: " + chunked),
        (b"Transfer-Encoding: " + chunked, b"Content-Length: 6"),
    ):
        said = await raw(edge, http(POST, *headers, body=smuggled))
        assert said.count(b"HTTP/1.1 ") == 1
        assert said.split()[1] in (b"400", b"501")
        if chunked.strip().lower() == b"chunked":
            assert b"ambiguous_length" in said
    assert not edge.runner.jobs


async def test_a_body_in_thousands_of_tiny_chunks_is_refused_and_one_in_larger_ones_is_read(edge):
    async def pieces(size):
        for _ in range(3000):
            yield b" " * size

    tiny = await edge.client.post("/v1/chat/completions", content=pieces(2))
    assert (tiny.status_code, tiny.json()["error"]["metadata"]["reason"]) == (400, "tiny_pieces")
    larger = await edge.client.post("/v1/chat/completions", content=pieces(100))
    assert larger.json()["error"]["metadata"].get("reason") != "tiny_pieces"
    assert (await edge.client.get("/healthz")).status_code == 200
