"""libp2p 0.8.1 yields to the scheduler after each write to a socket, even when the socket took all of it at once.

A small frame nearly always fits; the yield then costs more than the write. Mended by asking the socket first. Now and
then it yields all the same, so that a task with much to say cannot keep the node from everybody else.
"""

from __future__ import annotations

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream

YIELD_EVERY = 16


def _taken_at_once(stream: trio.SocketStream, data: bytes) -> int:
    """How many bytes the socket took; 0 when it cannot take any, for whatever reason."""
    raw = getattr(stream.socket, "_sock", None)  # trio has no send that neither waits nor yields
    if raw is None:
        return 0
    try:
        taken: int = raw.send(data)
    except OSError:  # full, closed or broken: trio will say which
        return 0
    return taken


async def _write(self: TrioTCPStream, data: bytes) -> None:
    """Write all of ``data``. Raises ``ConnectionClosedError`` when the peer has broken the connection."""
    async with self.write_lock:
        self._writes = getattr(self, "_writes", 0) + 1
        if self._writes % YIELD_EVERY:
            taken = _taken_at_once(self.stream, data)
            if taken == len(data):
                return
            data = data[taken:]
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError(f"TCP connection reset by remote peer: {error}", transport="tcp") from error
        except trio.ClosedResourceError:
            return  # closed here: nobody is interested any more


def mend() -> None:
    """Write at once what the socket takes at once."""
    TrioTCPStream.write = _write
