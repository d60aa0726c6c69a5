"""libp2p 0.8.1: a handler that is not reading stays alive after its connection is gone (one task each, for ever).

Mended by watching the connection from beside the handler: once it is closed the handler has a grace period to notice
by itself, and is then cancelled.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost

log = structlog.get_logger(__name__)

GRACE_S = 1.0


def mend() -> None:
    """End every stream handler soon after the connection under it has ended."""
    original = BasicHost._swarm_stream_handler

    async def watched(self: BasicHost, net_stream: INetStream) -> None:
        closed = getattr(net_stream.muxed_conn, "event_closed", None)
        if closed is None:
            await original(self, net_stream)
            return

        failure: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def end_with_connection() -> None:
                await closed.wait()
                await trio.sleep(GRACE_S)
                log.debug("lingering_handler_cancelled", protocol=net_stream.protocol_id)
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_with_connection)
            try:
                await original(self, net_stream)
            except Exception as error:  # noqa: BLE001 - re-raised below, outside the nursery, so that it stays unwrapped
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    BasicHost._swarm_stream_handler = watched
