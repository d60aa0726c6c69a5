"""What a running node says of itself when it is asked with a nonce: its statement, and its hardware's report."""

from __future__ import annotations

from collections.abc import Callable

from peernode import __version__
from peernode.edge.identity_object import Attested, Unattested
from peernode.market.models import OwnModels
from peernode.node.attestation import TsmReports
from peernode.wire.identity import Identity, exchange_key_of
from peernode.wire.statement import MAX_MODELS, SignedStatement, StatedModel, Statement, sign_statement


class NodeStatements:
    """Implements the edge's Statements. The models are those that the node itself can answer with now."""

    def __init__(
        self,
        identity: Identity,
        *,
        network: str,
        models: OwnModels,
        clock_ms: Callable[[], int],
        reports: TsmReports | None = None,
    ) -> None:
        self._identity = identity
        self._network = network
        self._models = models
        self._clock_ms = clock_ms
        self._reports = reports or TsmReports()

    @property
    def attests(self) -> bool:
        return self._reports.here

    def state(self, nonce: bytes) -> SignedStatement:
        cards = self._models.cards()[:MAX_MODELS]
        made = Statement(
            network=self._network,
            peer=self._identity.peer_id,
            exchange_key=exchange_key_of(self._identity.peer_id),
            version=__version__,
            models=tuple(StatedModel(card.id, card.digest) for card in cards),
            nonce=nonce,
            at_ms=self._clock_ms(),
        )
        return sign_statement(made, self._identity)

    def report(self, about: bytes) -> Attested | Unattested:
        return self._reports.report(about)
