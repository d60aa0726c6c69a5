"""The directory: immutable pictures of who is live and what they offer, and a way to await the next one.

Owns the lease table, the time at which leases end, and the memory of model names ever seen. Leaves how adverts travel
to ``gossip`` and ``sync``, and the choice between peers to the market.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
import trio

from peernode.mesh.leases import Change, ChangeKind, Holding, LeaseTable
from peernode.wire.advert import Advert, SignedAdvert, open_advert

log = structlog.get_logger(__name__)

MAX_MODEL_NAMES = 4096


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """What was live at one moment. ``version`` grows with every change of the directory."""

    version: int
    adverts: Mapping[str, SignedAdvert] = field(default_factory=lambda: MappingProxyType({}))

    def for_model(self, name: str) -> list[Advert]:
        """The adverts of all live peers that have a model with this id loaded."""
        return [s.advert for s in self.adverts.values() if any(model.id == name for model in s.advert.models)]

    def for_digest(self, digest: bytes) -> list[Advert]:
        """The adverts of all live peers that have exactly this GGUF loaded (SHA-256 of the file)."""
        return [s.advert for s in self.adverts.values() if any(model.digest == digest for model in s.advert.models)]

    def models(self) -> dict[str, list[Advert]]:
        """Every model id on offer, with the adverts of the peers that offer it."""
        offered: dict[str, list[Advert]] = {}
        for signed in self.adverts.values():
            for model in signed.advert.models:
                offered.setdefault(model.id, []).append(signed.advert)
        return offered


def _monotonic_ms() -> int:
    return int(trio.current_time() * 1000)


class Directory:
    """Live adverts of one network, kept by leases.

    ``clock_ms`` is Unix time in milliseconds, for judging when adverts were issued; leases run on trio's clock.
    ``own`` is this node's peer id, whose adverts are no news to its log.
    """

    def __init__(self, *, network: str, clock_ms: Callable[[], int], own: str = "") -> None:
        self._network = network
        self._own = own
        self._clock_ms = clock_ms
        self._table = LeaseTable()
        self._snapshot = DirectorySnapshot(version=0)
        self._stale = False
        self._version = 0
        self._changed = trio.Event()
        self._model_names: OrderedDict[str, None] = OrderedDict()

    def snapshot(self) -> DirectorySnapshot:
        """The present picture; the same object until something changes."""
        if self._stale:
            adverts = {signed.advert.peer: signed for signed in self._table.visible()}
            self._snapshot = DirectorySnapshot(self._version, MappingProxyType(adverts))
            self._stale = False
        return self._snapshot

    async def wait_change(self, after_version: int) -> DirectorySnapshot:
        """The first picture newer than ``after_version``, at once if there already is one."""
        while self._version <= after_version:
            await self._changed.wait()
        return self.snapshot()

    def ever_seen_model(self, name: str) -> bool:
        """True if any peer offered a model of this id since this node started (the last 4096 names)."""
        return name in self._model_names

    def suspect(self, peer_id: str) -> None:
        """Hide a peer that could not be reached, until it says anything new itself."""
        if self._table.suspect(peer_id):
            log.info("peer_suspect", peer=peer_id)
            self._touch()

    def offer(self, signed: SignedAdvert, *, age_ms: int = 0) -> Change | None:
        """Take in a verified advert that was under way for ``age_ms``; None when it changed nothing."""
        change = self._table.offer(signed, now_ms=_monotonic_ms(), wall_ms=self._clock_ms(), age_ms=age_ms)
        if change is not None:
            self._note([change])
        return change

    def offer_raw(self, raw: bytes, *, age_ms: int = 0) -> tuple[SignedAdvert, Change | None]:
        """Verify and take in an advert from the wire. Raises a ``WireError`` when it is not what it claims to be."""
        signed = open_advert(raw, network=self._network)
        return signed, self.offer(signed, age_ms=age_ms)

    def latest_seq(self, peer_id: str) -> int:
        """The highest advert number known of this peer, live or ended; 0 when unknown."""
        return self._table.latest_seq(peer_id)

    def departed(self, peer_id: str) -> bool:
        """True if the last word of this peer was its own departure."""
        holding = self._table.holding(peer_id, _monotonic_ms())
        return holding is not None and holding.signed.advert.is_departure

    def digest(self) -> dict[str, int]:
        """The highest advert number known per peer, for comparing with a neighbour."""
        return self._table.digest()

    def holding(self, peer_id: str) -> Holding | None:
        """What can be handed on about a peer, with its age."""
        return self._table.holding(peer_id, _monotonic_ms())

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    async def run(self) -> None:
        """End leases when they are due; runs until cancelled."""
        while True:
            self._note(self._table.expire(_monotonic_ms()))
            due_ms = self._table.next_expiry()
            changed = self._changed
            # An offer may bring a lease that ends sooner: every change looks again.
            with trio.CancelScope() as scope:
                if due_ms is not None:
                    scope.deadline = (due_ms + 1) / 1000
                await changed.wait()

    def _note(self, changes: Iterable[Change]) -> None:
        touched = False
        for change in changes:
            touched = True
            if change.kind is not ChangeKind.RENEWED and change.peer != self._own:
                log.info("peer_" + change.kind.value, peer=change.peer, seq=change.signed.advert.seq)
            for model in change.signed.advert.models:
                self._model_names[model.id] = None
                self._model_names.move_to_end(model.id)
        while len(self._model_names) > MAX_MODEL_NAMES:
            self._model_names.popitem(last=False)
        if touched:
            self._touch()

    def _touch(self) -> None:
        self._version += 1
        self._stale = True
        self._changed.set()
        self._changed = trio.Event()
