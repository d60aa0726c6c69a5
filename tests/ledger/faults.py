"""A database that dies at a chosen point: before any of its statements, before a commit, or right after one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peernode.ledger import Database, LedgerUnavailable

POINTS = ("do_execute", "do_executemany", "do_execute_no_params")


class Crash(BaseException):
    """Nothing goes on after this; the ledger has to be opened anew."""


DIED = (Crash, LedgerUnavailable)


class Faults:
    """The points at which ``database`` could die, numbered from when it was armed. Dead means dead."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left: int | None = None
        self._dead = False
        self.passed = 0
        dialect: Any = database._engine.dialect
        for name in POINTS:
            setattr(dialect, name, self._dying_before(getattr(dialect, name)))
        commit = dialect.do_commit

        def dying_around(connection: Any) -> None:
            self._point()
            commit(connection)
            self._point()

        dialect.do_commit = dying_around

    def arm(self, point: int | None) -> None:
        """Die at the point of this number, counted from now; None for never."""
        self._left, self.passed = point, 0

    def revive(self) -> None:
        """Open the database anew: nothing of the old connections is left."""
        self._database._engine.dispose()
        self._dead = False
        self.arm(None)

    def _dying_before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._point()
            return function(*arguments, **named)

        return call

    def _point(self) -> None:
        if self._dead or self._left == self.passed:
            self._dead = True
            raise Crash(f"at point {self.passed}")
        self.passed += 1
