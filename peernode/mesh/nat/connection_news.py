"""Tells of connections that came and went, as the library's notifee."""

from __future__ import annotations

from collections.abc import Callable

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.peer.id import ID
from multiaddr import Multiaddr


class ConnectionNews(INotifee):
    """Calls ``came(network, connection)`` and ``went(peer)``; both must return at once and not raise."""

    def __init__(self, came: Callable[[INetwork, INetConn], None], went: Callable[[ID], None]) -> None:
        self._came = came
        self._went = went

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Called by the library."""
        self._came(network, conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Called by the library."""
        self._went(conn.muxed_conn.peer_id)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Called by the library; of no interest here."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Called by the library; of no interest here."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Called by the library; of no interest here."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Called by the library; of no interest here."""
