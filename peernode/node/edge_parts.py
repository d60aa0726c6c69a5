"""What the node's HTTP edge stands on: the services behind its routes, put together from the node's parts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from peernode.edge.image_fetcher import DomainFetcher, NoFetcher
from peernode.edge.services import EdgeServices, JobLimits, Readiness
from peernode.edge.sessions.session import Sessions
from peernode.edge.tools.plugins import installed_tools
from peernode.edge.tools.pricing_info import PricingInfo
from peernode.ledger import ReceiptRecord, ReceiptStore
from peernode.market.candidates import Candidates
from peernode.market.provider import Provider
from peernode.node.catalog import NetworkCatalog
from peernode.node.clients import Clients
from peernode.node.config import NodeConfig
from peernode.node.home import Home
from peernode.node.node_list import NodeList
from peernode.node.own_engines import OwnEngines
from peernode.node.session_files import SessionFiles
from peernode.node.statements import NodeStatements
from peernode.wire.identity import Identity


def edge_services(
    config: NodeConfig,
    *,
    home: Home,
    identity: Identity,
    store: ReceiptStore,
    clients: Clients,
    candidates: Candidates,
    readiness: NodeReadiness,
    nodes: NodeList,
    statements: NodeStatements,
) -> EdgeServices:
    """The services of both ports, the public one and the operator's."""
    catalog = NetworkCatalog(candidates, clock=time.time, fee=config.prices.fee)
    return EdgeServices(
        runner=clients.runner,
        catalog=catalog,
        receipts=_Receipts(store),
        ready=readiness,
        limits=JobLimits(config.limits.first_token_s, config.limits.job_s),
        images=DomainFetcher(domains) if (domains := config.image_domains) else NoFetcher(),
        peers=candidates.peers,
        accounts=clients.accounts,
        anonymous=config.access.anonymous,
        free_allowance=clients.free_allowance,
        tools=(PricingInfo(catalog), *installed_tools()),
        nodes=nodes,
        statements=statements,
        sessions=_sessions(config, home),
        sealing=identity,
        fee=config.prices.fee,
    )


class NodeReadiness:
    """A node is ready when some model can be asked through it; a provider, when its own models are loaded."""

    def __init__(self, engines: OwnEngines, provider: Provider, candidates: Candidates) -> None:
        self._engines = engines
        self._provider = provider
        self._candidates = candidates

    def __call__(self) -> Readiness:
        reasons = list(self._engines.missing())
        if self._provider.draining:
            reasons.append("the node is going away")
        elif not self._candidates.offerings():
            reasons.append("no model is on offer yet")
        return Readiness(not reasons, (*reasons, *self._engines.loading()))


class _Receipts:
    """The edge's ReceiptLookup; SQLite blocks, so it runs in a thread."""

    def __init__(self, store: ReceiptStore) -> None:
        self._store = store

    async def find(self, request_id: str) -> Sequence[ReceiptRecord]:
        return await trio.to_thread.run_sync(self._store.find, request_id)

    async def recent(self, limit: int) -> Sequence[ReceiptRecord]:
        return await trio.to_thread.run_sync(lambda: self._store.list(limit=limit))


def _sessions(config: NodeConfig, home: Home) -> Sessions | None:
    kept = config.sessions
    files = SessionFiles(home.sessions_folder, per_key=kept.per_key, days=kept.days, clock=time.time)
    return Sessions(files, busy_s=config.limits.job_s) if kept.per_key else None
