"""What the edge is built on: protocols that the node's composition fills with real parts, tests with scripted ones.

Owns the shapes that cross from the node into HTTP; leaves every decision (routing, money, leases) to whoever
stands behind them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ulid import ULID

from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.chat.job import SEED_MASK, JobRunner
from peernode.chat.request import ChatRequest
from peernode.chat.wishes import Wishes
from peernode.edge.accounts import Accounts, NoAccounts
from peernode.edge.auth import Anonymous
from peernode.edge.identity_object import Statements
from peernode.edge.image_fetcher import ImageFetcher, NoFetcher
from peernode.edge.limits import RateLimits
from peernode.edge.streams.tape import Shelf
from peernode.edge.tools.tool import ServerTool
from peernode.wire.advert import ModelCard
from peernode.wire.prices import Prices

if TYPE_CHECKING:  # the ledger's records are read here, never its SQL
    from peernode.edge.sealed.layer import Sealing
    from peernode.edge.sessions.session import Sessions
    from peernode.ledger import ReceiptRecord

REQUEST_PREFIX = "req_"


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One model name that some live node serves. Prices are the lowest offered now; times are Unix seconds.

    ``sees`` says that images may be sent to it.
    """

    id: str
    digests: tuple[bytes, ...]
    quantizations: tuple[str, ...]
    context_length: int
    parameters: int
    architecture: str
    nodes_available: int
    prices: Prices
    owned_by: str = "peernode"
    first_seen_s: int = 0
    sees: bool = False


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One live node as it advertises itself; ``last_seen_s`` is the Unix time of its newest word."""

    peer_id: str
    models: tuple[ModelCard, ...]
    addresses: tuple[str, ...]
    version: str
    slots: int
    free_slots: int
    queued: int
    last_seen_s: float


class Catalog(Protocol):
    """The models a client may ask for now."""

    def models(self) -> Sequence[CatalogModel]: ...

    def find(self, model_id: str) -> CatalogModel | None: ...


class ReceiptLookup(Protocol):
    """``find``: every recorded part of one request, in order of part; empty when the request is not known here.

    ``recent``: the newest parts of any requests, newest first.
    """

    async def find(self, request_id: str) -> Sequence[ReceiptRecord]: ...

    async def recent(self, limit: int) -> Sequence[ReceiptRecord]: ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this node can take a job now, and if not, why."""

    ready: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Seconds allowed from the arrival of a request to its first token, and to its end."""

    first_token_s: float = 60.0
    total_s: float = 600.0


def fresh_request_id() -> str:
    """``req_`` and a new ULID; other ids of the same request are the same ULID behind another prefix."""
    return f"{REQUEST_PREFIX}{ULID()}"


def fresh_seed() -> int:
    """63 unpredictable bits: a provider must not be able to guess the seed before the offer."""
    return secrets.randbits(64) & SEED_MASK


@dataclass(frozen=True, slots=True)
class EdgeServices:
    """Everything the public routes need. ``peers`` gives the ids of those who offer something now.

    ``anonymous`` says who may come without a key, ``free_allowance`` whether what they use up is limited. ``clock``
    gives Unix seconds. ``tools`` are those that the node itself runs, ``nodes`` all live nodes with this one,
    ``streams`` what can be fetched again, ``statements`` what the node says of itself,
    ``sessions`` the conversations it keeps for clients, ``sealing`` its key for sealed requests.
    """

    runner: JobRunner
    catalog: Catalog
    receipts: ReceiptLookup
    ready: Callable[[], Readiness]
    new_request_id: Callable[[], str] = fresh_request_id
    new_seed: Callable[[], int] = fresh_seed
    clock: Callable[[], float] = time.time
    limits: JobLimits = field(default_factory=JobLimits)
    images: ImageFetcher = field(default_factory=NoFetcher)
    peers: Callable[[], Collection[str]] = tuple
    accounts: Accounts = field(default_factory=NoAccounts)
    rates: RateLimits = field(default_factory=RateLimits)
    anonymous: Anonymous = "loopback"
    free_allowance: bool = False
    tools: Sequence[ServerTool] = ()
    nodes: Callable[[], Sequence[NodeEntry]] = tuple
    fee: FeeShare = NO_FEE
    streams: Shelf = field(default_factory=Shelf)
    statements: Statements | None = None
    sessions: Sessions | None = None
    sealing: Sealing | None = None


class AdminServices(Protocol):
    """What the operator's own tools may ask a running node. Everything returned is JSON as it stands.

    ``metrics`` is Prometheus text. ``status`` holds at least peer_id, addresses, http, models, peers and version.
    ``ping`` raises ``UnknownPeer``, and the mesh's own error for a peer that cannot be reached. ``route`` says how this
    node would choose a provider now, for a model or one of the names that choose by themselves, and asks nobody.
    """

    def status(self) -> Mapping[str, Any]: ...

    def models(self) -> Sequence[Mapping[str, Any]]: ...

    def metrics(self) -> str: ...

    def peers(self) -> Sequence[Mapping[str, Any]]: ...

    async def ping(self, peer: str, count: int) -> Mapping[str, Any]: ...

    def route(self, model: str, request: ChatRequest, wishes: Wishes) -> Mapping[str, Any]: ...
