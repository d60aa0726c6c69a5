"""The composition root: builds a node's parts from its configuration, runs them in one nursery, and drains on a signal.

Knows which part needs which, and nothing of how any of them works.
"""

from __future__ import annotations

import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
import trio

from peernode.edge.credit_routes import credit_router
from peernode.edge.log_routes import log_router
from peernode.edge.recovery_routes import recovery_router
from peernode.ledger import Books, ReceiptStore
from peernode.market.advertising import Advertiser
from peernode.market.candidates import Candidates
from peernode.market.coordinator import Coordinator
from peernode.market.desk import Ordered, ReceiptDesk
from peernode.market.experience import Experience
from peernode.market.fitting import FittingRunner
from peernode.market.local import LocalRunner
from peernode.market.models import OwnModels
from peernode.market.provider import Provider
from peernode.market.remote import RemoteRunner
from peernode.market.routing import Candidate
from peernode.market.service import JobService
from peernode.market.streaming import Producer
from peernode.mesh import Mesh
from peernode.node.admin_view import AdminView
from peernode.node.clients import Clients
from peernode.node.config import NodeConfig
from peernode.node.credit import NodeCredit
from peernode.node.edge_parts import NodeReadiness, edge_services
from peernode.node.home import Home
from peernode.node.http_ports import HttpPorts
from peernode.node.keyfile import load_or_create
from peernode.node.node_list import NodeList
from peernode.node.own_engines import OwnEngines
from peernode.node.own_log import OwnLog, check_log
from peernode.node.peer_news import tell_peer_news
from peernode.node.recovery import NodeRecovery
from peernode.node.statements import NodeStatements
from peernode.telemetry import configure_logging
from peernode.wire.identity import Identity
from peernode.wire.job_frames import PROTOCOL as JOB_PROTOCOL

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def serve(config: NodeConfig) -> None:
    """Run a node until SIGTERM or SIGINT, then drain. Raises PeernodeError when it cannot start."""
    configure_logging(style=config.log_format, level=config.log_level)
    home = Home(config.home)
    with home.occupied():
        identity = load_or_create(home.key_file)
        # Every task of the node starts from this context, so every line says whose it is.
        structlog.contextvars.bind_contextvars(node=identity.peer_id)
        store = ReceiptStore.open(config.ledger_url or home.ledger_file, own=identity.peer_id)
        try:
            Books(store.database).check()
            check_log(store.database)
            await Node(config, home=home, identity=identity, store=store).run()
        except BaseExceptionGroup as group:
            raise _only(group) from None
        finally:
            home.remove_admin()
            store.close()


class Node:
    """All parts of one node, built but not yet running."""

    def __init__(self, config: NodeConfig, *, home: Home, identity: Identity, store: ReceiptStore) -> None:
        rng = random.Random(secrets.randbits(128))
        network = config.network
        self._config = config
        self._engines = OwnEngines(config, rng=rng)
        models = OwnModels(self._engines.models)
        self._mesh = Mesh(
            identity=identity,
            network=network,
            listen=config.listen,
            join=config.join,
            clock_ms=_now_ms,
            rng=rng,
            settings=config.mesh.settings(),
            state=home.path,
        )
        self._credit = NodeCredit(
            config.credit,
            identity=identity,
            network=network,
            database=store.database,
            mesh=self._mesh,
            clock_ms=_now_ms,
        )
        self._provider = Provider(
            identity=identity,
            network=network,
            models=models,
            store=store,
            clock_ms=_now_ms,
            credit=self._credit.lines,
        )
        jobs = JobService(provider=self._provider, store=store, clock_ms=_now_ms)
        self._mesh.handle(JOB_PROTOCOL, jobs.handle)
        self._candidates = Candidates(
            peer_id=identity.peer_id,
            directory=self._mesh.directory,
            own=models,
            accepting=lambda: not self._provider.draining,
            experience=Experience(
                rng=rng,
                salt=secrets.token_bytes(16),
                round_trip=self._mesh.round_trip_s,
                affine=config.routing.affinity,
                hedges=config.routing.hedge,
                cold=config.routing.cold,
                repute=self._credit.repute,
            ),
        )
        self._desk = ReceiptDesk(
            identity=identity,
            store=store,
            clock_ms=_now_ms,
            took=self._credit.lines.took,
            refused=self._credit.repute.failed,
        )
        self._identity = identity
        self._coordinator = Coordinator(
            identity=identity, network=network, candidates=self._candidates, runner_for=self._runner_for, rng=rng
        )
        self._clients = Clients(
            config.access,
            database=store.database,
            runner=FittingRunner(self._coordinator),
            candidates=self._candidates,
            clock_ms=_now_ms,
            kept=self._desk.parts.pending_credits,
            fee=config.prices.fee,
        )
        self._recovery = NodeRecovery(
            config.recovery,
            mesh=self._mesh,
            store=store,
            desk=self._desk,
            jobs=jobs,
            rng=rng,
            clock_ms=_now_ms,
            release=self._clients.release,
            running=self._coordinator.requests.__contains__,
        )
        self._log = OwnLog(
            store.database,
            identity=identity,
            network=network,
            mesh=self._mesh,
            clock_ms=_now_ms,
            shun=self._candidates.experience.breakers.banish,
        )
        self._advertiser = Advertiser(
            identity=identity,
            network=network,
            mesh=self._mesh,
            models=models,
            changed=self._news,
            clock_ms=_now_ms,
            log=self._log.keeper,
        )
        self._admin = AdminView(
            network=network,
            home=str(home.path),
            mesh=self._mesh,
            engines=self._engines,
            candidates=self._candidates,
            provider=self._provider,
            coordinator=self._coordinator,
            rng=rng,
            clock=time.time,
            credit_note=self._credit.view.note_of,
            log=self._log,
        )
        services = edge_services(
            config,
            home=home,
            identity=identity,
            store=store,
            clients=self._clients,
            candidates=self._candidates,
            readiness=NodeReadiness(self._engines, self._provider, self._candidates),
            nodes=NodeList(self._mesh, models, clock=time.time),
            statements=NodeStatements(identity, network=network, models=models, clock_ms=_now_ms),
        )
        self._http = HttpPorts(
            config,
            home=home,
            services=services,
            clients=self._clients,
            admin=self._admin,
            further=[recovery_router(self._recovery), credit_router(self._credit.view), log_router(self._log)],
        )

    async def run(self) -> None:
        """Start everything, wait for a signal, drain, stop. Raises ExceptionGroup of whatever a part could not do."""
        stopping, stop_http = trio.Event(), trio.Event()
        for number in STOP_SIGNALS:
            # What the receiver puts back when it is done: a second SIGTERM must not turn the exit into a death.
            signal.signal(number, signal.SIG_IGN)
        with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_heed, signals, stopping, nursery.cancel_scope)
                await self._run_parts(nursery, stopping, stop_http)
                nursery.cancel_scope.cancel()
        log.info("node_stopped")

    async def _run_parts(self, nursery: trio.Nursery, stopping: trio.Event, stop_http: trio.Event) -> None:
        await trio.to_thread.run_sync(self._clients.check)
        await nursery.start(self._mesh.run)
        nursery.start_soon(self._engines.run)
        nursery.start_soon(self._advertiser.run)
        nursery.start_soon(self._credit.run)
        nursery.start_soon(self._log.run)
        nursery.start_soon(self._recovery.run)
        nursery.start_soon(tell_peer_news, self._mesh.directory, self._mesh.peer_id)
        async with trio.open_nursery() as servers:
            await self._http.listen(servers, stop_http)
            log.info(
                "node_started",
                peer_id=self._mesh.peer_id,
                network=self._config.network,
                addresses=self._mesh.addresses(),
                http=self._admin.http,
                models=[engine.model_id for engine in self._engines.engines],
            )
            await stopping.wait()
            await self._drain()
            stop_http.set()

    async def _news(self) -> None:
        """Return when there is something that others should hear of this node at once."""
        async with trio.open_nursery() as nursery:

            async def first(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self._engines.changed)
            nursery.start_soon(first, self._mesh.addresses_changed)

    async def _drain(self) -> None:
        """Leave the directory, take no new jobs, and let running ones end for up to ``drain_s``."""
        running = self._coordinator.jobs.running + self._provider.jobs.running
        log.info("draining", jobs=running, at_most_s=self._config.drain_s)
        self._provider.draining = self._coordinator.draining = True
        await self._advertiser.leave()
        with trio.move_on_after(self._config.drain_s) as limit:
            await self._coordinator.jobs.wait_idle()
            await self._provider.jobs.wait_idle()
        if limit.cancelled_caught:
            log.warning("drain_cut_short", jobs=self._coordinator.jobs.running + self._provider.jobs.running)

    def _runner_for(self, candidate: Candidate, ordered: Ordered) -> Producer:
        if candidate.local:
            return LocalRunner(provider=self._provider, desk=self._desk, ordered=ordered)
        return RemoteRunner(identity=self._identity, mesh=self._mesh, desk=self._desk, ordered=ordered)


async def _heed(signals: AsyncIterator[int], stopping: trio.Event, everything: trio.CancelScope) -> None:
    """The first SIGTERM or SIGINT sets ``stopping``; a second one does not wait for the drain."""
    async for number in signals:
        if stopping.is_set():
            log.warning("stopping_now", signal=signal.Signals(number).name)
            everything.cancel()
            return
        log.info("signal_received", signal=signal.Signals(number).name)
        stopping.set()


def _only(error: BaseException) -> BaseException:
    """The one exception inside nested groups, or the group if there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
