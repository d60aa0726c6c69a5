"""How long an answer may still run when the client of its connection has left: a word from the answer to the server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

# To take leave; jobs are cancelled at once, unless somebody may come back for their stream.
LEAVE_S = 5.0
KEY = "peernode.leave"


@dataclass(slots=True)
class Leave:
    """One connection's. ``held`` by answers that go on without their client."""

    usual_s: float = LEAVE_S
    _holders: int = 0

    @property
    def seconds(self) -> float:
        return math.inf if self._holders else self.usual_s

    @contextmanager
    def held(self) -> Iterator[None]:
        """As long as this answer runs, it may; of several on one connection each holds for itself."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1


def leave_of(scope: Scope) -> Leave:
    """That of the connection which a request came by."""
    return cast(Leave, scope.get("state", {}).get(KEY) or Leave())
