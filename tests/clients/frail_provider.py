"""A real node that fails, waits or falls silent in its answers when their questions say so.

Run as ``frail_provider.py FOLDER serve …``: what follows the folder is the ordinary command line. What a question may
hold, each in place of the first frame that would bring more tokens than said:

- ``fail at once``: the engine crashed, before any token; ``fail midway``: it took too long, behind three tokens.
- ``pause until NAME``: behind three tokens nothing more comes until there is a file NAME in the folder.
- ``say nothing``: no token ever comes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import trio

from peernode.cli import main
from peernode.market import batching
from peernode.market.service import JobService
from peernode.node import composition
from peernode.wire.job_frames import ErrorFrame, FinishedFrame, OfferFrame, TokensFrame, decode_frame, encode_frame

MIDWAY = 3
# Longer than anybody here waits; it holds one of the slots for so long.
SILENT_S = 20.0
# Other processes make the file; there is no event to wait for.
LOOK_S = 0.02
_PAUSE = re.compile(rb"pause until ([a-z]+)")


class FrailStream:
    """A job's stream that does what the question says. Stands in for a ``FrameStream`` in all that the service uses."""

    def __init__(self, stream: Any, folder: Path) -> None:
        self._stream = stream
        self._folder = folder
        self._asked = b""
        self._tokens = 0
        self._failed = False
        self.peer_id: str = stream.peer_id

    async def receive(self, deadline_s: float) -> bytes:
        payload: bytes = await self._stream.receive(deadline_s)
        frame = decode_frame(payload)
        if isinstance(frame, OfferFrame):
            self._asked = frame.raw
        return payload

    async def send(self, payload: bytes) -> None:
        frame = decode_frame(payload)
        if isinstance(frame, (TokensFrame, FinishedFrame)):
            self._tokens += len(frame.ids) if isinstance(frame, TokensFrame) else 1
            await self._obey()
        if not self._failed:
            await self._stream.send(payload)

    async def _obey(self) -> None:
        if b"say nothing" in self._asked:
            await trio.sleep(SILENT_S)
        if b"fail at once" in self._asked:
            await self._fail("engine_crashed")
        if self._tokens <= MIDWAY:
            return
        if b"fail midway" in self._asked:
            await self._fail("deadline_exceeded")
        if found := _PAUSE.search(self._asked):
            while not (self._folder / found[1].decode()).exists():
                await trio.sleep(LOOK_S)

    async def _fail(self, code: str) -> None:
        if not self._failed:
            self._failed = True
            await self._stream.send(encode_frame(ErrorFrame(code, "The answer broke off.")))


class FrailService(JobService):
    """A job service whose answers may break off; ``folder`` is where the names of files are looked for."""

    folder: Path

    async def handle(self, stream: Any) -> None:
        await super().handle(FrailStream(stream, self.folder))  # type: ignore[arg-type]


if __name__ == "__main__":
    FrailService.folder = Path(sys.argv.pop(1))
    composition.JobService = FrailService  # type: ignore[misc]
    batching.INTERVAL_S = 0.0  # a token a frame, so that there is a middle
    main()
