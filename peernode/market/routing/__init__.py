"""The routing policy: which candidate for which job. Pure: no clock, no chance, no network of its own."""

from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import VISION, Demand, demand_of
from peernode.market.routing.filters import KEEPS_NOTHING, Excluded
from peernode.market.routing.pace import Pace
from peernode.market.routing.rank import Ranked, Ranking, rank

__all__ = [
    "KEEPS_NOTHING",
    "VISION",
    "Candidate",
    "Demand",
    "Excluded",
    "Pace",
    "Ranked",
    "Ranking",
    "demand_of",
    "rank",
]
