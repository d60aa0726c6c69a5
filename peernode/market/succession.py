"""Who goes on with an answer that broke off: whoever has exactly its model file, and when it is better to let it be.

Pure but for the view of the directory that is passed in. Owns the order of heirs; leaves asking them to ``dispatch``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from peernode.chat.errors import BadRequest, EngineCrashed, NoProvider, ProviderBusy
from peernode.chat.job import ChatJob
from peernode.market.candidates import Candidates
from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import demand_of
from peernode.market.routing.rank import Ranked, rank
from peernode.market.verdicts import Try

# Breaks in one answer after which it is given up; each of them was a provider that was lost in the middle.
MAX_BREAKS = 16
# What took so many engines down with it is not shown to a third.
MAX_CRASHES = 2
# A broken answer waits so long for an heir: whoever lives has renewed his lease by then, and a crashed engine is back.
HEIRS_S = 10.0
PAUSE_S = 0.5


def heirs(
    candidates: Candidates, job: ChatJob, lost: Candidate, tries: Sequence[Try], *, now: float, rng: random.Random
) -> deque[Ranked]:
    """Everybody with the file of ``lost``, best first; behind them whoever failed this answer, the latest at the end.

    Who is only busy has not failed. Who cannot read the request, or the answer so far, is not asked again. Where the
    client allows no other provider, ``lost`` itself is all there is: it may be back.
    """
    refused = {each.peer for each in tries if isinstance(each.error, BadRequest)}
    failed = {
        each.peer: place
        for place, each in enumerate(tries)
        if each.error is not None and not isinstance(each.error, (ProviderBusy, NoProvider))
    }
    wishes = replace(job.wishes, ignore=(*job.wishes.ignore, *refused))
    if not wishes.allow_fallbacks and not wishes.order:
        wishes = replace(wishes, only=(lost.peer,))
    found = candidates.for_model(lost.card.id, job.request, now=now)
    order = rank(demand_of(job.request, wishes, digest=lost.card.digest), found, now, rng).order
    return deque(sorted(order, key=lambda ranked: failed.get(ranked.candidate.peer, -1)))


def is_deadly(tries: Sequence[Try]) -> bool:
    """Whether the answer itself seems to be what kills engines."""
    return sum(isinstance(each.error, EngineCrashed) for each in tries) >= MAX_CRASHES
