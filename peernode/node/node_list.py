"""The live nodes of the network as the edge lists them, this one first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peernode import __version__
from peernode.edge.services import NodeEntry
from peernode.market.models import OwnModels
from peernode.mesh import Mesh


class NodeList:
    """Implements the edge's ``nodes`` over the directory. ``clock`` gives Unix seconds."""

    def __init__(self, mesh: Mesh, own: OwnModels, *, clock: Callable[[], float]) -> None:
        self._mesh = mesh
        self._own = own
        self._clock = clock

    def __call__(self) -> Sequence[NodeEntry]:
        adverts = self._mesh.directory.snapshot().adverts
        return [self._this(), *(self._entry(peer) for peer in sorted(adverts) if peer != self._mesh.peer_id)]

    def _this(self) -> NodeEntry:
        loads = [model.engine.load() for model in self._own if model.card is not None]
        return NodeEntry(
            peer_id=self._mesh.peer_id,
            models=tuple(self._own.cards()),
            addresses=tuple(self._mesh.addresses()),
            version=__version__,
            slots=sum(load.slots for load in loads),
            free_slots=sum(load.free_slots for load in loads),
            queued=sum(load.queued for load in loads),
            last_seen_s=self._clock(),
        )

    def _entry(self, peer: str) -> NodeEntry:
        directory = self._mesh.directory
        advert = directory.snapshot().adverts[peer].advert
        holding = directory.holding(peer)
        return NodeEntry(
            peer_id=peer,
            models=advert.models,
            addresses=advert.addresses,
            version=advert.version,
            slots=advert.slots,
            free_slots=advert.free_slots,
            queued=advert.queued,
            last_seen_s=self._clock() - (holding.age_ms / 1000 if holding else 0.0),
        )
