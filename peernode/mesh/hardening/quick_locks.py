"""libp2p 0.8.1 takes some fifteen locks for each small frame, nearly all free, and a lock of trio yields each time.

Every yield is a round of the scheduler with a system call: more than half of what a token costs on its way through a
node. Mended with locks that are taken at once while they are free. Now and then they yield all the same, so that a
peer with much to say cannot keep the node from everybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux import yamux

YIELD_EVERY = 16
# Where the library keeps the locks that are taken for every frame.
FREQUENT: tuple[tuple[type, tuple[str, ...]], ...] = (
    (TrioTCPStream, ("read_lock", "write_lock")),
    (NetStream, ("_state_lock",)),
    (yamux.Yamux, ("streams_lock", "_write_lock")),
    (yamux.YamuxStream, ("window_lock",)),
)


class QuickLock:
    """What the library uses of ``trio.Lock``. First come, first served, as there."""

    def __init__(self) -> None:
        self._held = False
        self._waiting = 0
        self._queue = trio.lowlevel.ParkingLot()
        self._taken = 0

    async def __aenter__(self) -> None:
        """Take the lock; when it is free, all but each sixteenth time without a checkpoint."""
        self._taken += 1
        if self._taken % YIELD_EVERY == 0:
            await trio.lowlevel.checkpoint()
        if not self._held:
            self._held = True
            return
        self._waiting += 1
        try:
            await self._queue.park()  # who lets go leaves it held, for the first in the queue
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        """Hand the lock on."""
        if self._waiting and self._queue.unpark(count=1):
            return
        self._held = False

    def locked(self) -> bool:
        """True while somebody holds it."""
        return self._held


def _quicken(holder: Any, names: tuple[str, ...]) -> None:  # noqa: ANN401  # any class of the library
    original: Callable[..., None] = holder.__init__

    def init(self: object, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        for name in names:
            setattr(self, name, QuickLock())

    holder.__init__ = init


def mend() -> None:
    """Replace the locks that are taken for every frame."""
    for holder, names in FREQUENT:
        _quicken(holder, names)
