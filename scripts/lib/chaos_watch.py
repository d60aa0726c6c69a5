"""Holds what the nodes' tables say against who can reach whom. Pure: times come in with every call.

A node that can be reached must not be missing from a table for long, and one that cannot must be gone from it once its
lease is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Watch:
    """Times are seconds on one clock.

    ``grace_s`` after two nodes can reach each other (again), each must be in the other's table; ``ghost_s`` after they
    cannot any more, neither may be.
    """

    nodes: int
    grace_s: float
    ghost_s: float
    worst_missing_s: float = 0.0
    worst_ghost_s: float = 0.0
    looks: int = 0
    broken: list[str] = field(default_factory=list)
    _up: set[int] = field(default_factory=set)
    _down_since: dict[int, float] = field(default_factory=dict)
    _split_since: float | None = None
    _side: dict[int, int] = field(default_factory=dict)
    _together: set[tuple[int, int]] = field(default_factory=set)
    _since: dict[tuple[int, int], float] = field(default_factory=dict)
    _missing: dict[tuple[int, int], float] = field(default_factory=dict)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _told: set[tuple[int, int, str]] = field(default_factory=set)

    def up(self, node: int, now: float) -> None:
        """From now on the node runs and can be reached."""
        self._up.add(node)
        self._again(now)

    def down(self, node: int, now: float) -> None:
        """From now on it cannot."""
        self._up.discard(node)
        self._down_since[node] = now
        self._again(now)

    def split(self, halves: Iterable[Iterable[int]], now: float) -> None:
        """From now on the nodes of different halves cannot reach each other; one half of all heals the split."""
        self._split_since = now
        self._side = {node: side for side, half in enumerate(halves) for node in half}
        self._again(now)

    def saw(self, observer: int, table: set[int], now: float) -> None:
        """The table of ``observer``, which runs, holds exactly these nodes."""
        self.looks += 1
        for other in range(self.nodes):
            if other == observer:
                continue
            pair = (observer, other)
            if pair in self._together:
                self._should_be_there(pair, other in table, now)
            elif other in table:
                ghost_s = now - self._out_of_reach_since(observer, other)
                self.worst_ghost_s = max(self.worst_ghost_s, ghost_s)
                if ghost_s > self.ghost_s:
                    self._break(pair, "ghost", f"node {observer} still has node {other} after {ghost_s:.1f} s")

    def _out_of_reach_since(self, observer: int, other: int) -> float:
        down, split = self._down_since.get(other), self._split_since
        apart = self._side.get(observer) != self._side.get(other)
        return min(
            [since for since, holds in ((down, other not in self._up), (split, apart)) if holds and since is not None]
        )

    def complete(self, tables: dict[int, set[int]]) -> bool:
        """True when every node that runs has all that it can reach."""
        return all(other in tables.get(observer, ()) for observer, other in self._together)

    def _should_be_there(self, pair: tuple[int, int], present: bool, now: float) -> None:
        if present:
            self._missing.pop(pair, None)
            self._seen.add(pair)
            self._told.discard((*pair, "missing"))
            return
        # Not seen since they can reach each other; or it was there, and is missed since this look.
        first = self._since[pair] if pair not in self._seen else now
        missing_s = now - self._missing.setdefault(pair, first)
        self.worst_missing_s = max(self.worst_missing_s, missing_s)
        if missing_s > self.grace_s:
            self._break(pair, "missing", f"node {pair[0]} lacks node {pair[1]} for {missing_s:.1f} s")

    def _break(self, pair: tuple[int, int], how: str, said: str) -> None:
        if (*pair, how) not in self._told:
            self._told.add((*pair, how))
            self.broken.append(said)

    def _again(self, now: float) -> None:
        """Who can reach whom may have changed."""
        for one in range(self.nodes):
            for other in range(self.nodes):
                pair = (one, other)
                both = {one, other} <= self._up and self._side.get(one) == self._side.get(other)
                if one != other and both != (pair in self._together):
                    self._together ^= {pair}
                    self._since[pair] = now
                    self._missing.pop(pair, None)
                    self._seen.discard(pair)
                    self._told -= {(*pair, "missing"), (*pair, "ghost")}
