"""When to ask whom whether this node can be reached: soon after the start, after changes, and now and then.

Owns the clockwork around the verdict. Leaves one question to ``reach`` and the verdict to ``reachability``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
import trio

from peernode.mesh.addresses import host_of, is_loopback
from peernode.mesh.nat.reachability import Answer, Reach, Reachability, Verdict

log = structlog.get_logger(__name__)

HELPERS = 3
# The first peers connect together; a round soon after the first has more of them to ask.
GATHER_S = 0.5
UNSETTLED_S = 10.0
FEW_ANSWERS_S = 60.0
SETTLED_S = 600.0
ADDRESS_LOOK_S = 30.0


class Asker(Protocol):
    """Asks one peer; see ``ReachProtocol.ask``."""

    async def ask(self, helper: str, port: int) -> Answer | None: ...


class ReachRounds:
    """``helpers`` gives the peers to ask, ``direct`` this node's addresses; ``decided`` hears each new verdict."""

    def __init__(
        self,
        asker: Asker,
        *,
        helpers: Callable[[], Sequence[str]],
        direct: Callable[[], Sequence[str]],
        decided: Callable[[Verdict], None],
        rng: random.Random,
    ) -> None:
        self._asker = asker
        self._helpers = helpers
        self._direct = direct
        self._decided = decided
        self._rng = rng
        self._state = Reachability()
        self._port = 0
        self._answers = 0
        self._asking = False
        self._wake = trio.Event()

    @property
    def verdict(self) -> Verdict:
        """What is known now."""
        return self._state.verdict

    @property
    def port(self) -> int:
        """The TCP port that this node listens on for others; 0 when there is none."""
        return _listening_port(self._direct())

    def look(self) -> None:
        """A peer came: ask at once, if nobody was there to ask before. (A helper's own connection is not news.)"""
        if self._state.verdict.reach is Reach.UNKNOWN and not self._asking:
            self._wake.set()

    def ask_at(self, port: int) -> None:
        """Ask at once, at a ``port`` that a router opened for this node; 0 for the port it listens on."""
        self._port = port
        self._wake.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            self._wake = trio.Event()
            if self._helpers():
                self._asking = True
                await trio.sleep(GATHER_S)
                await self._round()
                self._asking = False
            await self._wait()

    async def _round(self) -> None:
        port = self._port or self.port
        helpers = list(self._helpers())
        self._rng.shuffle(helpers)
        answers: list[Answer] = []

        async def ask(helper: str) -> None:
            answer = await self._asker.ask(helper, port)
            if answer is not None:
                answers.append(answer)

        if port:
            async with trio.open_nursery() as nursery:
                for helper in helpers[:HELPERS]:
                    nursery.start_soon(ask, helper)
        self._answers = len(answers)
        log.debug("reach_round", answers=[(a.helper, a.host, a.port, a.reached) for a in answers])
        if self._state.take(answers, [host_of(address) for address in self._direct()]):
            self._decided(self._state.verdict)

    async def _wait(self) -> None:
        pause_s = SETTLED_S
        if self._state.unsettled:
            pause_s = UNSETTLED_S
        elif self._answers < 2:
            pause_s = FEW_ANSWERS_S
        until, before = trio.current_time() + pause_s * self._rng.uniform(0.8, 1.2), set(self._direct())
        while trio.current_time() < until and not self._wake.is_set():
            with trio.move_on_at(min(until, trio.current_time() + ADDRESS_LOOK_S)):
                await self._wake.wait()
            if set(self._direct()) != before:
                log.info("addresses_changed")
                self._state.forget()
                return


def _listening_port(direct: Sequence[str]) -> int:
    """The TCP port of the first address that others could use; 0 when there is none."""
    for address in sorted(direct, key=is_loopback):
        parts = address.split("/")
        if len(parts) > 4 and parts[3] == "tcp":
            return int(parts[4])
    return 0
