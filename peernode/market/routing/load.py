"""How many jobs a peer has now, from what it said seconds ago and what this node itself did since.

Whoever reads the same adverts does as we do: when our own jobs at a peer have grown by one since its last word, all
jobs there have probably grown by as many as there are of us. How many that is shows in every word: the jobs that the
peer has, against ours. So nobody needs fresher adverts in order not to run where everybody runs.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_PEERS = 8192
# The share of a new word in the estimate of how many times all jobs are ours.
SHARE = 0.02
MOST_TIMES = 64.0


class Loads:
    """Remembers, for each peer, how many jobs of ours it had when it last spoke."""

    def __init__(self) -> None:
        self._words: OrderedDict[str, tuple[int, int]] = OrderedDict()
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
            self._words[peer] = known = word, ours
            self._words.move_to_end(peer)
            if len(self._words) > MAX_PEERS:
                self._words.popitem(last=False)
            if ours:
                self._all += (max(said, ours) - self._all) * SHARE
                self._ours += (ours - self._ours) * SHARE
        return max(float(ours), said + (ours - known[1]) * self.times)
