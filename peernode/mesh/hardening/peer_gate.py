"""libp2p 0.8.1 has a gate for addresses, but none for peers: it talks to whoever proves some key.

Mended at the first moment a peer's id is proven, on every path there is (dialled, accepted, relayed): the end of the
Noise handshake. A peer that this node will not talk to is not dialled at all.
"""

from __future__ import annotations

from typing import cast

from libp2p.abc import IRawConnection, ISecureConn
from libp2p.custom_types import TMuxerOptions, TSecurityOptions
from libp2p.io.exceptions import IOException
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from peernode.mesh.hardening.private_network import protected
from peernode.mesh.limits.admission import address_group
from peernode.mesh.limits.guard import Guard


class GuardedUpgrader(TransportUpgrader):
    """Secures and muxes connections, but only with peers that the guard does not refuse."""

    def __init__(self, security: TSecurityOptions, muxers: TMuxerOptions, guard: Guard) -> None:
        super().__init__(security, muxers)
        self.guard = guard

    async def upgrade_security(
        self, raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> ISecureConn:
        """Raises ``SecurityUpgradeFailure`` for a peer without the network's key, or one that is not welcome."""
        key = self.guard.settings.shared_key
        try:
            # The library passes its one class of raw connections.
            conn = raw_conn if key is None else protected(cast(RawConnection, raw_conn), key)
            secured = await super().upgrade_security(conn, is_initiator, peer_id)
        except (IOException, UnicodeDecodeError) as error:
            raise SecurityUpgradeFailure(f"the handshake broke off: {error!r}") from error
        remote = str(secured.get_remote_peer())
        refusal = self.guard.refusal(remote)
        if refusal is not None:
            self.guard.refused(refusal, peer_id=remote)
            await secured.close()
            raise SecurityUpgradeFailure(refusal)
        address = raw_conn.get_remote_address()
        if is_initiator and address is not None:
            self.guard.acquaintances.met(remote, address_group(address[0]))
        return secured


def guard_of(swarm: Swarm) -> Guard:
    """The guard of a host; one with the default limits for a host that was built without."""
    upgrader = swarm.upgrader
    if isinstance(upgrader, GuardedUpgrader):
        return upgrader.guard
    guard: Guard = swarm.__dict__.setdefault("_guard", Guard())
    return guard


def mend() -> None:
    """Do not dial peers that the guard refuses."""
    dial = Swarm._dial_addr_single_attempt

    async def gated(self: Swarm, addr: Multiaddr, peer_id: ID, source: tuple[str, int] | None = None) -> object:
        refusal = guard_of(self).refusal(str(peer_id))
        if refusal is not None:
            raise SwarmException(f"this node does not talk to {peer_id}: {refusal}")
        return await dial(self, addr, peer_id, source)

    Swarm._dial_addr_single_attempt = gated
