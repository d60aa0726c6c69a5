"""libp2p 0.8.1: the remote address of an IPv6 connection reads as unknown (it expects a pair; IPv6 has four parts).

Limits per address and the connection gate then do not apply to IPv6 peers. Mended by taking the first two parts.
"""

from __future__ import annotations

import structlog
from libp2p.io.trio import TrioTCPStream

log = structlog.get_logger(__name__)


def mend() -> None:
    """Tell the remote (host, port) of IPv4 and IPv6 connections alike."""

    def get_remote_address(self: TrioTCPStream) -> tuple[str, int] | None:
        cached: tuple[str, int] | None = self._cached_remote_address
        if cached is None:
            try:
                name = self.stream.socket.getpeername()
            except OSError as error:
                log.debug("remote_address_unknown", error=repr(error))
                return None
            cached = self._cached_remote_address = (str(name[0]), int(name[1]))
        return cached

    TrioTCPStream.get_remote_address = get_remote_address
