"""A real node that breaks a job of its own at a certain token when a file tells it to; see ``faults``.

Run as ``faulty_provider.py FAULT_FILE serve …``: what follows the file's name is the ordinary command line.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import structlog
import trio
from faults import take_fault

from peernode.cli import main
from peernode.market import batching
from peernode.market.batching import INTERVAL_S
from peernode.market.service import JobService
from peernode.node import composition
from peernode.wire.job_frames import FinishedFrame, TokensFrame, decode_frame

# How long a silent provider stays so; whoever waits for it has gone on long before.
SILENT_S = 40.0
log = structlog.get_logger("faulty_provider")


class FaultyStream:
    """A job's stream that does what it is told to. Stands in for a ``FrameStream`` in all that the service uses."""

    def __init__(self, stream: Any, faults: Path) -> None:
        self._stream = stream
        self._faults = faults
        self._tokens = 0
        self.peer_id: str = stream.peer_id

    async def receive(self, deadline_s: float) -> bytes:
        return await self._stream.receive(deadline_s)

    async def send(self, payload: bytes) -> None:
        frame = decode_frame(payload)
        if isinstance(frame, (TokensFrame, FinishedFrame)):
            self._tokens += len(frame.ids) if isinstance(frame, TokensFrame) else 1
            if kind := take_fault(self._faults, self._tokens):
                log.info("fault", kind=kind, at=self._tokens)
                await getattr(self, f"_{kind}")(payload)
                return
        await self._stream.send(payload)

    async def _reset(self, _: bytes) -> None:
        await self._stream.abort()

    async def _drop(self, _: bytes) -> None:
        raw = _socket_of(self._stream)
        # Closed with a linger of no time, a socket says RST.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await _tcp_of(self._stream).stream.aclose()

    async def _black_hole(self, payload: bytes) -> None:
        tcp = _tcp_of(self._stream)

        read = tcp.read

        async def swallow(data: bytes) -> None:
            await trio.lowlevel.checkpoint()

        async def nothing(n: int | None = None) -> bytes:
            while await read(n):
                pass
            return b""  # closed on one side or the other

        tcp.write, tcp.read = swallow, nothing
        await self._stream.send(payload)

    async def _silence(self, _: bytes) -> None:
        await trio.sleep(SILENT_S)

    async def _garbage(self, payload: bytes) -> None:
        await self._stream.send(payload[: len(payload) // 2] + os.urandom(40))

    async def _noise(self, _: bytes) -> None:
        await _tcp_of(self._stream).stream.send_all(b"\x00\x20" + os.urandom(32))  # by its length, a message


def _tcp_of(stream: Any) -> Any:
    """The library's TCP stream under a conversation: through yamux, the secure session, Noise and the connection."""
    layer = stream._stream.muxed_conn.secured_conn
    for name in ("conn", "read_writer", "read_write_closer", "stream"):
        layer = getattr(layer, name)
    return layer


def _socket_of(stream: Any) -> Any:
    return _tcp_of(stream).stream.socket


class FaultyService(JobService):
    """A job service that looks into ``faults`` at every frame."""

    faults: Path

    async def handle(self, stream: Any) -> None:
        # A token a frame, so that the break can be behind any.
        batching.INTERVAL_S = 0.0 if self.faults.exists() else INTERVAL_S
        await super().handle(FaultyStream(stream, self.faults))  # type: ignore[arg-type]


if __name__ == "__main__":
    FaultyService.faults = Path(sys.argv.pop(1))
    composition.JobService = FaultyService  # type: ignore[misc]
    main()
