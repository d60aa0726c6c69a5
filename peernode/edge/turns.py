"""How many requests of one caller run at once, and how many wait for their turn, first come, first served.

Counted are those that can be work (POST, and streams that are fetched again): of each key, and of each address. Where
many share an address, a proxy on this machine in front of all clients, it is this machine's own, and may have more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.auth import Caller, known_caller, network_of
from peernode.edge.bind import is_loopback
from peernode.edge.limits import Limited

UNCOUNTED = frozenset({"GET", "HEAD", "OPTIONS"})
COUNTED_PATH = "/v1/streams/"
RETRY_AFTER_S = 2.0


class TooManyAtOnce(Limited):
    """All turns of a caller are taken, and all places to wait for one."""

    code = "too_many_at_once"


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Requests at once of one key and of one address; how many more of each may wait, and for how many seconds.

    ``per_address`` None: 256, and 1024 for the loopback addresses.
    """

    per_key: int = 64
    per_address: int | None = None
    waiting: int = 256
    wait_s: float = 60.0

    def of_address(self, address: str) -> int:
        if self.per_address is not None:
            return self.per_address
        return 1024 if is_loopback(address) else 256


@dataclass(slots=True)
class _Line:
    """One caller's: how many run, and who waits."""

    running: int
    waiting: OrderedDict[trio.Event, None]


class Lines:
    """The turns of all callers; a name that nobody has a turn of takes no memory."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def take(self, name: str, limit: int) -> bool:
        """A turn at once, if there is one."""
        line = self._lines.get(name)
        if line is None:
            self._lines[name] = _Line(1, OrderedDict())
            return True
        if line.running >= limit or line.waiting:
            return False
        line.running += 1
        return True

    async def wait(self, name: str, limit: int, places: int) -> None:
        """A turn, sooner or later. Raises TooManyAtOnce when there is no place to wait."""
        if self.take(name, limit):
            return
        line = self._lines[name]
        if len(line.waiting) >= places:
            raise TooManyAtOnce(
                "Too many requests of this caller are here at once.",
                retry_after_s=RETRY_AFTER_S,
                cause=f"{line.running} run, {len(line.waiting)} wait",
                remedy="Wait for some to end, or ask again after the time that Retry-After names.",
            )
        turn = trio.Event()
        line.waiting[turn] = None
        try:
            await turn.wait()
        except BaseException:
            if turn in line.waiting:
                del line.waiting[turn]
            else:  # it came in the same moment
                self.leave(name)
            raise

    def leave(self, name: str) -> None:
        """The turn is over: the next one's begins."""
        line = self._lines[name]
        if line.waiting:
            turn, _ = line.waiting.popitem(last=False)
            turn.set()
            return
        line.running -= 1
        if not line.running:
            del self._lines[name]


class Turns:
    """ASGI wrapper, behind ``KeyGuard`` and ``Intake``. Raises TooManyAtOnce."""

    def __init__(self, app: ASGIApp, limits: TurnLimits) -> None:
        self._app = app
        self._limits = limits
        self._lines = Lines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = known_caller(scope)
        if caller is None or (scope["method"] in UNCOUNTED and not scope["path"].startswith(COUNTED_PATH)):
            await self._app(scope, receive, send)
            return
        names = self._names(caller)
        async with self._turn(names, receive) as heard:
            if heard is not None:
                await self._app(scope, heard, send)

    def _names(self, caller: Caller) -> list[tuple[str, int]]:
        """What this request counts for, and how many of that there may be."""
        address = (f"address {network_of(caller.address)}", self._limits.of_address(caller.address))
        return [address] if caller.key is None else [(f"key {caller.key.id}", self._limits.per_key), address]

    @asynccontextmanager
    async def _turn(self, names: list[tuple[str, int]], receive: Receive) -> AsyncIterator[Receive | None]:
        """A turn in all of ``names``, and what to receive from then on; None if the client has left before."""
        taken: list[str] = []
        try:
            for name, limit in names:
                if not self._lines.take(name, limit):
                    break
                taken.append(name)
            if len(taken) == len(names):
                yield receive
            else:
                yield await self._wait(names[len(taken) :], taken, receive)
        finally:
            for name in taken:
                self._lines.leave(name)

    async def _wait(self, names: list[tuple[str, int]], taken: list[str], receive: Receive) -> Receive | None:
        asked = [await receive()]
        refused: TooManyAtOnce | None = None
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                pass
            gone = True
            nursery.cancel_scope.cancel()

        with trio.move_on_after(self._limits.wait_s) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                try:
                    for name, limit in names:
                        await self._lines.wait(name, limit, self._limits.waiting)
                        taken.append(name)
                except TooManyAtOnce as err:
                    refused = err
                nursery.cancel_scope.cancel()
        if gone:
            return None
        if refused is not None:
            raise refused
        if patience.cancelled_caught:
            raise TooManyAtOnce(
                "The requests before this one took too long.",
                retry_after_s=RETRY_AFTER_S,
                cause=f"no turn within {self._limits.wait_s:g} s",
                remedy="Ask again after the time that Retry-After names.",
            )

        async def replayed() -> Message:
            return asked.pop() if asked else await receive()

        return replayed
