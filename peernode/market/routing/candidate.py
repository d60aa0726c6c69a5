"""Somebody who could run a job, as the router sees it: what it advertises, and what this node knows of it itself."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.market.routing.pace import UNKNOWN, Pace
from peernode.wire.advert import ModelCard


@dataclass(frozen=True, slots=True)
class Candidate:
    """One peer with one model. ``slots``, ``free_slots`` and ``queued`` are its own word, some seconds old.

    ``in_flight`` counts this node's own jobs there, ``prefill_ahead`` their prompt tokens whose answers have not begun.
    ``pace`` is what to expect of it in seconds. ``hit_tokens``: the prompt tokens that are probably in its cache.
    ``shunned`` says why it must not be asked now (an open circuit, a spent line of credit), if so. ``wavered_s``: when
    it last failed a job of ours, on the clock that ``rank`` is given. ``load_s``: what loading the model would take
    first. ``delay_s``: how much later than explained its first tokens came of late. ``ahead``: jobs there now, as
    estimated by ``Loads``; negative where only the peer's own word is known.
    """

    peer: str
    card: ModelCard
    slots: int
    free_slots: int
    queued: int
    in_flight: int = 0
    local: bool = False
    prefill_ahead: int = 0
    pace: Pace = UNKNOWN
    hit_tokens: int = 0
    shunned: str = ""
    wavered_s: float = float("-inf")
    load_s: float = 0.0
    delay_s: float = 0.0
    ahead: float = -1.0
