"""The directory: immutable pictures of who is live and what they offer, and a way to await the next one.

Owns the lease table, the time at which leases end, the memory of model names ever seen, and the count of refusals.
Leaves how words travel to ``gossip`` and ``sync``, and the choice between peers to the market.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
import trio

from peernode.mesh.clock_skew import NOTEWORTHY_MS, ClockSkew
from peernode.mesh.leases import MAX_PEERS, MAX_TOMBSTONES, Change, ChangeKind, Holding, LeaseTable, Refusal, Standing
from peernode.wire.advert import Advert, SignedAdvert, open_advert
from peernode.wire.renewal import SignedRenewal, open_renewal

log = structlog.get_logger(__name__)

MAX_MODEL_NAMES = 4096
# An originator whose clock is off speaks every few seconds; its refusal is logged once and counted always.
MAX_COMPLAINTS = 1024


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """What was live at one moment. ``version`` grows with every change of the directory."""

    version: int
    adverts: Mapping[str, Standing] = field(default_factory=lambda: MappingProxyType({}))

    def for_model(self, name: str) -> list[Advert]:
        """The adverts of all live peers that have a model with this id loaded."""
        return [s.advert for s in self.adverts.values() if any(model.id == name for model in s.advert.models)]

    def for_digest(self, digest: bytes) -> list[Advert]:
        """The adverts of all live peers that have exactly this GGUF loaded (SHA-256 of the file)."""
        return [s.advert for s in self.adverts.values() if any(model.digest == digest for model in s.advert.models)]

    def models(self) -> dict[str, list[Advert]]:
        """Every model id on offer, with the adverts of the peers that offer it."""
        offered: dict[str, list[Advert]] = {}
        for standing in self.adverts.values():
            for model in standing.advert.models:
                offered.setdefault(model.id, []).append(standing.advert)
        return offered


def _monotonic_ms() -> int:
    return int(trio.current_time() * 1000)


class Directory:
    """Live adverts of one network, kept by leases.

    ``clock_ms`` is Unix time in milliseconds, for judging when words were issued; leases run on trio's clock. ``own``
    is this node's peer id, whose adverts are no news to its log. ``refusals`` counts what was refused, by reason.
    """

    def __init__(self, *, network: str, clock_ms: Callable[[], int], own: str = "") -> None:
        self.refusals: Counter[str] = Counter()
        self._network = network
        self._own = own
        self._clock_ms = clock_ms
        self._table = LeaseTable()
        self._visible: dict[str, Standing] = {}
        self._snapshot = DirectorySnapshot(version=0)
        self._version = 0
        self._news = 0
        self._changed = trio.Event()
        self._renewed = trio.Event()
        self._sooner = trio.Event()
        self._sleeping_until_ms: int | None = None
        self._order: OrderedDict[str, int] = OrderedDict()
        self._model_names: OrderedDict[str, None] = OrderedDict()
        self._complaints: OrderedDict[str, None] = OrderedDict()
        self._skew = ClockSkew()
        self._own_clock_told = False

    def snapshot(self) -> DirectorySnapshot:
        """The present picture; the same object until something changes."""
        if self._snapshot.version != self._version:
            self._snapshot = DirectorySnapshot(self._version, MappingProxyType(dict(self._visible)))
        return self._snapshot

    async def wait_change(self, after_version: int) -> DirectorySnapshot:
        """The first picture newer than ``after_version`` in which somebody joined, changed, left or was hidden.

        Renewals and load wake nobody here: in a large network there are many of them every second.
        """
        while self._news <= after_version:
            await self._changed.wait()
        return self.snapshot()

    async def wait_word(self, after_version: int) -> DirectorySnapshot:
        """The first picture newer than ``after_version`` in any way, renewals and load included."""
        while self._version <= after_version:
            await self._renewed.wait()
        return self.snapshot()

    def ever_seen_model(self, name: str) -> bool:
        """True if any peer offered a model of this id since this node started (the last 4096 names)."""
        return name in self._model_names

    def suspect(self, peer_id: str) -> None:
        """Hide a peer that could not be reached, until it says anything new itself."""
        if self._table.suspect(peer_id):
            log.info("peer_suspect", peer=peer_id)
            self._visible.pop(peer_id, None)
            self._touch(news=True)

    def offer(self, signed: SignedAdvert, *, age_ms: int = 0, direct: bool = False) -> Change | Refusal:
        """Take in a verified advert that was under way for ``age_ms``, or tell why not.

        ``direct``: it came from its originator itself, so that issue and age together tell of that one's clock.
        """
        outcome = self._table.offer(signed, now_ms=_monotonic_ms(), wall_ms=self._clock_ms(), age_ms=age_ms)
        self._judge(outcome, signed.advert.peer, signed.advert.issued_ms, age_ms if direct else None)
        return outcome

    def renew(
        self, renewal: SignedRenewal, *, age_ms: int = 0, advert: SignedAdvert | None = None, direct: bool = False
    ) -> Change | Refusal:
        """Take in a verified renewal of ``advert``, or, without one, of the advert that is held; or tell why not."""
        outcome = self._table.renew(
            renewal, now_ms=_monotonic_ms(), wall_ms=self._clock_ms(), age_ms=age_ms, advert=advert
        )
        self._judge(outcome, renewal.renewal.peer, renewal.renewal.issued_ms, age_ms if direct else None)
        return outcome

    def offer_raw(self, raw: bytes, *, age_ms: int = 0, direct: bool = False) -> tuple[SignedAdvert, Change | Refusal]:
        """Verify and take in an advert from the wire. Raises a ``WireError`` when it is not what it claims to be."""
        signed = open_advert(raw, network=self._network)
        return signed, self.offer(signed, age_ms=age_ms, direct=direct)

    def renew_raw(self, raw: bytes, advert: bytes = b"", *, age_ms: int = 0, direct: bool = False) -> Change | Refusal:
        """Verify and take in a renewal, with its advert if there is one. Raises a ``WireError`` as ``offer_raw``."""
        signed = open_advert(advert, network=self._network) if advert else None
        renewal = open_renewal(raw, network=self._network)
        return self.renew(renewal, age_ms=age_ms, advert=signed, direct=direct)

    def latest_seq(self, peer_id: str) -> int:
        """The highest number known of this peer, live or ended; 0 when unknown."""
        return self._table.latest_seq(peer_id)

    def departed(self, peer_id: str) -> bool:
        """True if the last word of this peer was its own departure."""
        holding = self.holding(peer_id)
        return holding is not None and holding.standing.advert.is_departure

    def digest(self) -> dict[str, int]:
        """The highest number known per peer, for comparing with a neighbour."""
        return self._table.digest()

    def holding(self, peer_id: str) -> Holding | None:
        """What can be handed on about a peer, with its age."""
        return self._table.holding(peer_id, _monotonic_ms())

    def late(self) -> list[str]:
        """The peers whose renewal is overdue."""
        return self._table.late(_monotonic_ms())

    def changed_since(self, version: int) -> Iterator[str]:
        """The peers of whom anything is newer than ``version``, newest first."""
        for peer, changed in reversed(self._order.items()):
            if changed <= version:
                return
            yield peer

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    async def run(self) -> None:
        """End leases when they are due; runs until cancelled."""
        while True:
            for change in self._table.expire(_monotonic_ms()):
                self._note(change)
            self._sleeping_until_ms = self._table.next_expiry()
            self._sooner = trio.Event()
            with trio.CancelScope() as scope:
                if self._sleeping_until_ms is not None:
                    scope.deadline = (self._sleeping_until_ms + 1) / 1000
                await self._sooner.wait()

    def skew_ms(self, peer_id: str) -> int | None:
        """How far this peer's clock is ahead of ours, as far as heard from itself; None when unknown."""
        return self._skew.of(peer_id)

    def own_skew_ms(self) -> int | None:
        """How far our clock is *behind* that of most neighbours; None while too few were heard."""
        return self._skew.own()

    def _judge(self, outcome: Change | Refusal, peer: str, issued_ms: int, direct_age_ms: int | None) -> None:
        if direct_age_ms is not None and outcome is not Refusal.OLD:
            self._look_at_clock(peer, issued_ms + direct_age_ms)
        if isinstance(outcome, Change):
            self._note(outcome)
            due_ms = self._table.next_expiry()
            if due_ms is not None and (self._sleeping_until_ms is None or due_ms < self._sleeping_until_ms):
                self._sooner.set()
            return
        self.refusals[outcome.value] += 1
        if outcome in (Refusal.FROM_FUTURE, Refusal.LONG_OVER) and peer not in self._complaints:
            log.warning("word_refused", peer=peer, reason=outcome.value, ahead_ms=issued_ms - self._clock_ms())
            self._complaints[peer] = None
            if len(self._complaints) > MAX_COMPLAINTS:
                self._complaints.popitem(last=False)

    def _look_at_clock(self, peer: str, said_ms: int) -> None:
        if self._skew.heard(peer, said_ms, self._clock_ms()):
            log.warning("peer_clock_is_off", peer=peer, ahead_ms=self._skew.of(peer))
        own_ms = self._skew.own()
        off = own_ms is not None and abs(own_ms) > NOTEWORTHY_MS
        if off and not self._own_clock_told:
            log.warning("own_clock_is_off", behind_ms=own_ms, remedy="Let the system keep its clock by NTP.")
        self._own_clock_told = off

    def _note(self, change: Change) -> None:
        if change.kind in (ChangeKind.DEPARTED, ChangeKind.EXPIRED):
            self._visible.pop(change.peer, None)
        else:
            self._visible[change.peer] = change.standing
            self._complaints.pop(change.peer, None)
        news = change.kind is not ChangeKind.RENEWED
        if news and change.peer != self._own:
            log.info("peer_" + change.kind.value, peer=change.peer, seq=change.standing.advert.seq)
        if news:
            for model in change.standing.advert.models:
                self._model_names[model.id] = None
                self._model_names.move_to_end(model.id)
            while len(self._model_names) > MAX_MODEL_NAMES:
                self._model_names.popitem(last=False)
        self._touch(news=news)
        self._order[change.peer] = self._version
        self._order.move_to_end(change.peer)
        if len(self._order) > MAX_PEERS + MAX_TOMBSTONES:
            self._order.popitem(last=False)

    def _touch(self, *, news: bool) -> None:
        self._version += 1
        self._renewed.set()
        self._renewed = trio.Event()
        if news:
            self._news = self._version
            self._changed.set()
            self._changed = trio.Event()
