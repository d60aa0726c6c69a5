"""How many jobs a peer has now, from what it said seconds ago and what this node itself did since.

Whoever reads the same adverts does as we do: when our own jobs at a peer have grown by one since its last word, all
jobs there have probably grown by as many as there are of us. How many that is shows in every word: the jobs that the
peer has, against ours. So nobody needs fresher adverts in order not to run where everybody runs. Who says again and
again that it has fewer jobs than ours alone is not believed.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_PEERS = 8192
# The share of a new word in the estimate of how many times all jobs are ours.
SHARE = 0.02
MOST_TIMES = 64.0
# A word that leaves out so many of our own jobs is wrong; fewer may have been on the way.
LEFT_OUT = 2
# The share of a new word in the doubt about a peer, and the doubt from which its load is taken to be ours times all.
DOUBT_SHARE = 0.3
DOUBTED = 0.33


class Loads:
    """Remembers, for each peer, how many jobs of ours it had when it last spoke."""

    def __init__(self) -> None:
        self._words: OrderedDict[str, tuple[int, int, float]] = OrderedDict()
        self._all = 1.0
        self._ours = 1.0

    @property
    def times(self) -> float:
        """All jobs at the peers of this node, for one of its own; at least one."""
        return min(max(self._all / self._ours, 1.0), MOST_TIMES)

    def of(self, peer: str, word: int, said: int, ours: int) -> float:
        """Jobs at ``peer`` now, which said ``said`` in its word number ``word``; ``ours`` of this node run there."""
        known = self._words.get(peer)
        if known is None or known[0] != word:
            doubt = known[2] if known else 0.0
            doubt += ((said + LEFT_OUT <= ours) - doubt) * DOUBT_SHARE
            self._words[peer] = known = word, ours, doubt
            self._words.move_to_end(peer)
            if len(self._words) > MAX_PEERS:
                self._words.popitem(last=False)
            if ours:
                self._all += (max(said, ours) - self._all) * SHARE
                self._ours += (ours - self._ours) * SHARE
        if known[2] > DOUBTED:
            return max(float(said), ours * self.times)
        return max(float(ours), said + (ours - known[1]) * self.times)
