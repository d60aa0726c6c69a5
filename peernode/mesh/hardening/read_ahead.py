"""libp2p 0.8.1 asks the socket for each encrypted message twice: for two bytes of length, then for the rest.

Mended by reading ahead a little. Little, because what has been read ahead is worked off without waiting for anything,
while others wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from libp2p.io.trio import TrioTCPStream

READ_AHEAD_BYTES = 4096

_Read = Callable[[TrioTCPStream, "int | None"], Awaitable[bytes]]
_Close = Callable[[TrioTCPStream], Awaitable[None]]


def _reading_ahead(original: _Read) -> _Read:
    async def read(self: TrioTCPStream, n: int | None = None) -> bytes:
        """Up to ``n`` bytes, at once if some were read ahead; b"" at the end."""
        ahead: bytes = getattr(self, "_ahead", b"")
        if not ahead and (n is None or n >= READ_AHEAD_BYTES):
            return await original(self, n)
        if not ahead and n:
            ahead = await original(self, READ_AHEAD_BYTES)
        taken = ahead if n is None else ahead[:n]
        self._ahead = ahead[len(taken) :]
        return taken

    return read


def _forgetting(original: _Close) -> _Close:
    async def close(self: TrioTCPStream) -> None:
        self._ahead = b""
        await original(self)

    return close


def mend() -> None:
    """Read ahead, and no more once closed."""
    TrioTCPStream.read = _reading_ahead(TrioTCPStream.read)
    TrioTCPStream.close = _forgetting(TrioTCPStream.close)
