"""The relay's side of circuit relay v2: takes reservations, and joins two streams into a circuit, within limits.

Spec: libp2p/specs relay/circuit-v2.md. The library's own service trusts the peer id in a request instead of the one
that the handshake proved, and keeps one circuit per peer; hence this one. Leaves the bounds to ``relay_limits``.
"""

from __future__ import annotations

import time

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Limit, PeerId, Reservation, StopMessage

from peernode.mesh.nat.circuit_messages import (
    FAILED,
    HOP,
    MALFORMED,
    NO_RESERVATION,
    NOT_ALLOWED,
    OK,
    OVER_LIMIT,
    REFUSED,
    STOP,
    check_ok,
    give_up,
    hop_status,
    read_message,
    take_leave,
    write_message,
)
from peernode.mesh.nat.circuit_stream import is_relayed
from peernode.mesh.nat.errors import RelayRefused
from peernode.mesh.nat.relay_limits import RESERVATION_S, RelayBook, RelayLimits

log = structlog.get_logger(__name__)

CALL_DEADLINE_S = 8.0
CHUNK_BYTES = 65536
# A circuit on which nothing moves: yamux pings on it every few seconds while it is alive.
IDLE_S = 60.0


class RelayService:
    """Relays for others on one host, while it is on."""

    def __init__(self, host: BasicHost, limits: RelayLimits) -> None:
        self.book = RelayBook(limits)
        self._host = host
        self._on = False

    @property
    def on(self) -> bool:
        """True while this node relays."""
        return self._on

    def switch(self, on: bool) -> None:
        """Start or stop to serve. What runs goes on until it ends by itself."""
        if on == self._on:
            return
        self._on = on
        if on:
            self._host.set_stream_handler(TProtocol(HOP), self._serve)
        else:
            self._host.remove_stream_handler(TProtocol(HOP))
        log.info("relay_on" if on else "relay_off")

    async def _serve(self, stream: INetStream) -> None:
        peer = str(stream.muxed_conn.peer_id)
        try:
            request = await read_message(stream, HopMessage)
            if is_relayed(stream.swarm_conn):
                await write_message(stream, hop_status(NOT_ALLOWED))
            elif request.type == HopMessage.RESERVE:
                await self._reserve(stream, peer)
            elif request.type == HopMessage.CONNECT:
                if await self._connect(stream, peer, request.peer.id):
                    return
            else:
                await write_message(stream, hop_status(MALFORMED))
            await take_leave(stream)
        except RelayRefused as error:
            log.debug("relay_request_failed", peer=peer, cause=error.cause)
        except Exception as error:  # noqa: BLE001 - whatever a peer's stream raises must not reach the host
            log.debug("relay_request_failed", peer=peer, cause=repr(error))
        finally:
            await give_up(stream)

    async def _reserve(self, stream: INetStream, peer: str) -> None:
        address = stream.get_remote_address()
        if not self.book.reserve(peer, address[0] if address else "", trio.current_time()):
            log.info("relay_reservation_refused", peer=peer, reservations=self.book.reservations)
            await write_message(stream, hop_status(REFUSED))
            return
        log.info("relay_reservation", peer=peer, reservations=self.book.reservations)
        answer = hop_status(OK)
        answer.reservation.CopyFrom(Reservation(expire=int(time.time() + RESERVATION_S)))
        answer.limit.CopyFrom(self._limit())
        await write_message(stream, answer)

    def _limit(self) -> Limit:
        return Limit(duration=int(self.book.limits.circuit_s), data=self.book.limits.circuit_bytes)

    async def _connect(self, stream: INetStream, caller: str, wanted: bytes) -> bool:
        """Join the stream to one of the called peer until the circuit ends; False when it was refused instead."""
        called = _peer_text(wanted)
        if not called or not self.book.reserved(called, trio.current_time()) or not self._connected(called):
            await write_message(stream, hop_status(NO_RESERVATION))
            return False
        if not self.book.open_circuit(caller, called, trio.current_time()):
            log.info("relay_circuit_refused", caller=caller, called=called, circuits=self.book.circuits)
            await write_message(stream, hop_status(OVER_LIMIT))
            return False
        far: INetStream | None = None
        began, carried = trio.current_time(), 0
        try:
            try:
                far = await self._call(caller, called)
            except RelayRefused as error:
                log.debug("relay_call_failed", caller=caller, called=called, cause=error.cause)
                await write_message(stream, hop_status(FAILED))
                return False
            answer = hop_status(OK)
            answer.limit.CopyFrom(self._limit())
            await write_message(stream, answer)
            log.info("circuit_opened", caller=caller, called=called, circuits=self.book.circuits)
            carried = await self._splice(stream, far)
            return True
        finally:
            self.book.close_circuit(caller, called)
            if far is not None:
                await give_up(far)
                took = round(trio.current_time() - began, 1)
                log.info("circuit_closed", caller=caller, called=called, bytes=carried, seconds=took)

    def _connected(self, peer: str) -> bool:
        connections = self._host.get_network().connections.get(ID.from_string(peer), ())
        return any(not conn.is_closed and not is_relayed(conn) for conn in connections)

    async def _call(self, caller: str, called: str) -> INetStream:
        """A stream to the called peer, who agreed to the circuit. Raises ``RelayRefused``."""
        far: INetStream | None = None
        agreed = False
        try:
            with trio.fail_after(CALL_DEADLINE_S):
                far = await self._host.new_stream(ID.from_string(called), [TProtocol(STOP)])
                peer = PeerId(id=ID.from_string(caller).to_bytes())
                await write_message(far, StopMessage(type=StopMessage.CONNECT, peer=peer, limit=self._limit()))
                check_ok(await read_message(far, StopMessage))
            agreed = True
            return far
        except RelayRefused:
            raise
        except Exception as error:
            raise RelayRefused("The called peer did not answer.", cause=repr(error)) from error
        finally:
            if far is not None and not agreed:
                await give_up(far)

    async def _splice(self, near: INetStream, far: INetStream) -> int:
        """Carry bytes both ways until either side ends, or a limit is reached; gives the bytes carried."""
        carried = 0
        moved = trio.current_time()

        async def carry(source: INetStream, sink: INetStream, scope: trio.CancelScope) -> None:
            nonlocal carried, moved
            try:
                while data := await source.read(CHUNK_BYTES):
                    carried += len(data)
                    if carried > self.book.limits.circuit_bytes:
                        log.info("circuit_over_limit", bytes=carried)
                        break
                    moved = trio.current_time()
                    await sink.write(data)
            except Exception as error:  # noqa: BLE001 - either end may go at any time, in any way
                log.debug("circuit_ended", cause=repr(error))
            scope.cancel()

        with trio.move_on_after(self.book.limits.circuit_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carry, near, far, nursery.cancel_scope)
                nursery.start_soon(carry, far, near, nursery.cancel_scope)
                while trio.current_time() - moved < IDLE_S:
                    await trio.sleep(IDLE_S / 2)
                nursery.cancel_scope.cancel()
        return carried


def _peer_text(raw: bytes) -> str:
    """The peer id in a message; empty when it is none."""
    try:
        return str(ID(raw)) if 0 < len(raw) <= 64 else ""
    except ValueError:
        return ""
