"""How fast a peer is with a model, in the seconds that a router adds up."""

from __future__ import annotations

from dataclasses import dataclass

# What is assumed of somebody who advertises nothing and was never asked: a slow CPU.
SLOW_PREFILL_TPS = 100.0
SLOW_DECODE_TPS = 10.0
TYPICAL_JOB_S = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per prompt token and per output token, to a peer and back, and that a job holds a slot.

    ``crowd_s`` is added to ``decode_s`` for each job that runs beside. ``reliability``: the share of jobs that it
    brings to an end, 0 to 1, never 0. ``late_share``: 95 % of its first tokens came within so many times
    the expected time; infinite while too few were seen.
    """

    prefill_s: float = 1 / SLOW_PREFILL_TPS
    decode_s: float = 1 / SLOW_DECODE_TPS
    crowd_s: float = 0.0
    round_trip_s: float = 0.0
    job_s: float = TYPICAL_JOB_S
    reliability: float = 1.0
    late_share: float = float("inf")


UNKNOWN = Pace()
