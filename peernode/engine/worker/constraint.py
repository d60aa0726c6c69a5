"""What keeps an answer to a form that was asked for: a grammar that says which tokens may come next.

Owns the interface alone; ``grammar`` has the implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from peernode.engine.worker.candidates import Floats


class ConstraintBroken(Exception):
    """The grammar cannot go on: a resource limit, or a token that it forbids. ``str`` says why, without any text."""


class Constraint(Protocol):
    """Follows one answer, token by token; used by one thread."""

    def mask(self, logits: Floats) -> Floats:
        """A copy with minus infinity where a token may not come next. Raises ConstraintBroken."""
        ...

    def accept(self, token: int) -> None:
        """The answer goes on with ``token``, an end of generation included. Raises ConstraintBroken."""
        ...

    def forced(self) -> list[int]:
        """Tokens that must come next, whatever the model says; maybe none. They are not accepted by this call."""
        ...

    def allowed(self, draft: Sequence[int]) -> int:
        """How long a beginning of ``draft`` could be accepted. Changes nothing."""
        ...
