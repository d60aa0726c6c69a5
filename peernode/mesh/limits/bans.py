"""Bans: peers that keep misbehaving are left alone for a while, longer each time.

Pure but for the clock passed in. Owns the count of misbehaviour and who is banned until when. Leaves closing the
connections of the banned to ``guard``, and what counts as misbehaviour to whoever reports it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

# Misbehaviour adds up to a ban at 1.0; half of it is forgiven in this time.
HALF_LIFE_S = 60.0
FIRST_BAN_S = 60.0
LONGEST_BAN_S = 3600.0
# So long after the end of a ban the next one is as short as the first.
FORGOTTEN_AFTER_S = 3600.0
MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Ban:
    """Why and until when (``until_s`` on the table's clock) somebody is refused.

    One of ``peer_id`` and ``address`` may be empty: an address without a peer is merely slowed down, since others may
    share it.
    """

    peer_id: str
    address: str
    reason: str
    until_s: float


@dataclass(slots=True)
class _Record:
    weight: float = 0.0
    since_s: float = 0.0
    bans: int = 0
    ban: Ban | None = None


class BanTable:
    """Misbehaviour by peer id. ``clock`` gives seconds that never jump; ``on_ban`` is told of every new ban."""

    def __init__(self, *, clock: Callable[[], float], on_ban: Callable[[Ban], None] = lambda _: None) -> None:
        self._clock = clock
        self._on_ban = on_ban
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._slowed: OrderedDict[str, Ban] = OrderedDict()

    def report(self, peer_id: str, reason: str, weight: float, *, address: str = "") -> None:
        """Note that a peer misbehaved; at a ``weight`` of 1.0 (in sum, halved every minute) it is banned."""
        now_s = self._clock()
        record = self._records.setdefault(peer_id, _Record())
        self._records.move_to_end(peer_id)
        while len(self._records) > MAX_REMEMBERED:
            self._records.popitem(last=False)
        if record.ban is not None and record.ban.until_s > now_s:
            return
        if record.ban is not None and now_s - record.ban.until_s > FORGOTTEN_AFTER_S:
            record.bans = 0
        record.weight = record.weight * 0.5 ** ((now_s - record.since_s) / HALF_LIFE_S) + weight
        record.since_s = now_s
        if record.weight < 1.0:
            return
        duration_s = min(FIRST_BAN_S * 2**record.bans, LONGEST_BAN_S)
        record.bans, record.weight = min(record.bans + 1, 16), 0.0
        record.ban = Ban(peer_id, address, reason, now_s + duration_s)
        log.warning("peer_banned", peer=peer_id, address=address, reason=reason, for_s=duration_s)
        self._on_ban(record.ban)

    def slow_down(self, address: str, reason: str, for_s: float) -> None:
        """Note, for showing, that connections from ``address`` are being refused for now."""
        known = address in self._slowed
        self._slowed[address] = Ban("", address, reason, self._clock() + for_s)
        self._slowed.move_to_end(address)
        while len(self._slowed) > MAX_REMEMBERED:
            self._slowed.popitem(last=False)
        if not known:
            log.warning("address_slowed_down", address=address, reason=reason)

    def ban_of(self, peer_id: str) -> Ban | None:
        """The ban under which this peer is now, if any."""
        record = self._records.get(peer_id)
        return record.ban if record is not None and record.ban and record.ban.until_s > self._clock() else None

    def bans(self) -> list[Ban]:
        """Everybody who is banned or slowed down now."""
        now_s = self._clock()
        for address in [address for address, ban in self._slowed.items() if ban.until_s <= now_s]:
            del self._slowed[address]
        peers = [r.ban for r in self._records.values() if r.ban is not None and r.ban.until_s > now_s]
        return peers + list(self._slowed.values())
