"""A relayed stream dressed as a socket, and its upgrade to a connection like any other.

Noise runs from end to end over it, so the relay learns who talks to whom and how much, and nothing else.
"""

from __future__ import annotations

import trio
from libp2p.abc import INetConn, INetStream
from libp2p.connection_types import ConnectionType
from libp2p.host.basic_host import BasicHost
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from peernode.mesh.nat.circuit_messages import give_up
from peernode.mesh.nat.errors import RelayRefused

UPGRADE_DEADLINE_S = 8.0


class CircuitSocket(ReadWriteCloser):
    """Bytes through a relay. Whatever ends the stream reads as the end of a connection."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream

    async def read(self, n: int | None = None) -> bytes:
        """Up to ``n`` bytes. Raises ``ConnectionClosedError`` at the end."""
        try:
            return await self._stream.read(n)
        except Exception as error:
            raise ConnectionClosedError(f"the circuit ended: {error!r}", transport="circuit") from error

    async def write(self, data: bytes) -> None:
        """Raises ``ConnectionClosedError`` when the circuit is gone."""
        try:
            await self._stream.write(data)
        except Exception as error:
            raise ConnectionClosedError(f"the circuit ended: {error!r}", transport="circuit") from error

    async def close(self) -> None:
        """End the circuit."""
        await give_up(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        """Of the relay: that is where the packets go."""
        address: tuple[str, int] | None = self._stream.get_remote_address()
        return address


def is_relayed(connection: INetConn) -> bool:
    """True for a connection that runs through a relay."""
    return bool(connection.get_connection_type() == ConnectionType.RELAYED)


def relay_behind(connection: INetConn) -> str:
    """The peer id of the relay that a relayed connection runs through."""
    for address in connection.get_transport_addresses():
        before, mark, _ = str(address).partition("/p2p-circuit")
        if mark:
            return before.rpartition("/p2p/")[2]
    return ""


def connection_of(host: BasicHost, peer: ID, muxed: object) -> INetConn | None:
    """The swarm's connection around a muxed one; None when it is gone already."""
    for connection in host.get_network().connections.get(peer, ()):
        if connection.muxed_conn is muxed:
            found: INetConn = connection
            return found
    return None


async def upgrade(host: BasicHost, stream: INetStream, *, relay: str, peer: str, dialler: bool) -> INetConn:
    """Secure a fresh circuit and add it to the host's connections. ``peer`` must prove its key.

    Raises ``RelayRefused``; the stream is reset then.
    """
    address = Multiaddr(f"/p2p/{relay}/p2p-circuit/p2p/{peer}")
    raw = RawConnection(CircuitSocket(stream), dialler, connection_type=ConnectionType.RELAYED, addresses=[address])
    network, expected = host.get_network(), ID.from_string(peer)
    done = False
    try:
        with trio.fail_after(UPGRADE_DEADLINE_S):
            if dialler:
                connection: INetConn | None = await network.upgrade_outbound_raw_conn(raw, expected)
            else:
                muxed = await network.upgrade_inbound_raw_conn(raw, address)
                connection = connection_of(host, expected, muxed)
        if connection is None:
            raise RelayRefused("The circuit was closed at once, or leads to another peer.")
        connection.set_transport_info([address], ConnectionType.RELAYED)
        done = True
        return connection
    except RelayRefused:
        raise
    except trio.TooSlowError:
        cause = f"no handshake within {UPGRADE_DEADLINE_S:g} s"
        raise RelayRefused("The peer behind the relay did not answer.", cause=cause) from None
    except Exception as error:
        raise RelayRefused("The circuit broke in the handshake.", cause=repr(error)) from error
    finally:
        if not done:
            await give_up(stream)
