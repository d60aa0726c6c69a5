"""One HTTP connection after another, each on Hypercorn's protocol and each kept apart from all others.

Owns what Hypercorn 0.18's own server leaves open. It catches only OSError, so that a single bad HTTP/2 upgrade (a
setting out of range) ends the whole server; and it keeps a connection whose client has left until the keep-alive time
is over, or for ever when an HTTP/2 stream still had bytes to send.
"""

from __future__ import annotations

from typing import cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from peernode.edge.leave import KEY, Leave

MAX_CONNECTIONS = 1024
# A client that reads as fast as it is written to must not keep the node from everybody else.
YIELD_EVERY = 16
log = structlog.get_logger("peernode.edge")


class Connections:
    """Runs the connections of one server; at most ``MAX_CONNECTIONS`` at a time."""

    def __init__(self, app: ASGIWrapper, config: Config, context: WorkerContext) -> None:
        self._app = app
        self._config = config
        self._context = context
        self.open = 0

    async def run(self, stream: trio.SocketStream) -> None:
        """One connection, from accept to close. Raises nothing but cancellation."""
        if self.open >= MAX_CONNECTIONS:
            log.warning("connection_refused", open=self.open)
            return  # whoever accepted it closes it
        self.open += 1
        try:
            # Typed for TLS streams, made for both.
            tls = cast(trio.SSLStream, stream)
            state = ConnectionState({KEY: Leave()})
            await _Connection(self._app, self._config, self._context, state, tls)
        except* Exception as group:  # noqa: BLE001  # one connection's defect is nobody else's
            log.warning("connection_failed", errors=[type(err).__name__ for err in group.exceptions])
        finally:
            self.open -= 1


class _Connection(TCPServer):
    _sends = 0

    async def protocol_send(self, event: Event) -> None:
        """What the socket takes at once is written at once: Hypercorn gives way twice for each token of a stream."""
        self._sends = (self._sends + 1) % YIELD_EVERY
        if not isinstance(event, RawData) or self.send_lock.locked() or not self._sends:
            await super().protocol_send(event)
            return
        self.send_lock.acquire_nowait()
        try:
            taken = _taken_at_once(self.stream, event.data)
            if taken < len(event.data):
                with trio.CancelScope(shield=True):
                    await self.stream.send_all(event.data[taken:])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self.protocol.handle(Closed())
        finally:
            self.send_lock.release()

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()
        nursery = self._task_group._nursery
        if nursery is not None:
            nursery.cancel_scope.deadline = trio.current_time() + cast(Leave, self.state[KEY]).seconds


def _taken_at_once(stream: object, data: bytes) -> int:
    """How many bytes the socket took; 0 when it cannot take any, for whatever reason."""
    raw = getattr(getattr(stream, "socket", None), "_sock", None)  # trio has no send that neither waits nor yields
    if raw is None or not data:
        return 0
    try:
        taken: int = raw.send(data)
    except OSError:  # full, closed or broken: trio will say which
        return 0
    return taken
