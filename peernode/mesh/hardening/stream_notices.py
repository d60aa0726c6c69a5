"""libp2p 0.8.1 starts a task for each listener whenever a stream is opened or closed, and not one listener listens.

Mended by telling them one after the other, without tasks. Connections are still announced to all at once.
"""

from __future__ import annotations

import structlog
from libp2p.network.swarm import Swarm

log = structlog.get_logger(__name__)

INLINE = frozenset({"opened_stream", "closed_stream"})


def mend() -> None:
    """Announce streams without tasks."""
    original = Swarm._notify

    async def notify(self: Swarm, method: str, *args: object) -> None:
        if method not in INLINE:
            await original(self, method, *args)
            return
        for notifee in tuple(self.notifees):
            try:
                await getattr(notifee, method)(self, *args)
            except Exception as error:  # noqa: BLE001  # a listener's defect is not the stream's
                log.warning("stream_listener_failed", listener=type(notifee).__name__, error=repr(error))

    Swarm._notify = notify
