"""libp2p 0.8.1 reads as fast as a peer sends; a flood of tiny frames (0.25 ms of CPU each) takes a whole core.

Mended by reading each connection at a bounded pace. What is not read yet waits in the peer's own socket, so nothing is
lost and nobody else is delayed.
"""

from __future__ import annotations

import trio
from libp2p.io.abc import Reader
from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.limits.token_bucket import TokenBucket

FRAMES_PER_S = 2000.0
FRAMES_BURST = 4000.0
BYTES_PER_S = 32.0 * (1 << 20)
BYTES_BURST = 32.0 * (1 << 20)


class Pace:
    """What one connection may send: frames, told by their headers, and bytes."""

    def __init__(self) -> None:
        self._frames = TokenBucket(per_second=FRAMES_PER_S, burst=FRAMES_BURST)
        self._bytes = TokenBucket(per_second=BYTES_PER_S, burst=BYTES_BURST)

    def debt_s(self, now_s: float, size: int) -> float:
        """How long to wait before reading ``size`` more bytes."""
        debt_s = self._bytes.owe(now_s, size)
        return max(debt_s, self._frames.owe(now_s, 1.0)) if size == yamux.HEADER_SIZE else debt_s


def mend() -> None:
    """Read frames at a bounded pace."""
    read_exactly = yamux.read_exactly

    async def paced(reader: Reader, n: int) -> bytes:
        pace: Pace = reader.__dict__.setdefault("_pace", Pace())
        debt_s = pace.debt_s(trio.current_time(), n)
        if debt_s > 0:
            await trio.sleep(debt_s)
        data: bytes = await read_exactly(reader, n)
        return data

    yamux.read_exactly = paced
