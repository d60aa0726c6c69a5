"""Which sealed requests came already: each counts once, within a minute of its own time. Pure."""

from __future__ import annotations

from collections import OrderedDict

from peernode.chat.errors import BadRequest
from peernode.edge.errors import NoRoom

WINDOW_S = 60.0
MAX_SEEN = 65_536


class SealStale(BadRequest):
    """Made too long ago, or by a clock that is off: it may be an old request that somebody recorded."""

    code = "seal_stale"


class SealRepeated(BadRequest):
    code = "seal_repeated"


class Seen:
    """``since_s``: of what was made before then nothing is known here, so nothing of it is taken."""

    def __init__(self, since_s: float, *, most: int = MAX_SEEN) -> None:
        self._since_s = since_s
        self._most = most
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def take(self, client: bytes, made_s: float, now_s: float) -> None:
        """Raises SealStale, SealRepeated or NoRoom. Times are Unix seconds; ``client`` is the request's own key."""
        if not self._since_s <= made_s or abs(now_s - made_s) > WINDOW_S:
            raise SealStale(
                "The sealed request is not of this minute.",
                param="at_ms",
                cause=f"the node's clock says {round(now_s * 1000)}",
                remedy="Seal it again, with the time of the node's clock.",
            )
        while self._until and next(iter(self._until.values())) < now_s:
            self._until.popitem(last=False)
        if client in self._until:
            raise SealRepeated("This sealed request was here before.", remedy="Make a new key for each request.")
        if len(self._until) >= self._most:
            raise NoRoom("Too many sealed requests came this minute.", remedy="Try again in a while.")
        # Its own minute may begin as late as now and end a window later.
        self._until[client] = now_s + 2 * WINDOW_S
