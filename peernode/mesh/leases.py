"""The lease table: who is on the network, by their own word and for as long as that word lasts.

A pure state machine: verified adverts, renewals and times in, changes out. Owns the rules (only a newer word by the
same originator replaces, extends, ends or revives; a lease runs on the receiver's clock). Leaves signatures to
``wire``, waiting and publication to ``directory``, transport to ``gossip`` and ``sync``.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from dataclasses import dataclass, replace

from peernode.wire.advert import MAX_LEASE_MS, Advert, ModelCard, SignedAdvert
from peernode.wire.renewal import SignedRenewal

CLOCK_TOLERANCE_MS = 30_000
MAX_PEERS = 4096
MAX_TOMBSTONES = 8192
FORGET_EVERY_MS = 5_000
# A node renews three times in a lease; whose last word is older than this part of it may have been missed.
LATE_PART = 0.5


class ChangeKind(enum.Enum):
    """What an offer or the passing of time did to the table."""

    JOINED = "joined"
    CHANGED = "changed"
    RENEWED = "renewed"
    DEPARTED = "departed"
    EXPIRED = "expired"


class Refusal(enum.Enum):
    """Why an offer did nothing."""

    OLD = "old"  # not newer than what is known of its originator
    FROM_FUTURE = "from the future"
    LONG_OVER = "long over"
    AGED = "as old as its lease"
    FULL = "table full"
    NO_ADVERT = "advert unknown"  # a renewal of an advert that is not held


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest word of one originator: its advert and, if it has been renewed since, the renewal.

    ``advert`` is the advert as it stands now, with number, times and load of the renewal.
    """

    signed: SignedAdvert
    renewal: SignedRenewal | None
    advert: Advert

    @classmethod
    def of(cls, signed: SignedAdvert, renewal: SignedRenewal | None) -> Standing:
        if renewal is None:
            return cls(signed, None, signed.advert)
        body = renewal.renewal
        advert = replace(
            signed.advert,
            seq=body.seq,
            issued_ms=body.issued_ms,
            lease_ms=body.lease_ms,
            free_slots=body.free_slots,
            queued=body.queued,
        )
        return cls(signed, renewal, advert)


@dataclass(frozen=True, slots=True)
class Change:
    """One change; ``standing`` is the word that caused it, or, for ``EXPIRED``, the one that ended."""

    kind: ChangeKind
    peer: str
    standing: Standing


@dataclass(slots=True)
class _Lease:
    standing: Standing
    received_ms: int
    age_at_receipt_ms: int
    ends_ms: int
    joined_ms: int
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class _Tombstone:
    seq: int
    forget_ms: int
    departure: Standing | None
    received_ms: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A word as it can be handed on: with its age, so that a lease does not grow by travelling.

    ``joined_ms``: since when its originator has been live without a break (``now_ms`` clock); None for a departure.
    """

    standing: Standing
    age_ms: int
    joined_ms: int | None


def same_news(old: Advert, new: Advert) -> bool:
    """True when ``new`` only renews ``old``: nothing differs but number, times, load and measured rates."""
    aligned = replace(
        new,
        seq=old.seq,
        issued_ms=old.issued_ms,
        lease_ms=old.lease_ms,
        free_slots=old.free_slots,
        queued=old.queued,
        receipts_log_size=old.receipts_log_size,
        receipts_log_root=old.receipts_log_root,
        models=_unmeasured(new),
    )
    return new.is_departure == old.is_departure and aligned == replace(old, models=_unmeasured(old))


def _unmeasured(advert: Advert) -> tuple[ModelCard, ...]:
    return tuple(replace(card, decode_tps=0, prefill_tps=0) for card in advert.models)


class LeaseTable:
    """Live leases by peer id, and tombstones of those that ended.

    Times are milliseconds: ``now_ms`` on a clock that never jumps, ``wall_ms`` Unix time for judging ``issued_ms``.
    """

    def __init__(self, *, max_peers: int = MAX_PEERS, max_tombstones: int = MAX_TOMBSTONES) -> None:
        self._leases: dict[str, _Lease] = {}
        self._tombstones: OrderedDict[str, _Tombstone] = OrderedDict()
        self._ends: list[tuple[int, str]] = []  # a heap; entries of leases that were extended since are skipped
        self._max_peers = max_peers
        self._max_tombstones = max_tombstones
        self._forget_at_ms: int | None = None

    def offer(self, signed: SignedAdvert, *, now_ms: int, wall_ms: int, age_ms: int = 0) -> Change | Refusal:
        """Take in a verified advert, or say why not.

        ``age_ms`` is how long it has been under way, by the word of whoever handed it on. It shortens a lease by half
        at most, so that a liar cannot end it before its next renewal. A word as old as its lease is refused.
        """
        return self._take(Standing.of(signed, None), now_ms, wall_ms, age_ms)

    def renew(
        self,
        renewal: SignedRenewal,
        *,
        now_ms: int,
        wall_ms: int,
        age_ms: int = 0,
        advert: SignedAdvert | None = None,
    ) -> Change | Refusal:
        """Take in a verified renewal of ``advert``, or, without one, of the advert that is held; or say why not."""
        body = renewal.renewal
        if body.seq <= self.latest_seq(body.peer):
            return Refusal.OLD
        if advert is None:
            lease = self._leases.get(body.peer)
            advert = lease.standing.signed if lease else None
        if advert is None or advert.digest != body.advert or advert.advert.peer != body.peer:
            return Refusal.NO_ADVERT
        if advert.advert.is_departure or advert.advert.seq >= body.seq:
            return Refusal.NO_ADVERT
        return self._take(Standing.of(advert, renewal), now_ms, wall_ms, age_ms)

    def _take(self, standing: Standing, now_ms: int, wall_ms: int, age_ms: int) -> Change | Refusal:
        advert = standing.advert
        held = self._leases.get(advert.peer)
        if advert.seq <= self.latest_seq(advert.peer):
            return Refusal.OLD
        if advert.issued_ms - wall_ms > CLOCK_TOLERANCE_MS:
            return Refusal.FROM_FUTURE
        # Whatever ages are told: it cannot stand for longer than its originator's clock and the tolerance allow.
        longest_ms = advert.issued_ms + advert.lease_ms + CLOCK_TOLERANCE_MS - wall_ms
        if longest_ms < 0:
            return Refusal.LONG_OVER
        if advert.is_departure:
            self._leases.pop(advert.peer, None)
            self._bury(standing, now_ms, departed=True)
            return Change(ChangeKind.DEPARTED, advert.peer, standing)
        age_ms = max(0, age_ms)
        term_ms = min(max(advert.lease_ms - age_ms, advert.lease_ms // 2), longest_ms)
        if age_ms >= advert.lease_ms or term_ms <= 0:
            return Refusal.AGED
        if held is None and len(self._leases) >= self._max_peers:
            return Refusal.FULL
        joined_ms = held.joined_ms if held else now_ms
        self._leases[advert.peer] = _Lease(standing, now_ms, age_ms, now_ms + term_ms, joined_ms)
        self._remember_end(now_ms + term_ms, advert.peer)
        self._tombstones.pop(advert.peer, None)
        if held is None:
            return Change(ChangeKind.JOINED, advert.peer, standing)
        old = held.standing.signed
        renewed = old.digest == standing.signed.digest or same_news(old.advert, standing.signed.advert)
        kind = ChangeKind.RENEWED if renewed and not held.suspect else ChangeKind.CHANGED
        return Change(kind, advert.peer, standing)

    def expire(self, now_ms: int) -> list[Change]:
        """End every lease that is due at ``now_ms``, and forget tombstones that nothing can revive any more."""
        changes = []
        while (due_ms := self.next_expiry()) is not None and due_ms <= now_ms:
            _, peer = heapq.heappop(self._ends)
            lease = self._leases.pop(peer)
            self._bury(lease.standing, now_ms, departed=False)
            changes.append(Change(ChangeKind.EXPIRED, peer, lease.standing))
        if self._forget_at_ms is None or self._forget_at_ms <= now_ms:
            self._forget_at_ms = now_ms + FORGET_EVERY_MS
            for peer in [peer for peer, tomb in self._tombstones.items() if tomb.forget_ms <= now_ms]:
                del self._tombstones[peer]
        return changes

    def next_expiry(self) -> int | None:
        """When (``now_ms`` clock) the next lease ends; None when there is none."""
        while self._ends:
            ends_ms, peer = self._ends[0]
            lease = self._leases.get(peer)
            if lease is not None and lease.ends_ms == ends_ms:
                return ends_ms
            heapq.heappop(self._ends)
        return None

    def late(self, now_ms: int) -> list[str]:
        """The peers from whom a renewal is overdue."""
        return [
            peer
            for peer, lease in self._leases.items()
            if lease.age_at_receipt_ms + now_ms - lease.received_ms > lease.standing.advert.lease_ms * LATE_PART
        ]

    def suspect(self, peer: str) -> bool:
        """Hide a peer that could not be reached until a newer word of its own; False if it was not in sight."""
        lease = self._leases.get(peer)
        if lease is None or lease.suspect:
            return False
        lease.suspect = True
        return True

    def latest_seq(self, peer: str) -> int:
        """The highest number known of this originator, live or ended; 0 when unknown."""
        lease = self._leases.get(peer)
        if lease is not None:
            return lease.standing.advert.seq
        tomb = self._tombstones.get(peer)
        return tomb.seq if tomb else 0

    def visible(self) -> dict[str, Standing]:
        """The words of all peers that are live and not suspect, by peer."""
        return {peer: lease.standing for peer, lease in self._leases.items() if not lease.suspect}

    def digest(self) -> dict[str, int]:
        """The highest number known per peer, departed and expired ones included, for comparing tables."""
        known = {peer: tomb.seq for peer, tomb in self._tombstones.items()}
        known.update((peer, lease.standing.advert.seq) for peer, lease in self._leases.items())
        return known

    def holding(self, peer: str, now_ms: int) -> Holding | None:
        """What can be handed on about ``peer``: its live word (suspect or not) or its departure."""
        lease = self._leases.get(peer)
        if lease is not None:
            age_ms = lease.age_at_receipt_ms + now_ms - lease.received_ms
            return Holding(lease.standing, age_ms, lease.joined_ms)
        tomb = self._tombstones.get(peer)
        if tomb is not None and tomb.departure is not None:
            return Holding(tomb.departure, now_ms - tomb.received_ms, None)
        return None

    def __len__(self) -> int:
        return len(self._leases)

    def _remember_end(self, ends_ms: int, peer: str) -> None:
        heapq.heappush(self._ends, (ends_ms, peer))
        if len(self._ends) > 4 * len(self._leases) + 64:
            self._ends = [(lease.ends_ms, peer) for peer, lease in self._leases.items()]
            heapq.heapify(self._ends)

    def _bury(self, standing: Standing, now_ms: int, *, departed: bool) -> None:
        # Until then a replay of something could still pass as in its time, on a wall clock wrong either way.
        advert = standing.advert
        forget_ms = now_ms + MAX_LEASE_MS + 4 * CLOCK_TOLERANCE_MS
        self._tombstones[advert.peer] = _Tombstone(advert.seq, forget_ms, standing if departed else None, now_ms)
        self._tombstones.move_to_end(advert.peer)
        while len(self._tombstones) > self._max_tombstones:
            self._tombstones.popitem(last=False)
