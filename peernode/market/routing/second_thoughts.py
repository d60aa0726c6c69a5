"""Whom to ask beside one that has not answered yet: because of what it said of its line, or because it is late. Pure.

Adverts are seconds old; what a provider says to an offer is of this moment. When that is much later than was expected,
the next in order is asked as well, each keeps its place in line, and the worse is let go as soon as both have spoken.
(Sparrow's late binding, Ousterhout et al. 2013, with a word about the wait instead of probes.)
"""

from __future__ import annotations

from collections.abc import Iterable

from peernode.chat.wishes import AVOID, LATENCY, THROUGHPUT, TIME, Wishes
from peernode.market.routing.rank import Ranked

# Others asked because of a word, for one first token.
MOST_BESIDE = 3
# The other must be expected to be better by so much: what is known of it is older.
BETTER_SHARE = 1.3
BETTER_S = 0.3
# Clients that sort so pay for speed; nobody else is made to pay more than was chosen, unless the answer is in danger.
_SPEED = frozenset((THROUGHPUT, LATENCY, TIME))


def cost_with(ranked: Ranked, wait_s: float) -> float:
    """What ``rank`` would have said, had it known that the job waits there for ``wait_s``."""
    terms = ranked.terms
    expected = terms.expected_s + (wait_s - terms.queue_s - terms.load_s) / terms.reliability
    toll, begun = ranked.cost_s - terms.expected_s, terms.queue_s + terms.prefill_s
    return expected + (toll * (wait_s + terms.prefill_s) / begun if begun > 0 else 0.0)


def worth_asking(asked: Ranked, wait_s: float, other: Ranked) -> bool:
    """Whether ``other`` is probably better than ``asked``, which has said that the job's turn comes in ``wait_s``."""
    return cost_with(asked, wait_s) > other.cost_s * BETTER_SHARE + BETTER_S


def moves(asked: Ranked, wishes: Wishes) -> bool:
    """Whether a client with these wishes wants to be moved at all by how long a line is."""
    return wishes.sort != THROUGHPUT and asked.candidate.peer not in wishes.order


def as_cheap(asked: Ranked, others: Iterable[Ranked], wishes: Wishes) -> Ranked | None:
    """The first of ``others`` that may be asked beside ``asked`` without charging the client more than it chose.

    ``others`` have passed the same filters; whoever avoids models that have to be loaded gets none of them here.
    """
    for other in others:
        dearer = wishes.sort not in _SPEED and other.terms.credits > asked.terms.credits
        cold = wishes.cold == AVOID and other.candidate.load_s > 0
        if not dearer and not cold:
            return other
    return None
