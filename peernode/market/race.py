"""Who is being asked for one part of an answer, and who may be asked beside them; the first to answer wins.

Owns the choice, by the pure rules of ``routing.second_thoughts``; leaves asking and letting go to ``dispatch``.
"""

from __future__ import annotations

from collections import deque

import trio

from peernode.chat.wishes import Wishes
from peernode.market.attempt import Attempt
from peernode.market.routing.rank import Ranked
from peernode.market.routing.second_thoughts import MOST_BESIDE, as_cheap, cost_with, moves, worth_asking

# A first token is late behind so many times the expected time while nothing better is known, and never before.
LATE_SHARE = 4.0
LATE_LEAST_S = 1.0
# Where only dearer ones are left to be asked beside a late one, it has to be so many times as late.
RESCUE = 3.0


class Race:
    """``order`` are those not asked yet, best first; ``alone``: nobody may be asked beside another."""

    def __init__(self, order: deque[Ranked], wishes: Wishes, *, alone: bool) -> None:
        self.order = order
        self.running: list[Attempt] = []
        self.winner: Attempt | None = None
        self.hedged = False
        self.changed = trio.Event()
        self._wishes = wishes
        self._alone = alone
        self._beside = 0
        self._comparing = False
        self._let_go: deque[Ranked] = deque()

    def note(self) -> None:
        """Something has changed."""
        self.changed.set()
        self.changed = trio.Event()

    def next(self) -> Ranked | None:
        """Whom to ask when nobody is asked; at last those that were let go for somebody who came to nothing."""
        self._comparing = False
        if self.order:
            return self.order.popleft()
        return self._let_go.popleft() if self._let_go else None

    def best(self) -> Attempt | None:
        """Who is expected to be done first, of those that are asked and have said when their turn comes."""
        spoken = [attempt for attempt in self.running if attempt.turn_s is not None]
        return min(spoken, key=_cost, default=None)

    def worse(self) -> list[Attempt]:
        """Whom to let go, once all that were asked because of a word have spoken themselves."""
        best = self.best()
        if not self._comparing or any(attempt.turn_s is None for attempt in self.running):
            return []
        self._comparing = False
        worse = [attempt for attempt in self.running if attempt is not best]
        self._let_go.extend(attempt.ranked for attempt in worse)
        return worse

    def second_thought(self) -> Ranked | None:
        """Whom else to ask, because of what the only one that is asked has said of its line; taken out of the order."""
        if self._alone or self.winner is not None or len(self.running) != 1 or self._beside == MOST_BESIDE:
            return None
        (asked,) = self.running
        if asked.turn_s is None or asked.begun or not moves(asked.ranked, self._wishes):
            return None
        other = as_cheap(asked.ranked, self.order, self._wishes)
        if other is None or not worth_asking(asked.ranked, asked.wait_s(), other):
            return None
        self.order.remove(other)
        self._beside += 1
        self._comparing = True
        return other

    def late_at(self) -> float:
        """When the first token of the only one that is asked is so late that another should be asked, too."""
        if self._alone or self.hedged or len(self.running) != 1 or not self.order:
            return float("inf")
        (asked,) = self.running
        cheap = as_cheap(asked.ranked, self.order, self._wishes) is not None
        return asked.sent_s + _lateness_s(asked) * (1.0 if cheap else RESCUE)

    def hedge(self) -> Ranked | None:
        """Whom to ask beside the late one; taken out of the order."""
        self.hedged = True
        if not self.order or not self.running:
            return None
        other = as_cheap(self.running[0].ranked, self.order, self._wishes) or self.order[0]
        self.order.remove(other)
        return other


def _cost(attempt: Attempt) -> float:
    return cost_with(attempt.ranked, attempt.wait_s())


def _lateness_s(attempt: Attempt) -> float:
    """Later than 95 % of its own first tokens, in seconds from the offer; what it said at first counts as expected."""
    terms = attempt.terms
    share = min(attempt.candidate.pace.late_share, LATE_SHARE)
    promised_s = attempt.promised_s + terms.round_trip_s + terms.prefill_s if attempt.promised_s else 0.0
    return max(max(terms.first_token_s, promised_s) * share, LATE_LEAST_S)
