"""Whether to ask another beside one that has said how long its line is. Pure.

Adverts are seconds old; what a provider says to an offer is of this moment. When that is much later than was expected,
the next in order is asked as well, each keeps its place in line, and the worse is let go as soon as both have spoken.
(Sparrow's late binding, Ousterhout et al. 2013, with a word about the wait instead of probes.)
"""

from __future__ import annotations

from peernode.market.routing.rank import Ranked

# Others asked because of a word, for one first token.
MOST_BESIDE = 3
# The other must be expected to be better by so much: what is known of it is older.
BETTER_SHARE = 1.3
BETTER_S = 0.3


def cost_with(ranked: Ranked, wait_s: float) -> float:
    """What ``rank`` would have said, had it known that the job waits there for ``wait_s``."""
    terms = ranked.terms
    expected = terms.expected_s + (wait_s - terms.queue_s - terms.load_s) / terms.reliability
    toll, begun = ranked.cost_s - terms.expected_s, terms.queue_s + terms.prefill_s
    return expected + (toll * (wait_s + terms.prefill_s) / begun if begun > 0 else 0.0)


def worth_asking(asked: Ranked, wait_s: float, other: Ranked) -> bool:
    """Whether ``other`` is probably better than ``asked``, which has said that the job's turn comes in ``wait_s``."""
    return cost_with(asked, wait_s) > other.cost_s * BETTER_SHARE + BETTER_S
