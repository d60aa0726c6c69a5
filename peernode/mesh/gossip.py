"""News by GossipSub: a node joined, changed or is leaving, told to everyone at once.

Owns the pubsub recipe for libp2p 0.8.1 and the verdict on each message before it is passed on. Leaves renewals to
``sync`` (one pubsub message costs every node 3-11 ms of CPU), and the rules of leases to ``leases``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
import trio
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb.rpc_pb2 import Message
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from peernode.mesh.directory import Directory
from peernode.mesh.gossip_judge import GossipJudge
from peernode.mesh.gossip_scores import GossipScores, score_params
from peernode.mesh.hardening import pubsub_conduct
from peernode.mesh.host import MAX_CONNECTIONS, StartSignal
from peernode.mesh.leases import Change
from peernode.mesh.news_budget import NewsBudget
from peernode.mesh.reports import Report, nobody
from peernode.mesh.traffic import Flow
from peernode.wire.advert import MAX_ADVERT_BYTES
from peernode.wire.errors import WireError

log = structlog.get_logger(__name__)

OLD = "old"
MESHSUB = (TProtocol("/meshsub/1.1.0"), TProtocol("/meshsub/1.0.0"))  # 1.2 doubles the CPU for nothing here


def topic_of(network: str) -> str:
    """The pubsub topic on which the adverts of a network travel."""
    return f"/peernode/{network}/adverts/1"


class Gossip:
    """Pubsub on one host, for the adverts of one network."""

    def __init__(
        self,
        host: BasicHost,
        *,
        network: str,
        directory: Directory,
        flow: Flow | None = None,
        report: Report = nobody,
        limited: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._topic = topic_of(network)
        self._directory = directory
        self._budget = NewsBudget()
        self._own = host.get_id()
        self._flow = flow or Flow()
        self._router = GossipSub(
            protocols=list(MESHSUB),
            degree=6,
            degree_low=4,
            degree_high=MAX_CONNECTIONS,  # pruning below the number of connected peers loses messages
            heartbeat_interval=1,
            time_to_live=60,
            gossip_window=3,
            gossip_history=5,
            score_params=score_params(),
            spam_protection_enabled=False,  # it counts per forwarder; NewsBudget counts per originator
            eclipse_protection_enabled=False,
            adaptive_gossip_enabled=False,
        )
        self.scores = GossipScores(self._router, self._topic, report=report)
        self._pubsub = Pubsub(
            host,
            self._router,
            strict_signing=True,
            seen_ttl=120,
            max_inbound_rpc_size=1 << 20,
            allowed_topics={self._topic},
            validation_timeout=5.0,
            max_subscriptions_per_peer=100,
        )
        # The library starts at the second of the clock: a node that restarts would repeat numbers and go unheard.
        self._pubsub.counter = time.time_ns()
        self._pubsub.set_topic_validator(self._topic, self._accept, False)
        self._judge = GossipJudge(self._pubsub, self.scores, limited=limited)
        pubsub_conduct.appoint(self._pubsub, self._judge)

    async def run(self, *, task_status: StartSignal = trio.TASK_STATUS_IGNORED) -> None:
        """Take part in gossip until cancelled."""
        async with background_trio_service(self._pubsub), background_trio_service(self._router):
            await self._pubsub.wait_until_ready()
            subscription = await self._pubsub.subscribe(self._topic)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._judge.run)
                async for _ in subscription:
                    pass  # taken in by the validator already; a subscription is what makes peers send to us
                nursery.cancel_scope.cancel()

    async def publish(self, raw: bytes) -> None:
        """Tell every subscribed peer."""
        self._flow.sent(len(raw))
        await self._pubsub.publish(self._topic, raw)

    def _accept(self, forwarder: ID, message: Message) -> bool:
        """Take in an advert; True when it deserves to be passed on. Runs for our own messages too."""
        if forwarder != self._own:
            self._flow.received(len(message.data))
        originator = str(ID(message.from_id))
        reason = self._take(originator, message.data)
        if reason and reason != OLD:  # what is old comes from slow peers, too
            log.debug("news_refused", reason=reason, originator=originator, forwarder=str(forwarder))
            if forwarder != self._own:
                self.scores.blame(self._pubsub, forwarder, reason, trio.current_time())
        return not reason

    def _take(self, originator: str, raw: bytes) -> str:
        """The reason why this is not to be passed on; empty if it is."""
        if len(raw) > MAX_ADVERT_BYTES:
            return "too large"
        if not self._budget.spend(originator, trio.current_time()):
            return "too much news"
        try:
            signed, change = self._directory.offer_raw(raw)
        except WireError as error:
            return error.code
        if signed.advert.peer != originator:
            return "published by another"  # an old advert of somebody else, published anew
        newest = isinstance(change, Change) or signed.advert.seq == self._directory.latest_seq(originator)
        return "" if newest else OLD
