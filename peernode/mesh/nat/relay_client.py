"""The users' side of circuit relay v2: reserve at a relay, be called through it, and call others through theirs.

Owns the requests and the acceptance of circuits. Leaves which relays to use to ``reservations``, and the handshake
over a circuit to ``circuit_stream``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Container

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, StopMessage

from peernode.mesh.dial_budget import DialBudget
from peernode.mesh.errors import DialFailed
from peernode.mesh.nat.circuit_address import relay_of
from peernode.mesh.nat.circuit_messages import (
    HOP,
    MALFORMED,
    NOT_ALLOWED,
    OK,
    STOP,
    check_ok,
    give_up,
    read_message,
    stop_status,
    take_leave,
    write_message,
)
from peernode.mesh.nat.circuit_stream import is_relayed, upgrade
from peernode.mesh.nat.errors import RelayRefused

log = structlog.get_logger(__name__)

REQUEST_DEADLINE_S = 10.0
# Handshakes of callers that a relay may have us run at once.
MAX_ANSWERING = 16
MAX_ANSWERING_ONE = 2
Dial = Callable[[str, str], Awaitable[None]]


class RelayClient:
    """``reserved`` holds the relays whose calls are answered; without ``answer`` none are.

    ``dial`` connects to (peer id, address), or raises ``DialFailed``.
    """

    def __init__(self, host: BasicHost, *, dial: Dial, reserved: Container[str], answer: bool = True) -> None:
        self._host = host
        self._dial = dial
        self._reserved = reserved
        self._answering: Counter[str] = Counter()
        self._budget = DialBudget()
        if answer:
            host.set_stream_handler(TProtocol(STOP), self._answer)

    async def reserve(self, relay: str) -> None:
        """Reserve or renew at a connected relay. Raises ``RelayRefused``."""
        stream, message = await self._request(relay, HopMessage(type=HopMessage.RESERVE))
        await give_up(stream)
        check_ok(message)

    async def call(self, peer: str, address: str) -> None:
        """Connect to ``peer`` at a circuit address. Raises ``DialFailed``."""
        found = relay_of(address)
        if found is None:
            raise DialFailed(f"Peer {peer} could not be reached.", cause=f"{address} is no circuit address")
        relay, relay_address = found
        if relay in (peer, str(self._host.get_id())):
            raise DialFailed(f"Peer {peer} could not be reached.", cause="it names itself, or this node, as its relay")
        if not self._connected(relay):
            await self._knock(relay, relay_address)
        try:
            wanted = PeerId(id=ID.from_string(peer).to_bytes())
            stream, message = await self._request(relay, HopMessage(type=HopMessage.CONNECT, peer=wanted))
            try:
                check_ok(message)
            except RelayRefused:
                await give_up(stream)
                raise
            await upgrade(self._host, stream, relay=relay, peer=peer, dialler=True)
        except RelayRefused as error:
            raise DialFailed(
                f"Peer {peer} could not be reached.", cause=f"through relay {relay}: {error.sentence} {error.cause}"
            ) from error
        log.info("circuit_dialled", peer=peer, relay=relay)

    async def _knock(self, relay: str, address: str) -> None:
        """Dial a relay that somebody named; seldom enough if it is vain. Raises ``DialFailed``."""
        if not self._budget.permits(relay, address, trio.current_time()):
            raise DialFailed(f"Relay {relay} is not dialled now.", cause="too many dials there were in vain")
        try:
            await self._dial(relay, address)
        except DialFailed:
            self._budget.failed(relay, address, trio.current_time())
            raise

    def _connected(self, relay: str) -> bool:
        connections = self._host.get_network().connections.get(ID.from_string(relay), ())
        return any(not conn.is_closed and not is_relayed(conn) for conn in connections)

    async def _request(self, relay: str, request: HopMessage) -> tuple[INetStream, HopMessage]:
        stream: INetStream | None = None
        answered = False
        try:
            with trio.fail_after(REQUEST_DEADLINE_S):
                stream = await self._host.new_stream(ID.from_string(relay), [TProtocol(HOP)])
                await write_message(stream, request)
                answer = await read_message(stream, HopMessage, deadline_s=REQUEST_DEADLINE_S)
            answered = True
            return stream, answer
        except RelayRefused:
            raise
        except Exception as error:
            raise RelayRefused("The peer does not relay.", cause=str(error) or repr(error)) from error
        finally:
            if stream is not None and not answered:
                await give_up(stream)

    def _too_busy_for(self, caller: str) -> bool:
        return self._answering.total() >= MAX_ANSWERING or self._answering[caller] >= MAX_ANSWERING_ONE

    async def _answer(self, stream: INetStream) -> None:
        """A relay calls: somebody wants to talk to this node through it."""
        relay = str(stream.muxed_conn.peer_id)
        try:
            call = await read_message(stream, StopMessage)
            if call.type != StopMessage.CONNECT:
                await write_message(stream, stop_status(MALFORMED))
                await take_leave(stream)
                return
            caller = str(ID(call.peer.id))
            if relay not in self._reserved or is_relayed(stream.swarm_conn) or self._too_busy_for(caller):
                log.info("circuit_refused", relay=relay, caller=caller)
                await write_message(stream, stop_status(NOT_ALLOWED))
                await take_leave(stream)
                return
            await write_message(stream, stop_status(OK))
            self._answering[caller] += 1
            try:
                connection = await upgrade(self._host, stream, relay=relay, peer=caller, dialler=False)
            finally:
                self._answering -= Counter((caller,))
            log.info("circuit_accepted", peer=caller, relay=relay)
            await connection.event_closed.wait()
        except RelayRefused as error:
            log.debug("circuit_failed", relay=relay, cause=error.cause)
        except Exception as error:  # noqa: BLE001 - whatever comes through a relay must not reach the host
            log.debug("circuit_failed", relay=relay, cause=repr(error))
        finally:
            await give_up(stream)
