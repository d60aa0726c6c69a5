"""libp2p 0.8.1: every accepted connection holds one of ~250 inbound slots until shutdown; then the host is deaf.

Mended by waiting for the end of the *connection* instead of the end of the swarm. A second gap is closed on the way:
strangers who connect and stay silent could fill all slots until their handshake times out, so the number of
unfinished handshakes per remote address is bounded.
"""

from __future__ import annotations

from collections import Counter

import structlog
import trio
from libp2p.abc import IMuxedConn
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.swarm import Swarm, SwarmEvent
from multiaddr import Multiaddr

log = structlog.get_logger(__name__)

HANDSHAKES_PER_ADDRESS = 64
POLL_S = 1.0


async def _close(closer: ReadWriteCloser) -> None:
    try:
        await closer.close()
    except Exception as error:  # noqa: BLE001 - the socket is being given up; only the slot matters now
        log.debug("inbound_close_failed", error=repr(error))


async def _upgrade(swarm: Swarm, closer: ReadWriteCloser, maddr: Multiaddr) -> IMuxedConn:
    if isinstance(closer, IMuxedConn):
        await swarm.add_conn(closer, direction="inbound")
        return closer
    return await swarm.upgrade_inbound_raw_conn(RawConnection(closer, False), maddr)


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


def mend() -> None:
    """Give the inbound slot back when the connection ends, and bound unfinished handshakes per address."""

    async def handle_inbound(self: Swarm, closer: ReadWriteCloser, maddr: Multiaddr, failure_event: SwarmEvent) -> None:
        del failure_event  # feeds metrics that peernode does not enable
        remote = self._build_remote_multiaddr(closer)
        if remote is not None and not await self.connection_gate.is_allowed(remote):
            await _close(closer)
            return
        address = closer.get_remote_address()
        source = address[0] if address else "unknown"
        handshakes: Counter[str] = self.__dict__.setdefault("_handshakes_by_address", Counter())
        if handshakes[source] >= HANDSHAKES_PER_ADDRESS:
            log.info("inbound_refused", reason="too many unfinished handshakes", source=source)
            await _close(closer)
            return
        handshakes[source] += 1
        try:
            muxed = await _upgrade(self, closer, maddr)
        except Exception as error:  # noqa: BLE001 - anything a stranger sends may raise anything in the handshake
            log.debug("inbound_handshake_failed", source=source, error=repr(error))
            await _close(closer)
            return
        finally:
            handshakes[source] -= 1
            if not handshakes[source]:
                del handshakes[source]
        await _wait_until_gone(self, muxed)

    Swarm._do_handle_inbound_connection = handle_inbound
