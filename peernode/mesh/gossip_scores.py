"""GossipSub's peer scores, with parameters that bite, and what is done to a peer whose score fell too low.

In py-libp2p 0.8.1 all weights are 0 and all thresholds minus infinity. Of the parameters P4 works (a message that the
validator refuses), and P5 (floods of GRAFT, IHAVE and IWANT, equivocation); P1 and P2 are counted, P3 never is. Below
the publish threshold a peer's messages are dropped before their signature is checked, and it is sent none; below the
graylist threshold it is only kept from grafting. A disconnect wipes the score. So a peer that falls below the threshold
is put on pubsub's blacklist here, which a disconnect does not wipe, and reported. P1, P2, P6 and P7 stay off: time and
first deliveries must not buy forgiveness, there is no application score, and nodes behind one address are limited by
connections.
"""

from __future__ import annotations

import structlog
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.score import PeerScorer, ScoreParams, TopicScoreParams

from peernode.mesh.reports import Report, nobody

log = structlog.get_logger(__name__)

# Per heartbeat, a second: two bad messages a second may go on for ever, ten a second last three seconds.
DECAY = 0.9
GOSSIP_AT = -10.0
SHUT_OUT_AT = -20.0
# One graft too early costs 10, and happens between honest peers that reconnect.
BEHAVIOUR_FREE = 20.0
BLACKLISTED_S = 120.0


def score_params() -> ScoreParams:
    """The parameters to build ``GossipSub`` with."""
    return ScoreParams(
        p4_invalid_messages=TopicScoreParams(weight=1.0, cap=1000.0, decay=DECAY),
        p5_behavior_penalty_weight=1.0,
        p5_behavior_penalty_decay=DECAY,
        p5_behavior_penalty_threshold=BEHAVIOUR_FREE,
        publish_threshold=SHUT_OUT_AT,
        gossip_threshold=GOSSIP_AT,
        graylist_threshold=SHUT_OUT_AT,
        accept_px_threshold=0.0,
    )


class GossipScores:
    """Judges the forwarders of one topic. ``report`` is told of every peer that is graylisted."""

    def __init__(self, router: GossipSub, topic: str, *, report: Report = nobody) -> None:
        self._router = router
        self._topic = topic
        self._report = report
        self._until_s: dict[ID, float] = {}

    def blame(self, pubsub: Pubsub, forwarder: ID, reason: str, now_s: float) -> None:
        """Shut the forwarder out if this bad message is one too many. The library counts it when it is refused."""
        scorer: PeerScorer | None = self._router.scorer
        if scorer is None or forwarder in self._until_s:
            return
        if scorer.score(forwarder, [self._topic]) - 1.0 < SHUT_OUT_AT:
            self._shut_out(pubsub, forwarder, reason, now_s)

    def _shut_out(self, pubsub: Pubsub, peer: ID, reason: str, now_s: float) -> None:
        self._until_s[peer] = now_s + BLACKLISTED_S
        pubsub.add_to_blacklist(peer)
        log.warning("gossip_peer_graylisted", peer=str(peer), reason=reason)
        self._report(str(peer), f"gossip: {reason}", 1.0)

    def sweep(self, pubsub: Pubsub, now_s: float) -> None:
        """Shut out whose score fell without a message that was judged: floods of GRAFT, IHAVE and IWANT."""
        scorer: PeerScorer | None = self._router.scorer
        if scorer is None:
            return
        # Not the peers of pubsub: those are the ones that it sends to, and an attacker need not listen.
        penalties = (scorer.graft_flood_penalties, scorer.ihave_spam_penalties, scorer.iwant_spam_penalties)
        for peer in set().union(scorer.behavior_penalty, *penalties):
            if peer not in self._until_s and scorer.score(peer, [self._topic]) < SHUT_OUT_AT:
                self._shut_out(pubsub, peer, "floods of control messages", now_s)

    def count(self, forwarder: ID) -> None:
        """Count a bad message that the library refuses without counting it."""
        if self._router.scorer is not None:
            self._router.scorer.on_invalid_message(forwarder, self._topic)

    def forgive(self, pubsub: Pubsub, now_s: float) -> None:
        """Let those back in who have been shut out for long enough."""
        for peer in [peer for peer, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[peer]
            pubsub.remove_from_blacklist(peer)

    def graylisted(self) -> list[str]:
        """The peers whose gossip is dropped now."""
        return [str(peer) for peer in self._until_s]
