"""When the jobs that this provider has taken come to their turn: the lines of its models, and what it says of them.

A model that is not loaded is waited for by all of its line.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from peernode.chat.events import JobEvent, Waiting
from peernode.engine import EngineLoad
from peernode.market.models import ModelEngine
from peernode.market.waiting_line import WaitingLine
from peernode.wire.job_frames import LOADING, QUEUED

# How often it is said, and from which wait on it is worth saying.
WAIT_EVERY_S = 1.0
TELLING_S = 0.05


class Turn:
    """One job's place in the line of its model."""

    def __init__(self, line: WaitingLine, engine: ModelEngine, prompt_tokens: int) -> None:
        self._line, self._engine = line, engine
        line.joined(self, prompt_tokens)

    def waiting(self) -> Waiting | None:
        """How long it is until then, if that is worth a word."""
        load = self._engine.load()
        eta_s = load.load_s + self._line.turn_in(self, token_s=token_s(load))
        if eta_s < TELLING_S:
            return None
        return Waiting(LOADING if load.load_s else QUEUED, eta_s)

    def room_in(self) -> float:
        """When somebody who found no room should come again."""
        return self._engine.load().load_s + self._line.room_in()

    def begun(self) -> None:
        """Its first token is out."""
        self._line.begun(self, trio.current_time())

    def left(self) -> None:
        self._line.left(self, trio.current_time())


class Turns:
    """The lines of all models."""

    def __init__(self) -> None:
        self._lines: dict[ModelEngine, WaitingLine] = {}

    def join(self, engine: ModelEngine, prompt_tokens: int) -> Turn:
        """A place at the end of the line of one model."""
        line = self._lines.get(engine)
        if line is None:
            line = self._lines[engine] = WaitingLine(engine.load().slots)
        return Turn(line, engine, prompt_tokens)


def token_s(load: EngineLoad) -> float:
    """Seconds for a token of a prompt in the mean, those found in the cache included; 0 while nothing was measured."""
    seen = load.prefilled + load.reused
    return load.prefilled / seen / load.prefill_tps if seen and load.prefill_tps else 0.0


class Waits(Protocol):
    """What can be waited for: the events of a job, and a word about how long its turn will be."""

    def waiting(self) -> Waiting | None: ...

    async def __anext__(self) -> JobEvent: ...


async def next_event(
    work: Waits, tell: Callable[[Waiting], Awaitable[None]], *, at_once: bool, until: float = math.inf
) -> JobEvent | None:
    """The next event of a job that waits for its turn; None if none comes by ``until``.

    ``tell`` hears of the wait, ``at_once`` and then every second.
    """
    while True:
        if at_once and (waiting := work.waiting()) is not None:
            await tell(waiting)
        at_once = True
        due = trio.current_time() + WAIT_EVERY_S
        found: list[JobEvent] = []
        with trio.move_on_at(min(due, until)):
            found.append(await work.__anext__())
        if found or until <= due:
            return found[0] if found else None
