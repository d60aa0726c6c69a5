"""A node's open parts are resolved: at start, when their other party is there again, and with pauses that grow.

Owns when whom is asked; leaves what is said to ``service``. Everything may be done again, at any time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
import trio

from peernode.errors import PeernodeError
from peernode.ledger.open_jobs import GIVEN_UP, OpenJob, PartKey
from peernode.market.recovery.service import ReceiptService

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
# A coordinator claims as soon as it can; a provider that would ask leaves it that chance.
PROVIDERS_PATIENCE_S = 3.0
# Peers that are asked at the same time; what is open with one of them is asked in turn.
AT_ONCE = 8
GIVE_UP_S = 7 * 86_400.0
LOOK_FOR_OLD_S = 600.0
OPEN, UNREACHABLE = "open", "unreachable"


class Peers(Protocol):
    """Who is there now, and when that changes."""

    def here(self) -> Iterable[str]: ...

    async def changed(self) -> None: ...


@dataclass(slots=True)
class _Due:
    """When a part is looked at next, on trio's clock, and the pause after that."""

    at: float
    pause_s: float = FIRST_PAUSE_S
    asking: bool = False


@dataclass(slots=True)
class Outcome:
    """What a look at an open part came to."""

    key: PartKey
    outcome: str
    cause: str = ""


@dataclass(slots=True)
class _Agenda:
    """All open parts whose conversation is over."""

    due: dict[PartKey, _Due] = field(default_factory=dict)
    changed: trio.Event = field(default_factory=trio.Event)

    def add(self, key: PartKey, at: float) -> None:
        self.due[key] = _Due(at)
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


class Recovery:
    """``release(request_id)`` gives back what is held for a request beyond what is still open; it may block.

    ``running(request_id)`` says whether this node still answers a request, which then releases by itself.
    """

    def __init__(
        self,
        service: ReceiptService,
        peers: Peers,
        *,
        rng: random.Random,
        clock_ms: Callable[[], int],
        give_up_s: float = GIVE_UP_S,
        release: Callable[[str], object] = lambda request_id: None,
        running: Callable[[str], bool] = lambda request_id: False,
    ) -> None:
        self._service = service
        self._peers = peers
        self._rng = rng
        self._clock_ms = clock_ms
        self._give_up_s = give_up_s
        self._release, self._running = release, running
        self._agenda = _Agenda()
        self._closed: set[str] = set()
        self._slots = trio.CapacityLimiter(AT_ONCE)
        service.ordered.on_broken = self._ordered_broke
        service.provided.on_broken = self._provided_broke
        service.ordered.on_closed = self._ordered_closed
        service.provided.on_closed = self._provided_closed

    async def run(self) -> None:
        """Resolve until cancelled."""
        for job in await trio.to_thread.run_sync(self._service.ordered.jobs.all):
            if job.state != GIVEN_UP and not self._is_live(job.key):
                self._agenda.add(job.key, trio.current_time())
        if self._agenda.due:
            log.info("parts_open", count=len(self._agenda.due))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_peers)
            nursery.start_soon(self._give_up_old)
            while True:
                self._start_due(nursery)
                with trio.move_on_at(self._next_at()):
                    await self._agenda.changed.wait()
                await self._release_closed()

    async def look(self) -> list[Outcome]:
        """Ask about every open part now, whoever is there; what came of each."""
        outcomes: list[Outcome] = []
        by_peer: dict[str, list[PartKey]] = {}
        for job in await trio.to_thread.run_sync(self._service.ordered.jobs.all):
            if job.state == GIVEN_UP or self._is_live(job.key):
                continue
            by_peer.setdefault(job.key.peer, []).append(job.key)
            self._agenda.due.setdefault(job.key, _Due(trio.current_time()))

        async def ask(keys: list[PartKey]) -> None:
            outcomes.extend([await self._resolve(key) for key in keys])

        async with trio.open_nursery() as nursery:
            for keys in by_peer.values():
                nursery.start_soon(ask, keys)
        await self._release_closed()
        return outcomes

    async def open_parts(self) -> list[Mapping[str, Any]]:
        """Every open part as plain values, those given up included."""
        return [_row(job, live=self._is_live(job.key)) for job in await trio.to_thread.run_sync(self._jobs)]

    def _jobs(self) -> list[OpenJob]:
        return list(self._service.ordered.jobs.all())

    def _ordered_broke(self, key: PartKey) -> None:
        self._agenda.add(key, trio.current_time())

    def _provided_broke(self, key: PartKey) -> None:
        self._agenda.add(key, trio.current_time() + PROVIDERS_PATIENCE_S)

    def _ordered_closed(self, key: PartKey) -> None:
        self._agenda.due.pop(key, None)
        if not self._running(key.request_id):
            self._closed.add(key.request_id)
            self._agenda.wake()

    def _provided_closed(self, key: PartKey) -> None:
        self._agenda.due.pop(key, None)

    def _is_live(self, key: PartKey) -> bool:
        return key in self._service.ordered.live or self._service.provided.is_running(key)

    def _start_due(self, nursery: trio.Nursery) -> None:
        now, here = trio.current_time(), set(self._peers.here())
        by_peer: dict[str, list[PartKey]] = {}
        for key, due in self._agenda.due.items():
            if due.at <= now and not due.asking and key.peer in here:
                due.asking = True
                by_peer.setdefault(key.peer, []).append(key)
        for keys in by_peer.values():
            nursery.start_soon(self._ask_all, keys)

    async def _ask_all(self, keys: list[PartKey]) -> None:
        async with self._slots:
            for place, key in enumerate(keys):
                outcome = await self._resolve(key)
                if outcome.outcome == UNREACHABLE:
                    for other in keys[place + 1 :]:
                        self._put_off(other)
                    break
        self._agenda.wake()

    async def _resolve(self, key: PartKey) -> Outcome:
        try:
            came = await self._service.resolve(key)
        except PeernodeError as err:
            self._put_off(key)
            log.info("part_stays_open", request_id=key.request_id, part=key.part, peer=key.peer, reason=str(err))
            return Outcome(key, UNREACHABLE if err.code in _GONE else OPEN, str(err))
        self._agenda.due.pop(key, None)
        log.info("part_resolved", request_id=key.request_id, part=key.part, side=key.side, peer=key.peer, outcome=came)
        return Outcome(key, came)

    def _put_off(self, key: PartKey) -> None:
        due = self._agenda.due.get(key)
        if due is not None:
            due.at = trio.current_time() + due.pause_s * self._rng.uniform(0.8, 1.2)
            due.pause_s = min(due.pause_s * 2, LONGEST_PAUSE_S)
            due.asking = False

    def _next_at(self) -> float:
        here = set(self._peers.here())
        waiting = (due.at for key, due in self._agenda.due.items() if not due.asking and key.peer in here)
        return min(waiting, default=float("inf"))

    async def _watch_peers(self) -> None:
        """Who is there again is asked at once."""
        before = set(self._peers.here())
        while True:
            await self._peers.changed()
            here = set(self._peers.here())
            back = here - before
            before = here
            now = trio.current_time()
            for key, due in self._agenda.due.items():
                if key.peer in back and not due.asking:
                    due.at, due.pause_s = min(due.at, now), FIRST_PAUSE_S
            if back:
                self._agenda.wake()

    async def _give_up_old(self) -> None:
        """What nobody resolved in so long a time is left as a record."""
        while True:
            oldest_ms = self._clock_ms() - round(self._give_up_s * 1000)
            for job in await trio.to_thread.run_sync(self._jobs):
                if job.state == GIVEN_UP or job.opened_ms > oldest_ms or self._is_live(job.key):
                    continue
                why = "the other party did not come back in time"
                log.warning("part_given_up", request_id=job.key.request_id, part=job.key.part, peer=job.key.peer)
                if job.key.side == "ordered":
                    self._service.ordered.give_up(job.key, why)
                else:
                    self._service.provided.give_up(job.key, why)
                self._agenda.due.pop(job.key, None)
            await trio.sleep(min(LOOK_FOR_OLD_S, self._give_up_s))

    async def _release_closed(self) -> None:
        closed, self._closed = self._closed, set()
        for request_id in closed:
            if not self._running(request_id):
                await trio.to_thread.run_sync(self._release, request_id)


_GONE = frozenset({"dial_failed", "stream_closed", "frame_timeout"})


def _row(job: OpenJob, *, live: bool) -> Mapping[str, Any]:
    return {
        "request_id": job.key.request_id,
        "part": job.key.part,
        "role": "coordinator" if job.key.side == "ordered" else "provider",
        "peer": job.key.peer,
        "state": "in progress" if live else "given up" if job.state == GIVEN_UP else "open",
        "most_credits": job.credits,
        "opened_ms": job.opened_ms,
        "note": job.note,
    }
