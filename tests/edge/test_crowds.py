"""Too many connections, and clients that read nothing: each costs itself its place, over real sockets."""

from __future__ import annotations

from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import pytest
import trio

from peernode.edge import connections, serve, stalled
from peernode.edge.app import build_app
from peernode.edge.bind import parse_bind
from peernode.edge.connections import ConnectionLimits

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHAT = b'{"model": "org/tiny", "stream": true, "messages": [{"role": "user", "content": "x"}]}'


@asynccontextmanager
async def served(app, **limits):
    stop = trio.Event()

    async def run(task_status):
        at = parse_bind("127.0.0.1:0")
        await serve.serve_app(app, at, stop=stop, limits=ConnectionLimits(**limits), task_status=task_status)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            bind = await nursery.start(run)
            yield lambda: trio.open_tcp_stream(bind.host, bind.port)
            stop.set()


async def asked(stream):
    await stream.send_all(GET)
    return await stream.receive_some()


BUSY = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize("limits", [{"at_once": 3}, {"per_address": 3}])
async def test_one_more_than_there_may_be_is_told_so_and_when_one_goes_another_comes(services, limits):
    async with served(build_app(services[0]), **limits) as connect:
        streams = [await connect() for _ in range(3)]
        for stream in streams:
            await stream.send_all(BUSY)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
        async with await connect() as extra:
            said = b"".join([piece async for piece in extra])
        assert said.startswith(b"HTTP/1.1 503")
        assert b"too_many_connections" in said
        assert b"retry-after" in said.lower()
        await streams.pop().aclose()
        while True:
            async with await connect() as again:
                await again.send_all(GET)
                try:
                    if (await again.receive_some()).startswith(b"HTTP/1.1 200"):
                        break
                except trio.BrokenResourceError:
                    pass
        for stream in streams:
            await stream.send_all(b"123456789")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 405")
            await stream.aclose()


async def test_when_all_are_taken_the_longest_idle_one_makes_room(services):
    async with served(build_app(services[0]), at_once=4) as connect:
        streams = [await connect() for _ in range(4)]
        for stream in streams[1:]:
            assert (await asked(stream)).startswith(b"HTTP/1.1 200")
        assert (await asked(streams[1])).startswith(b"HTTP/1.1 200")  # now it has been idle least of all
        new = []
        for gone in (streams[0], streams[2]):
            new.append(await connect())
            assert (await asked(new[-1])).startswith(b"HTTP/1.1 200")
            assert await gone.receive_some() == b""
        for kept in (streams[3], streams[1], *new):
            assert (await asked(kept)).startswith(b"HTTP/1.1 200")
            await kept.aclose()


def test_loopback_where_a_proxy_may_be_has_no_limit_of_its_own_unless_it_is_said():
    usual = ConnectionLimits()
    assert usual.of_address("127.0.0.1") == usual.of_address("::1") > usual.at_once
    assert usual.of_address("203.0.113.9") < usual.at_once
    assert ConnectionLimits(per_address=5).of_address("127.0.0.1") == 5


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: local", GET])
async def test_who_takes_too_long_for_a_request_head_is_let_go(services, begun):
    async with served(build_app(services[0]), idle_s=0.2) as connect, await connect() as slow:
        await slow.send_all(begun)
        async for _ in slow:
            pass


async def test_a_byte_now_and_then_wins_no_time(services):
    async with served(build_app(services[0]), idle_s=0.3) as connect, await connect() as slow:
        with pytest.raises(trio.BrokenResourceError):
            for byte in GET * 100:
                await slow.send_all(bytes([byte]))
                await trio.sleep(0.02)


async def test_a_write_that_is_not_taken_ends_and_takes_its_job_with_it(services, monkeypatch):
    """Without the kernel's help: elsewhere than on Linux it gives none."""
    monkeypatch.setattr(connections, "STALLED_S", 0.2)
    monkeypatch.setattr(connections, "SLOWEST_BYTES_PER_S", 1 << 30)
    made, runner, _ = services
    runner.play(*["x" * 100_000] * 200)
    async with served(build_app(made)) as connect, await connect() as silent:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(CHAT)
        await silent.send_all(head + CHAT)
        await runner.closed.wait()
        assert runner.cancelled.is_set()


async def test_a_stream_of_http2_whose_window_never_opens_ends_alone(services, monkeypatch):
    monkeypatch.setattr(stalled, "STALLED_S", 0.2)
    """Hypercorn holds what the window does not take, the whole answer; with the last word it would wait for ever."""
    made, runner, _ = services
    runner.play(*["x" * 10_000] * 200)
    inner, over = build_app(made), trio.Event()

    async def app(scope, receive, send):
        try:
            await inner(scope, receive, send)
        finally:
            if scope["path"] != "/healthz":
                over.set()

    async with served(app) as connect, await connect() as stream:
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        client.initiate_connection()

        def ask(number, method, path, body=b""):
            head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost")]
            client.send_headers(number, head, end_stream=not body)
            if body:
                client.send_data(number, body, end_stream=True)

        ask(1, "POST", "/v1/chat/completions", CHAT)
        await stream.send_all(client.data_to_send())
        while not over.is_set():  # what comes is read, but no window is ever opened again
            with trio.move_on_after(0.05):
                client.receive_data(await stream.receive_some())
        ask(3, "GET", "/healthz")
        await stream.send_all(client.data_to_send())
        answered = False
        while not answered:
            for event in client.receive_data(await stream.receive_some()):
                answered |= isinstance(event, h2.events.ResponseReceived) and event.stream_id == 3
