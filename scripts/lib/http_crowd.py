"""Clients that take connections and give little back, in a process of its own: ``http_crowd.py HOST PORT IDLE SLOW``.

Idle ones connect and say nothing (every second one after a first request). Of the slow ones half send a request's head
a byte at a time, a quarter its body, and a quarter read a large answer that way. Who is let go after the server's
deadline comes again. ``ready`` is said when all are there; what became of them, as JSON, when the input ends.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import trio

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
Behaviour: TypeAlias = Callable[[trio.SocketStream, int], Awaitable[None]]
EVERY_S = 1.0
AGAIN_S = 0.2


class Crowd:
    """All of them. ``counts``: how often one was served, refused, or let go."""

    def __init__(self, host: str, port: int) -> None:
        self.counts: Counter[str] = Counter()
        self._at = host, port
        self._there: set[int] = set()

    async def run(self, idle: int, slow: int) -> None:
        kinds = [self._idle, self._used]
        slows = [self._slow_head, self._slow_body, self._slow_head, self._slow_reader]
        async with trio.open_nursery() as nursery:
            for number in range(idle):
                nursery.start_soon(self._again_and_again, kinds[number % 2], number)
            for number in range(slow):
                nursery.start_soon(self._again_and_again, slows[number % 4], idle + number)
            while len(self._there) < idle + slow:
                await trio.sleep(0.05)
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await trio.to_thread.run_sync(sys.stdin.read)
            nursery.cancel_scope.cancel()
        sys.stdout.write(json.dumps(self.counts) + "\n")

    async def _again_and_again(self, behave: Behaviour, number: int) -> None:
        while True:
            try:
                async with await trio.open_tcp_stream(*self._at) as stream:
                    await behave(stream, number)
                self.counts["let go"] += 1
            except (OSError, trio.BrokenResourceError):
                self.counts["broken"] += 1
            await trio.sleep(AGAIN_S)

    async def _until_closed(self, stream: trio.SocketStream) -> None:
        said = b""
        while piece := await stream.receive_some():
            said = (said + piece)[-2000:]
        if b"too_many" in said:
            self.counts["refused"] += 1

    async def _idle(self, stream: trio.SocketStream, number: int) -> None:
        self._there.add(number)
        await self._until_closed(stream)

    async def _used(self, stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(GET)
        said = await stream.receive_some()
        self._there.add(number)
        self.counts["served" if said.startswith(b"HTTP/1.1 200") else "refused"] += 1
        await self._until_closed(stream)

    async def _slow_head(self, stream: trio.SocketStream, number: int) -> None:
        self._there.add(number)
        await self._drip(stream, GET)

    async def _slow_body(self, stream: trio.SocketStream, number: int) -> None:
        self._there.add(number)
        await stream.send_all(POST)
        await self._drip(stream, b" " * 1000)

    async def _drip(self, stream: trio.SocketStream, data: bytes) -> None:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await trio.sleep(random.random() * EVERY_S)
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    for byte in data:
                        await stream.send_all(bytes([byte]))
                        await trio.sleep(EVERY_S)

            nursery.start_soon(send)
            await self._until_closed(stream)
            nursery.cancel_scope.cancel()

    async def _slow_reader(self, stream: trio.SocketStream, number: int) -> None:
        self._there.add(number)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await stream.send_all(LARGE)
        while await stream.receive_some(200):
            await trio.sleep(EVERY_S)


def main() -> None:
    host, port, idle, slow = sys.argv[1:5]
    os.nice(19)  # else the crowd's own work would be measured
    crowd = Crowd(host, int(port))
    trio.run(crowd.run, int(idle), int(slow))


if __name__ == "__main__":
    main()
