"""One HTTP connection after another, each on Hypercorn's protocol and each kept apart from all others.

Owns how many there may be, in all and of one address, and what Hypercorn 0.18's own server leaves open. It catches only
OSError, so that a single bad HTTP/2 upgrade (a setting out of range) ends the whole server; it keeps a connection whose
client has left until the keep-alive time is over, or for ever when an HTTP/2 stream still had bytes to send; and it
waits for ever for a client that does not read.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from peernode.edge.answers import error_response
from peernode.edge.auth import network_of, plain_address
from peernode.edge.bind import is_loopback
from peernode.edge.errors import TooManyConnections
from peernode.edge.leave import KEY, Leave
from peernode.edge.stalled import SLOWEST_BYTES_PER_S, STALLED_S

# A client that reads as fast as it is written to must not keep the node from everybody else.
YIELD_EVERY = 16
log = structlog.get_logger("peernode.edge")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Connections at once, in all and of one address, and the seconds that one may be idle or take for a request head.

    ``per_address`` None: a quarter of all, but no limit of the loopback addresses, where a proxy may be.
    """

    at_once: int = 1024
    per_address: int | None = None
    idle_s: float = 30.0

    def of_address(self, address: str) -> float:
        if self.per_address is not None:
            return self.per_address
        return math.inf if is_loopback(address) else max(1, self.at_once // 4)


class Connections:
    """Runs the connections of one server, within ``limits``.

    When all are taken, whoever has been idle longest, or has not even sent a request's head, makes room for the next.
    """

    def __init__(self, app: ASGIWrapper, config: Config, context: WorkerContext, limits: ConnectionLimits) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._limits = limits
        self._of_network: Counter[str] = Counter()
        self._idle: OrderedDict[_Connection, None] = OrderedDict()
        self.open = 0
        self.refused = 0

    async def run(self, stream: trio.SocketStream) -> None:
        """One connection, from accept to close. Raises nothing but cancellation."""
        address = _address_of(stream)
        network = network_of(address)
        of_one = self._of_network[network] >= self._limits.of_address(address)
        if of_one or (self.open >= self._limits.at_once and not await self._make_room()):
            self._refuse(stream, of_one=of_one)
            return  # whoever accepted it closes it
        self.open += 1
        self._of_network[network] += 1
        # Typed for TLS streams, made for both.
        tls = cast(trio.SSLStream, stream)
        connection = _Connection(self._app, self._config, self._context, ConnectionState({KEY: Leave()}), tls)
        connection.idle_ones = self._idle
        self._idle[connection] = None
        try:
            await connection
        except* Exception as group:  # noqa: BLE001  # one connection's defect is nobody else's
            log.warning("connection_failed", errors=[type(err).__name__ for err in group.exceptions])
        finally:
            self._idle.pop(connection, None)
            self.open -= 1
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    async def _make_room(self) -> bool:
        """Let the longest idle connection go, if there is one."""
        if not self._idle:
            return False
        longest, _ = self._idle.popitem(last=False)
        await trio.aclose_forcefully(longest.stream)
        return True

    def _refuse(self, stream: trio.SocketStream, *, of_one: bool) -> None:
        """Say why, if the socket takes it at once; the log tells of the first, the second, the fourth and so on."""
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:
            log.warning("connection_refused", open=self.open, refused=self.refused, of_one_address=of_one)
        _taken_at_once(stream, _FULL)


class _Connection(TCPServer):
    """``idle_ones`` are those of its server that wait for a request; the longest waiting first."""

    idle_ones: OrderedDict[_Connection, None] | None = None
    _sends = 0

    async def protocol_send(self, event: Event) -> None:
        """What the socket takes at once is written at once: Hypercorn gives way twice for each token of a stream."""
        if not isinstance(event, RawData):
            self._note(event)
            await super().protocol_send(event)
            return
        self._sends = (self._sends + 1) % YIELD_EVERY
        if self.send_lock.locked() or not self._sends:
            async with self.send_lock:
                await self._write(event.data)
            return
        self.send_lock.acquire_nowait()
        try:
            taken = _taken_at_once(self.stream, event.data)
            if taken < len(event.data):
                await self._write(event.data[taken:])
        finally:
            self.send_lock.release()

    def _note(self, event: Event) -> None:
        if self.idle_ones is None or not isinstance(event, Updated):
            return
        self.idle_ones.pop(self, None)
        if event.idle:
            self.idle_ones[self] = None

    async def _write(self, data: bytes) -> None:
        """Whole, also when the writer is cancelled: half a piece would garble what follows. But not for ever."""
        deadline = trio.current_time() + STALLED_S + len(data) / SLOWEST_BYTES_PER_S
        try:
            with trio.CancelScope(shield=True, deadline=deadline) as patience:
                await self.stream.send_all(data)
            if not patience.cancelled_caught:
                return
            log.info("client_stalled")
            await trio.aclose_forcefully(self.stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # busy: it is being closed at this moment
        await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()
        nursery = self._task_group._nursery
        if nursery is not None:
            nursery.cancel_scope.deadline = trio.current_time() + cast(Leave, self.state[KEY]).seconds


def _address_of(stream: trio.SocketStream) -> str:
    """Where the connection comes from; empty when it is gone already."""
    try:
        return plain_address(stream.socket.getpeername()[0])
    except OSError:
        return ""


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


def _refusal() -> bytes:
    error = TooManyConnections(
        "There are too many connections.", remedy="Close some, or try again after the time that Retry-After names."
    )
    answer = error_response(error, "")
    head = [b"HTTP/1.1 %d Service Unavailable" % answer.status_code, b"connection: close"]
    head += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*head, b"", bytes(answer.body)])


_FULL = _refusal()
