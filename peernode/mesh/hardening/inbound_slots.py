"""libp2p 0.8.1: an accepted connection holds one of ~250 inbound slots until shutdown; then the host is deaf.

Strangers who connect and stay silent fill the same slots for 10 s each. Mended by accounts of our own (see
``limits.admission``): a handshake has a short deadline and gives way to newcomers, a seat is taken only once the peer
has proven its id, and is given back when its connection ends.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.abc import IMuxedConn, IRawConnection
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.hardening.punched_connections import punched_by
from peernode.mesh.limits.admission import Seat, address_group
from peernode.mesh.limits.guard import STAYED_S

log = structlog.get_logger(__name__)

HANDSHAKE_DEADLINE_S = 4.0
POLL_S = 1.0


async def _close(closer: ReadWriteCloser | IRawConnection) -> None:
    try:
        await closer.close()
    except Exception as error:  # noqa: BLE001 - the socket is being given up; only the slot matters now
        log.debug("inbound_close_failed", error=repr(error))


def _source(connection: ReadWriteCloser | IRawConnection) -> str:
    address = connection.get_remote_address()
    return address_group(address[0]) if address else "unknown"


async def _wait_until_gone(swarm: Swarm, muxed: IMuxedConn) -> None:
    closed = getattr(muxed, "event_closed", None)
    if not isinstance(closed, trio.Event):
        while not (muxed.is_closed or swarm.manager.is_finished):
            await trio.sleep(POLL_S)
        return
    async with trio.open_nursery() as nursery:

        async def stop_with_swarm() -> None:
            await swarm.manager.wait_finished()
            nursery.cancel_scope.cancel()

        nursery.start_soon(stop_with_swarm)
        await closed.wait()
        nursery.cancel_scope.cancel()


async def _upgrade_inbound(self: Swarm, raw: IRawConnection, maddr: Multiaddr) -> IMuxedConn:
    """Secure, seat and mux an accepted connection; its seat comes back by itself when it ends."""
    del maddr
    guard = guard_of(self)
    seat: Seat | None = None
    try:
        secured = await self.upgrader.upgrade_security(raw, False)
        peer_id = secured.get_remote_peer()
        verdict = guard.admission.take_seat(_source(raw), str(peer_id))
        if isinstance(verdict, str):
            guard.refused(verdict, peer_id=str(peer_id), address=_source(raw))
            raise SwarmException(verdict)
        seat = verdict
        muxed = await self.upgrader.upgrade_connection(secured, peer_id)
        await self.add_conn(muxed, direction="inbound")
    except BaseException:
        if seat is not None:
            guard.admission.give_up(seat)
        with trio.CancelScope(deadline=trio.current_time() + 1.0, shield=True):
            await _close(raw)
        raise

    async def give_up_seat() -> None:
        try:
            await _wait_until_gone(self, muxed)
        finally:
            if guard.admission.give_up(seat) > STAYED_S:
                guard.acquaintances.met(seat.peer_id, seat.address)

    self.manager.run_task(give_up_seat)
    return muxed


async def _accept(self: Swarm, closer: ReadWriteCloser, maddr: Multiaddr) -> None:
    guard, source = guard_of(self), _source(closer)
    scope = trio.CancelScope()
    handshake = guard.admission.knock(source, scope.cancel)
    if isinstance(handshake, str):
        guard.refused(handshake, address=source)
        await _close(closer)
        return
    scope.deadline = trio.current_time() + HANDSHAKE_DEADLINE_S
    muxed: IMuxedConn | None = None
    try:
        with scope:
            leader = punched_by(self, closer.get_remote_address())
            if leader is None:
                muxed = await self.upgrade_inbound_raw_conn(RawConnection(closer, False), maddr)
            else:
                muxed = (await self.upgrade_outbound_raw_conn(RawConnection(closer, True), leader)).muxed_conn
    except Exception as error:  # noqa: BLE001 - anything a stranger sends may raise anything in the handshake
        guard.count("handshake failed")
        log.debug("inbound_handshake_failed", source=source, error=repr(error))
    finally:
        guard.admission.leave(handshake)
    if scope.cancelled_caught:
        guard.count("handshake unfinished")
    if muxed is not None:
        # The library closes the socket when this returns.
        await _wait_until_gone(self, muxed)


def mend() -> None:
    """Let nobody hold up the handshakes, and give slots back when connections end."""
    Swarm.upgrade_inbound_raw_conn = _upgrade_inbound
    Swarm._handle_inbound_connection = _accept
