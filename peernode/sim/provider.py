"""A simulated provider: slots, a queue, prompts computed one after the other, answers in company, a prefix cache.

Rates follow what an engine with continuous batching does: prompts share the time for prefill, and each running answer
makes the others' tokens a little later. Who cancels is gone at once. A job costs three events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from peernode.market.routing.affinity import BLOCK_TOKENS
from peernode.market.waiting_line import WaitingLine
from peernode.sim.cache import Cache
from peernode.sim.clock import Clock
from peernode.sim.workload import EXPECTED_ANSWER


class Manner(Enum):
    """How a provider behaves."""

    HONEST = "honest"
    LIAR = "liar"  # advertises a hundred times its speed, and no load
    BLACK_HOLE = "black hole"  # takes jobs and answers none
    SLOW = "slow"  # became ten times slower than it says


# The share of a prompt in the mean of what need not be computed.
SHARE = 0.05


@dataclass(slots=True, eq=False)
class Run:
    """One job at one provider, and who is to be told. ``on_first`` gets the prompt tokens that were in the cache."""

    blocks: Sequence[bytes]
    prompt_tokens: int
    completion_tokens: int
    on_first: Callable[[int], None]
    on_done: Callable[[], None]
    on_lost: Callable[[], None]
    cancelled: bool = False
    cached_tokens: int = 0
    each_s: float = 0.0
    new_tokens: int = 0


@dataclass(slots=True, eq=False)
class Provider:
    """``prefill_s`` and ``decode_s`` per token, alone; ``crowd_s`` more for each job that runs beside."""

    name: str
    model: str
    clock: Clock
    prefill_s: float
    decode_s: float
    crowd_s: float
    slots: int
    queue_limit: int
    cache: Cache
    manner: Manner = Manner.HONEST
    alive: bool = True
    word: int = 0
    running: dict[Run, float] = field(default_factory=dict)
    queue: deque[Run] = field(default_factory=deque)
    slot_seconds: float = 0.0
    _prompts: deque[Run] = field(default_factory=deque)
    _computing: Run | None = None
    _computed_s: float = 0.0
    _missed: float = 0.5
    _line: WaitingLine = field(default_factory=lambda: WaitingLine(1))

    def __post_init__(self) -> None:
        self._line = WaitingLine(self.slots)

    def offer(self, run: Run) -> bool:
        """False when there is no room in the queue."""
        if self.manner is Manner.BLACK_HOLE:
            return True
        if len(self.running) >= self.slots and len(self.queue) >= self.queue_limit:
            return False
        self._line.joined(run, run.prompt_tokens)
        if len(self.running) < self.slots:
            self._start(run)
            self._compute()
        else:
            self.queue.append(run)
        return True

    def turn_in(self, run: Run) -> float:
        """What it says itself about how long the job will wait for its turn."""
        if self.manner in (Manner.LIAR, Manner.BLACK_HOLE):
            return 0.0
        return self._line.turn_in(run, token_s=self.prefill_s * self._missed)

    def again_in(self) -> float:
        """After how long it asks to be asked again, when it is full."""
        return self._line.room_in()

    def cancel(self, run: Run) -> None:
        """The job is not wanted any more."""
        run.cancelled = True
        self._line.left(run, self.clock.now)
        if run in self.queue:
            self.queue.remove(run)
        elif run in self.running:
            if run is self._computing:
                self._computing = None
            self._leave(run)
            self._compute()

    def die(self) -> None:
        """Every connection breaks."""
        self.alive = False
        lost = [*self.running, *self.queue]
        self.running.clear()
        self.queue.clear()
        for run in lost:
            if not run.cancelled:
                run.on_lost()

    def first_token_in(self, blocks: Sequence[bytes], prompt_tokens: int) -> float:
        """The truth about how long a job would wait for its first token."""
        new = max(prompt_tokens - self.cache.held(blocks) * BLOCK_TOKENS, 1)
        wait = max(self._computed_s - self.clock.now, 0.0) if self._computing is not None else 0.0
        wait += sum(run.new_tokens for run in self._prompts if not run.cancelled) * self.prefill_s
        before = len(self.queue) + 1 - (self.slots - len(self.running))
        if before > 0:
            wait += before * EXPECTED_ANSWER * (self.decode_s + self.crowd_s * (self.slots - 1)) / self.slots
        return wait + new * self.prefill_s

    def answer_in(self) -> float:
        """The truth about how long a typical answer would take from its first token on."""
        return EXPECTED_ANSWER * (self.decode_s + self.crowd_s * min(len(self.running), self.slots - 1))

    def _start(self, run: Run) -> None:
        self.running[run] = self.clock.now
        run.cached_tokens = min(self.cache.held(run.blocks) * BLOCK_TOKENS, run.prompt_tokens - 1)
        self.cache.take(run.blocks)
        run.new_tokens = run.prompt_tokens - run.cached_tokens
        self._missed += (run.new_tokens / run.prompt_tokens - self._missed) * SHARE
        self._prompts.append(run)

    def _compute(self) -> None:
        """The next prompt, if none is being computed."""
        while self._computing is None and self._prompts:
            run = self._prompts.popleft()
            if not run.cancelled:
                self._computing = run
                self._computed_s = self.clock.now + run.new_tokens * self.prefill_s
                self.clock.at(self._computed_s, partial(self._first, run))

    def _first(self, run: Run) -> None:
        if not self.alive or self._computing is not run:
            return
        self._computing = None
        self._line.begun(run, self.clock.now)
        run.each_s = self.decode_s + self.crowd_s * (len(self.running) - 1)
        self.clock.after(run.completion_tokens * run.each_s, lambda: self._done(run))
        self._compute()
        run.on_first(run.cached_tokens)

    def _done(self, run: Run) -> None:
        if not self.alive or run.cancelled:
            return
        self._line.left(run, self.clock.now)
        self._leave(run)
        self._compute()
        run.on_done()

    def _leave(self, run: Run) -> None:
        self.slot_seconds += self.clock.now - self.running.pop(run)
        while self.queue and len(self.running) < self.slots:
            waiting = self.queue.popleft()
            if not waiting.cancelled:
                self._start(waiting)
