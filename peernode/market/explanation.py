"""A ranking as plain data for people and programs: the places, the terms behind them, and why others have none."""

from __future__ import annotations

from peernode.chat.route import Considered, LeftOut, Route
from peernode.market.routing import Ranking


def route_of(ranking: Ranking) -> Route:
    """Everybody in ``ranking``, best first; those left out in the order in which filters took them out."""
    return Route(
        tuple(
            Considered(ranked.candidate.peer, ranked.candidate.card.id, ranked.terms, ranked.cost_s)
            for ranked in ranking.order
        ),
        tuple(LeftOut(each.candidate.peer, each.candidate.card.id, each.reason) for each in ranking.excluded),
    )
