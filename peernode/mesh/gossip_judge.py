"""The judge of the peers that bring gossip: how much each may bring, and what happens to those whose score is too low.

Owns the budget of messages per neighbour and of all together, spent before anything is verified. Leaves scores and
blacklist to ``gossip_scores``, and what one originator may say to ``news_budget``. A message that is dropped for want
of budget is nobody's fault: many newcomers at once look alike, and sync brings their words later.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pubsub import Pubsub

from peernode.mesh.gossip_scores import GossipScores
from peernode.mesh.limits.token_bucket import KeyedBuckets, TokenBucket

# A message costs 3-11 ms of CPU here, and as much at every peer to whom it is passed on.
BROUGHT_PER_S = 10.0
BROUGHT_BURST = 100.0
BROUGHT_PER_S_BY_ALL = 25.0
BROUGHT_BURST_BY_ALL = 300.0
SWEEP_S = 1.0


class GossipJudge:
    """Judges the peers of one ``pubsub``; ``limited`` is told of each message that is dropped."""

    def __init__(self, pubsub: Pubsub, scores: GossipScores, *, limited: Callable[[str], None]) -> None:
        self._pubsub = pubsub
        self._scores = scores
        self._limited = limited
        self._all = TokenBucket(per_second=BROUGHT_PER_S_BY_ALL, burst=BROUGHT_BURST_BY_ALL)
        self._each = KeyedBuckets(per_second=BROUGHT_PER_S, burst=BROUGHT_BURST)

    def may_bring(self, forwarder: ID) -> bool:
        """Take one message out of the budgets; False to have it dropped unread."""
        now_s = trio.current_time()
        if self._each.take(str(forwarder), now_s) and self._all.take(now_s):
            return True
        self._limited("gossip too fast")
        return False

    def blame(self, forwarder: ID, reason: str) -> None:
        """Count what the library refuses without counting it; one too many shuts the peer out."""
        self._scores.blame(self._pubsub, forwarder, reason, trio.current_time())
        self._scores.count(forwarder)

    async def run(self) -> None:
        """Shut out whose score fell without a message of theirs, let back in who was out for long enough."""
        while True:
            await trio.sleep(SWEEP_S)
            now_s = trio.current_time()
            self._scores.sweep(self._pubsub, now_s)
            self._scores.forgive(self._pubsub, now_s)
