"""libp2p 0.8.1: a pubsub subscription queues 32 messages and drops the rest, so a short burst loses adverts.

Mended by a queue of 4096; a message is at most 64 KiB, and the validator bounds what enters.
"""

from __future__ import annotations

from libp2p.pubsub import pubsub

DEPTH = 4096


def mend() -> None:
    """Deepen the queue between pubsub and its subscriber."""
    pubsub.SUBSCRIPTION_CHANNEL_SIZE = DEPTH
