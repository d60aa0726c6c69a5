"""``/peernode/reach/1``: a peer tries to connect to this node afresh, and both see whether that worked.

The helper connects to nothing but the IP address that the request came from, seldom, and over Noise to the asker's
own key, so it cannot be made to knock elsewhere. The asker believes a success only when the nonce arrives over a new
inbound connection of that helper. Leaves the verdict to ``reachability``.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from libp2p.abc import INetConn, INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from multiaddr import Multiaddr

from peernode.mesh.errors import MeshError
from peernode.mesh.frames import FrameStream
from peernode.mesh.nat.circuit_stream import is_relayed
from peernode.mesh.nat.reach_messages import NONCE_BYTES, PROTOCOL, Ask, Back, Told, decode
from peernode.mesh.nat.reachability import Answer

log = structlog.get_logger(__name__)

DIAL_BACK_S = 4.0
ASK_S = 9.0
WORD_S = 5.0
# What helping may cost: one try for a peer in so many seconds, and so many at once.
ASK_GAP_S = 5.0
MAX_HELPING = 8
MAX_REMEMBERED = 1024


class ReachProtocol:
    """Both sides of the protocol on one host. ``nursery`` must live as long as the host."""

    def __init__(self, host: BasicHost, nursery: trio.Nursery) -> None:
        self._host = host
        self._nursery = nursery
        self._awaited: dict[bytes, tuple[str, set[int], trio.Event]] = {}
        self._helped: dict[str, float] = {}
        self._helping = 0
        host.set_stream_handler(TProtocol(PROTOCOL), self._serve)

    async def ask(self, helper: str, port: int) -> Answer | None:
        """What ``helper`` finds at ``port`` of this node; None when it does not tell. Never raises for a peer."""
        nonce, heard = secrets.token_bytes(NONCE_BYTES), trio.Event()
        before = {id(conn) for conn in self._connections(helper)}
        self._awaited[nonce] = (helper, before, heard)
        try:
            with trio.fail_after(ASK_S):
                net_stream = await self._host.new_stream(ID.from_string(helper), [TProtocol(PROTOCOL)])
                stream = FrameStream(net_stream, self._nursery, protocol=PROTOCOL)
                try:
                    await stream.send(Ask(port, nonce).encode())
                    told = decode(await stream.receive(ASK_S))
                finally:
                    await stream.abort()
        except Exception as error:  # noqa: BLE001 - the library raises anything when a peer goes or knows no such protocol
            log.debug("reach_ask_failed", helper=helper, cause=str(error) or repr(error))
            return None
        finally:
            del self._awaited[nonce]
        if not isinstance(told, Told) or (told.reached and not heard.is_set()):
            log.debug("reach_answer_refused", helper=helper)
            return None
        return Answer(helper, told.host, port, told.reached)

    def _connections(self, peer: str) -> list[INetConn]:
        return [c for c in self._host.get_network().connections.get(ID.from_string(peer), ()) if not c.is_closed]

    async def _serve(self, net_stream: INetStream) -> None:
        stream = FrameStream(net_stream, self._nursery, protocol=PROTOCOL)
        try:
            message = decode(await stream.receive(WORD_S))
            if isinstance(message, Ask):
                await self._help(net_stream, stream, message)
            elif isinstance(message, Back):
                self._hear(net_stream, message.nonce)
            await stream.close()
        except MeshError as error:
            log.debug("reach_conversation_failed", peer=stream.peer_id, reason=error.code)
            await stream.abort()

    def _hear(self, net_stream: INetStream, nonce: bytes) -> None:
        helper, before, heard = self._awaited.get(nonce, ("", set[int](), trio.Event()))
        connection: Any = net_stream.swarm_conn
        fresh = id(connection) not in before and str(connection.direction) == "inbound" and not is_relayed(connection)
        if fresh and str(net_stream.muxed_conn.peer_id) == helper:
            heard.set()

    async def _help(self, net_stream: INetStream, stream: FrameStream, ask: Ask) -> None:
        address, peer, now = net_stream.get_remote_address(), stream.peer_id, trio.current_time()
        busy = now - self._helped.get(peer, -ASK_GAP_S) < ASK_GAP_S or self._helping >= MAX_HELPING
        if address is None or is_relayed(net_stream.swarm_conn) or busy:
            await stream.abort()
            return
        self._helped[peer] = now
        while len(self._helped) > MAX_REMEMBERED:
            del self._helped[next(iter(self._helped))]
        self._helping += 1
        try:
            reached = await self._dial_back(peer, address[0], ask)
        finally:
            self._helping -= 1
        await stream.send(Told(address[0], reached).encode())

    async def _dial_back(self, peer: str, host: str, ask: Ask) -> bool:
        """Connect, say the nonce, hang up. Never raises for a peer."""
        address = Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{ask.port}")
        connection: Any = None
        try:
            with trio.fail_after(DIAL_BACK_S):
                connection = await self._host.get_network().dial_addr(address, ID.from_string(peer))
                fresh = await _open(self._host, connection)
                back = FrameStream(fresh, self._nursery, protocol=PROTOCOL)
                await back.send(Back(ask.nonce).encode())
                # The asker ends the stream when it has read the nonce.
                await _until_ended(back.receive)
            return True
        except Exception as error:  # noqa: BLE001 - a dial fails in many ways, and all of them mean "not reached"
            log.debug("dial_back_failed", peer=peer, address=str(address), cause=repr(error))
            return False
        finally:
            if connection is not None:
                with trio.CancelScope(deadline=trio.current_time() + 2.0, shield=True):
                    await connection.close()


async def _open(host: BasicHost, connection: Any) -> INetStream:  # noqa: ANN401 - the library's connection
    """A reach stream on exactly this connection."""
    net_stream: INetStream = await connection.new_stream()
    chosen = await host.multiselect_client.select_one_of([TProtocol(PROTOCOL)], MultiselectCommunicator(net_stream))
    net_stream.set_protocol(chosen)
    return net_stream


async def _until_ended(receive: Callable[[float], Awaitable[bytes]]) -> None:
    try:
        await receive(WORD_S)
    except MeshError:
        return
