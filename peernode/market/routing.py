"""Which provider first: a pure function from candidates to an order, with the terms that made it.

Candidates come from live adverts and this node's own engines; own jobs in flight count at once, since adverts lag.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.job_request import JobRequest
from peernode.wire.advert import EMBEDDINGS, ModelCard

VISION = "vision"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who could run the job. ``in_flight`` counts this node's own jobs there."""

    peer: str
    card: ModelCard
    slots: int
    free_slots: int
    queued: int
    in_flight: int
    local: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What put a candidate where it is: jobs that would be ahead of ours, then distance, then chance."""

    ahead: int
    remote: int
    chance: float


def able(candidates: Sequence[Candidate], request: JobRequest) -> list[Candidate]:
    """Those whose model can do what the request asks for; whoever shows images needs one that sees.

    A model makes embeddings or it chats, never both.
    """
    embeds = isinstance(request, EmbeddingRequest)
    candidates = [candidate for candidate in candidates if (EMBEDDINGS in candidate.card.features) == embeds]
    if isinstance(request, EmbeddingRequest):
        return candidates
    shows_images = any(message.images for message in request.messages)
    return [candidate for candidate in candidates if not shows_images or VISION in candidate.card.features]


def rank(candidates: Sequence[Candidate], rng: random.Random) -> list[tuple[Candidate, Terms]]:
    """Best first. A candidate's load is the larger of what it advertised and what we have running there."""
    scored = [(candidate, _terms(candidate, rng)) for candidate in candidates]
    return sorted(scored, key=lambda pair: (pair[1].ahead, pair[1].remote, pair[1].chance))


def _terms(candidate: Candidate, rng: random.Random) -> Terms:
    busy = max(candidate.slots - candidate.free_slots, candidate.in_flight)
    # Within its slots a provider decodes all sequences together: the fewer there are, the faster each is.
    return Terms(ahead=busy + candidate.queued, remote=0 if candidate.local else 1, chance=rng.random())
