"""The lease table: who is on the network, by their own word and for as long as that word lasts.

A pure state machine: verified adverts and times in, changes out. Owns the rules (only a newer advert by the same
originator replaces, ends or revives; a lease runs on the receiver's clock). Leaves signatures to ``wire``, waiting and
publication to ``directory``, transport to ``gossip`` and ``sync``.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from peernode.wire.advert import Advert, ModelCard, SignedAdvert

CLOCK_TOLERANCE_MS = 30_000
MAX_PEERS = 4096
MAX_TOMBSTONES = 8192


class ChangeKind(enum.Enum):
    """What an offer or the passing of time did to the table."""

    JOINED = "joined"
    CHANGED = "changed"
    RENEWED = "renewed"
    DEPARTED = "departed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Change:
    """One change; ``signed`` is the advert that caused it, or, for ``EXPIRED``, the one that ended."""

    kind: ChangeKind
    peer: str
    signed: SignedAdvert


@dataclass(slots=True)
class _Lease:
    signed: SignedAdvert
    received_ms: int
    age_at_receipt_ms: int
    ends_ms: int
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class _Tombstone:
    seq: int
    forget_ms: int
    departure: SignedAdvert | None
    received_ms: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A signed advert as it can be handed on: with its age, so that a lease does not grow by travelling."""

    signed: SignedAdvert
    age_ms: int


def same_news(old: Advert, new: Advert) -> bool:
    """True when ``new`` only renews ``old``: nothing differs but number, times, load and measured rates."""
    aligned = replace(
        new,
        seq=old.seq,
        issued_ms=old.issued_ms,
        free_slots=old.free_slots,
        queued=old.queued,
        receipts_log_size=old.receipts_log_size,
        receipts_log_root=old.receipts_log_root,
        models=_unmeasured(new),
    )
    return aligned == replace(old, models=_unmeasured(old))


def _unmeasured(advert: Advert) -> tuple[ModelCard, ...]:
    return tuple(replace(card, decode_tps=0, prefill_tps=0) for card in advert.models)


class LeaseTable:
    """Live leases by peer id, and tombstones of those that ended.

    Times are milliseconds: ``now_ms`` on a clock that never jumps, ``wall_ms`` Unix time for judging ``issued_ms``.
    """

    def __init__(self, *, max_peers: int = MAX_PEERS, max_tombstones: int = MAX_TOMBSTONES) -> None:
        self._leases: dict[str, _Lease] = {}
        self._tombstones: OrderedDict[str, _Tombstone] = OrderedDict()
        self._max_peers = max_peers
        self._max_tombstones = max_tombstones

    def offer(self, signed: SignedAdvert, *, now_ms: int, wall_ms: int, age_ms: int = 0) -> Change | None:
        """Take in a verified advert; None when it changes nothing (old, replayed, out of its time, table full).

        ``age_ms`` is how long the advert has been under way, by the word of whoever handed it on. It shortens a lease
        by half at most, so that a liar cannot end it before its next renewal. An advert as old as its lease is refused.
        """
        advert = signed.advert
        held = self._leases.get(advert.peer)
        if advert.seq <= self.latest_seq(advert.peer) or not _in_its_time(advert, wall_ms):
            return None
        if advert.is_departure:
            self._leases.pop(advert.peer, None)
            self._bury(signed, now_ms, departure=signed)
            return Change(ChangeKind.DEPARTED, advert.peer, signed) if held else None
        if age_ms >= advert.lease_ms or (held is None and len(self._leases) >= self._max_peers):
            return None
        age_ms = max(0, age_ms)
        term_ms = max(advert.lease_ms - age_ms, advert.lease_ms // 2)
        self._leases[advert.peer] = _Lease(signed, now_ms, age_ms, now_ms + term_ms)
        self._tombstones.pop(advert.peer, None)
        if held is None:
            return Change(ChangeKind.JOINED, advert.peer, signed)
        if held.suspect or not same_news(held.signed.advert, advert):
            return Change(ChangeKind.CHANGED, advert.peer, signed)
        return Change(ChangeKind.RENEWED, advert.peer, signed)

    def expire(self, now_ms: int) -> list[Change]:
        """End every lease that is due at ``now_ms``, and forget tombstones that nothing can revive any more."""
        due = [peer for peer, lease in self._leases.items() if lease.ends_ms <= now_ms]
        changes = []
        for peer in due:
            lease = self._leases.pop(peer)
            self._bury(lease.signed, now_ms, departure=None)
            changes.append(Change(ChangeKind.EXPIRED, peer, lease.signed))
        for peer in [peer for peer, tomb in self._tombstones.items() if tomb.forget_ms <= now_ms]:
            del self._tombstones[peer]
        return changes

    def next_expiry(self) -> int | None:
        """When (``now_ms`` clock) the next lease ends; None when there is none."""
        return min((lease.ends_ms for lease in self._leases.values()), default=None)

    def suspect(self, peer: str) -> bool:
        """Hide a peer that could not be reached until a newer advert of its own; False if it was not in sight."""
        lease = self._leases.get(peer)
        if lease is None or lease.suspect:
            return False
        lease.suspect = True
        return True

    def latest_seq(self, peer: str) -> int:
        """The highest number known of this originator, live or ended; 0 when unknown."""
        lease, tomb = self._leases.get(peer), self._tombstones.get(peer)
        return max(lease.signed.advert.seq if lease else 0, tomb.seq if tomb else 0)

    def visible(self) -> Iterator[SignedAdvert]:
        """The adverts of all peers that are live and not suspect."""
        return (lease.signed for lease in self._leases.values() if not lease.suspect)

    def digest(self) -> dict[str, int]:
        """The highest number known per peer, departed and expired ones included, for comparing tables."""
        known = {peer: tomb.seq for peer, tomb in self._tombstones.items()}
        known.update((peer, lease.signed.advert.seq) for peer, lease in self._leases.items())
        return known

    def holding(self, peer: str, now_ms: int) -> Holding | None:
        """What can be handed on about ``peer``: its live advert (suspect or not) or its departure."""
        lease = self._leases.get(peer)
        if lease is not None:
            return Holding(lease.signed, lease.age_at_receipt_ms + now_ms - lease.received_ms)
        tomb = self._tombstones.get(peer)
        if tomb is not None and tomb.departure is not None:
            return Holding(tomb.departure, now_ms - tomb.received_ms)
        return None

    def __len__(self) -> int:
        return len(self._leases)

    def _bury(self, signed: SignedAdvert, now_ms: int, *, departure: SignedAdvert | None) -> None:
        # Until then a replay could still pass _in_its_time, on a wall clock wrong by the tolerance either way.
        forget_ms = now_ms + signed.advert.lease_ms + 4 * CLOCK_TOLERANCE_MS
        self._tombstones[signed.advert.peer] = _Tombstone(signed.advert.seq, forget_ms, departure, now_ms)
        self._tombstones.move_to_end(signed.advert.peer)
        while len(self._tombstones) > self._max_tombstones:
            self._tombstones.popitem(last=False)


def _in_its_time(advert: Advert, wall_ms: int) -> bool:
    from_future = advert.issued_ms - wall_ms > CLOCK_TOLERANCE_MS
    long_over = wall_ms - (advert.issued_ms + advert.lease_ms) > CLOCK_TOLERANCE_MS
    return not from_future and not long_over
