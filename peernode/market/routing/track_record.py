"""What this node has seen of one peer with one model: how fast it was, and how often it kept its word.

A prompt's rate is bounded by every first token (it was computed at least so fast), so waiting for others never counts
as slowness; what came later than rate and queue explain is expected again for some seconds (in the spirit of Finagle's
"peak EWMA"). Seconds per output token are a line over the jobs beside, by least squares. What a peer advertises stands
in until the first jobs were measured.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from peernode.market.routing.pace import SLOW_DECODE_TPS, SLOW_PREFILL_TPS, TYPICAL_JOB_S, Pace

# The advert counts like so many measured jobs.
SEED_JOBS = 0.5
# The share of a new sample in an average: a faster prompt shows what the peer can do, a slower one may have waited
# for others.
FASTER = 0.5
SLOWER = 0.2
QUIET_SHARE = 0.2
MEAN = 0.25
# What came later than expected is expected again, less and less: by a third after so many seconds.
DELAY_KEPT_S = 8.0
# Prompts with fewer new tokens than this tell of the way there, not of the speed.
TELLING_PROMPT = 32
TELLING_COMPLETION = 4
# How much longer a token takes for each job beside, as a share, before it was measured.
CROWDING = 0.05
FORGETTING = 0.9
# What is believed of a stranger: that nine of ten jobs come to an end, as if so many had been seen.
PRIOR_JOBS = 10.0
PRIOR_KEPT = 9.5
LATENESS_SAMPLES = 64
LATENESS_LEAST = 16
LEAST_S = 1e-6


@dataclass(frozen=True, slots=True)
class Sighting:
    """One job that came to its end. Times in seconds from the offer; ``beside``: jobs that ran there already.

    ``expected_first_s``: what the router had expected for the first token.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    first_token_s: float
    finished_s: float
    beside: int = 0
    queue_s: float = 0.0
    expected_first_s: float = 0.0
    at_s: float = 0.0


def _moved(average: float, sample: float) -> float:
    return average + (sample - average) * (SLOWER if sample > average else FASTER)


@dataclass(slots=True)
class TrackRecord:
    """Mutable; one for each (peer, model digest). ``pace`` gives what the router reads, made anew when it changed."""

    round_trip_s: float = 0.0
    jobs: int = 0
    kept: float = 0.0
    broken: float = 0.0
    wavered_s: float = float("-inf")
    _prefill_s: float = 0.0
    _prefills: int = 0
    _job_s: float = 0.0
    _delay_s: float = 0.0
    _delayed_s: float = float("-inf")
    _wait_s: float = 0.0
    _told_s: float = float("-inf")
    # Sums of a regression of seconds per output token on the jobs beside, with forgetting.
    _n: float = 0.0
    _x: float = 0.0
    _xx: float = 0.0
    _y: float = 0.0
    _xy: float = 0.0
    _lateness: deque[float] = field(default_factory=lambda: deque(maxlen=LATENESS_SAMPLES))
    _late_share: float = math.inf
    _pace: Pace | None = None
    _seed: tuple[int, int] = (0, 0)

    def saw(self, job: Sighting) -> None:
        """Learn from a finished job."""
        self.jobs += 1
        self.kept = self.kept * FORGETTING + 1
        self.broken *= FORGETTING
        new = job.prompt_tokens - job.cached_tokens
        if self._prefills:
            left = self.delay(job.at_s)
            unexplained = job.first_token_s - self.round_trip_s - job.queue_s - new * self._prefill_s
            self._delay_s = max(unexplained, left + (unexplained - left) * FASTER, 0.0)
            self._delayed_s = job.at_s
        if new >= TELLING_PROMPT:
            self._prompted(max(job.first_token_s - self.round_trip_s, LEAST_S), new, job.queue_s)
        if job.completion_tokens >= TELLING_COMPLETION:
            self._decoded((job.finished_s - job.first_token_s) / (job.completion_tokens - 1), job.beside)
        held = max(job.finished_s - job.queue_s, LEAST_S)
        self._job_s = self._job_s + (held - self._job_s) * MEAN if self._job_s else held
        if job.expected_first_s > 0:
            self._came(job.first_token_s / job.expected_first_s)
        self._pace = None

    def failed(self, now: float) -> None:
        """A job was taken and not brought to its end, by the peer's fault."""
        self.broken = self.broken * FORGETTING + 1
        self.kept *= FORGETTING
        self.wavered_s = now
        self._pace = None

    def outrun(self, waited_s: float, expected_s: float, at_s: float) -> None:
        """No first token came within ``waited_s``, instead of ``expected_s``, and then it was not needed any more."""
        self._delay_s = max(waited_s - expected_s, self.delay(at_s))
        self._delayed_s = at_s

    def told(self, wait_s: float, at_s: float) -> None:
        """The peer has said that the turn of a job comes in ``wait_s``; that of another would probably, too."""
        self._wait_s, self._told_s = wait_s, at_s

    def went(self, round_trip_s: float) -> None:
        """How long a frame took to the peer and back."""
        self.round_trip_s = _moved(self.round_trip_s, round_trip_s) if self.round_trip_s else round_trip_s
        self._pace = None

    def delay(self, now: float) -> float:
        """How much longer than explained a first token took lately, as far as that still counts."""
        wait_s = self._wait_s - (now - self._told_s) if self._wait_s else 0.0
        if self._delay_s <= 0:
            return max(wait_s, 0.0)
        return max(self._delay_s * math.exp((self._delayed_s - now) / DELAY_KEPT_S), wait_s)

    def pace(self, prefill_tps: int, decode_tps: int) -> Pace:
        """What to expect, with what the peer advertises (tokens per second) where it was not measured yet."""
        if self._pace is None or self._seed != (prefill_tps, decode_tps):
            self._seed = (prefill_tps, decode_tps)
            self._pace = self._made(1 / (prefill_tps or SLOW_PREFILL_TPS), 1 / (decode_tps or SLOW_DECODE_TPS))
        return self._pace

    def measured(self) -> tuple[float, float]:
        """(tokens per second of prompts, of output), as measured; 0 where nothing was."""
        decode_s = self._y / self._n if self._n else 0.0
        return (1 / self._prefill_s if self._prefills else 0.0), (1 / decode_s if decode_s else 0.0)

    def _prompted(self, took_s: float, new: int, queue_s: float) -> None:
        """A peer computes a prompt at least as fast as the whole wait tells; just so fast if nothing was before it."""
        bound = took_s / new
        if not self._prefills or bound < self._prefill_s:
            self._prefill_s = bound
        elif queue_s < QUIET_SHARE * took_s:
            self._prefill_s *= min(bound / self._prefill_s, 2.0) ** SLOWER
        self._prefills += 1

    def _decoded(self, sample: float, beside: int) -> None:
        self._n = self._n * FORGETTING + 1
        self._x = self._x * FORGETTING + beside
        self._xx = self._xx * FORGETTING + beside * beside
        self._y = self._y * FORGETTING + sample
        self._xy = self._xy * FORGETTING + sample * beside

    def _came(self, share: float) -> None:
        self._lateness.append(share)
        if len(self._lateness) >= LATENESS_LEAST:
            self._late_share = sorted(self._lateness)[math.ceil(len(self._lateness) * 0.95) - 1]

    def _made(self, seed_prefill_s: float, seed_decode_s: float) -> Pace:
        weight = SEED_JOBS / (SEED_JOBS + self._prefills)
        prefill_s = self._prefill_s + (seed_prefill_s - self._prefill_s) * weight
        decode_s, crowd_s = self._line(seed_decode_s)
        return Pace(
            prefill_s=max(prefill_s, LEAST_S),
            decode_s=max(decode_s, LEAST_S),
            crowd_s=crowd_s,
            round_trip_s=self.round_trip_s,
            job_s=self._job_s or TYPICAL_JOB_S,
            reliability=(self.kept + PRIOR_KEPT) / (self.kept + self.broken + PRIOR_JOBS),
            late_share=self._late_share,
        )

    def _line(self, seed_s: float) -> tuple[float, float]:
        """(seconds per token alone, more for each job beside): least squares, drawn towards the seed and its slope."""
        n, x, y = self._n + SEED_JOBS, self._x, self._y + SEED_JOBS * seed_s
        mean = y / n
        slope = CROWDING * mean
        # A slope counts as measured as far as the jobs beside differed.
        spread = self._xx - self._x * self._x / self._n if self._n else 0.0
        if spread > 0:
            measured = (self._xy - self._x * self._y / self._n) / spread
            slope = (max(measured, 0.0) * spread + slope * SEED_JOBS) / (spread + SEED_JOBS)
        return max(mean - slope * x / n, mean * 0.1), slope
