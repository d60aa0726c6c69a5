"""Where sessions are kept, as the edge sees it; and which of them are at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from peernode.edge.sessions.errors import SessionBusy
from peernode.edge.sessions.memory import SessionName


@dataclass(frozen=True, slots=True)
class KeptSession:
    """What can be told of a session without its key. ``used_s`` is the Unix time of its last answer."""

    id: str
    size: int
    used_s: float


class SessionStore(Protocol):
    """Sealed memories by owner and id; methods block. What was not used for ``days`` is gone.

    ``per_key`` is looked at when a session begins: some that begin at once may be one too many.
    """

    per_key: int
    days: float

    def load(self, name: SessionName) -> bytes | None: ...

    def save(self, name: SessionName, kept: bytes) -> None:
        """Durable when it returns."""
        ...

    def delete(self, name: SessionName) -> bool:
        """False when there is none."""
        ...

    def list(self, owner: str) -> Sequence[KeptSession]:
        """The last used first."""
        ...


class AtWork:
    """Sessions whose answer is under way. One that was never ended is free again when its time is over."""

    def __init__(self) -> None:
        self._until: dict[SessionName, float] = {}

    def begin(self, name: SessionName, now: float, until: float) -> None:
        """Raises SessionBusy."""
        if self._until.get(name, now) > now:
            raise SessionBusy(
                "An answer of this session is under way.",
                cause=name.id,
                remedy="Send the next question when it has ended; begin another session for questions side by side.",
            )
        self._until[name] = until

    def end(self, name: SessionName) -> None:
        self._until.pop(name, None)
