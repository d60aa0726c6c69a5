"""Which frame may come when in a job conversation: a state machine that both sides run, over frames sent and received.

OFFERED → RUNNING (accept) → FINISHED → RECEIPTED → COUNTERSIGNED → ENDED (end)
busy or error end it from where they may come; cancel and acknowledgements may come until the receipt is answered and
change nothing else. The provider says at most once, before its first tokens, that the prompt is computed, and before
that how long it will be, as often as it likes.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal

from peernode.wire.errors import WireError
from peernode.wire.job_frames import (
    AcceptFrame,
    AckFrame,
    BusyFrame,
    CancelFrame,
    CountersignFrame,
    EndFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    PrefillFrame,
    ReceiptFrame,
    TokensFrame,
    WaitFrame,
)

Speaker = Literal["coordinator", "provider"]


class OutOfTurn(WireError):
    """A frame that may not come in this state, or not from this side."""

    code = "out_of_turn"


class State(Enum):
    START = auto()
    OFFERED = auto()
    RUNNING = auto()
    FINISHED = auto()
    RECEIPTED = auto()
    COUNTERSIGNED = auto()
    ENDED = auto()


_MOVES: dict[tuple[State, Speaker, type[JobFrame]], State] = {
    (State.START, "coordinator", OfferFrame): State.OFFERED,
    (State.OFFERED, "provider", AcceptFrame): State.RUNNING,
    (State.OFFERED, "provider", BusyFrame): State.ENDED,
    (State.RUNNING, "provider", TokensFrame): State.RUNNING,
    (State.RUNNING, "provider", FinishedFrame): State.FINISHED,
    (State.FINISHED, "provider", ReceiptFrame): State.RECEIPTED,
    (State.RECEIPTED, "coordinator", CountersignFrame): State.COUNTERSIGNED,
    (State.COUNTERSIGNED, "provider", EndFrame): State.ENDED,
}
# A cancel may cross the answer's end on the wire, so it is in turn anywhere before the conversation's end.
_CANCELLABLE = frozenset({State.OFFERED, State.RUNNING, State.FINISHED, State.RECEIPTED})
_ACKNOWLEDGEABLE = frozenset({State.RUNNING, State.FINISHED, State.RECEIPTED})


class Conversation:
    """The state of one conversation. Call ``observe`` for every frame, sent or received, before acting on it."""

    def __init__(self) -> None:
        self.state = State.START
        self.cancelled = False
        self._prefilled = False

    def observe(self, speaker: Speaker, frame: JobFrame) -> None:
        """Raises OutOfTurn and leaves the state as it was."""
        after = _MOVES.get((self.state, speaker, type(frame)))
        if after is not None:
            self.state = after
            self._prefilled |= type(frame) is TokensFrame  # then it is too late to say so
        elif isinstance(frame, ErrorFrame) and self.state not in {State.START, State.ENDED}:
            self.state = State.ENDED
        elif isinstance(frame, CancelFrame) and speaker == "coordinator" and self.state in _CANCELLABLE:
            self.cancelled = True
        elif isinstance(frame, AckFrame) and speaker == "coordinator" and self.state in _ACKNOWLEDGEABLE:
            pass
        elif isinstance(frame, PrefillFrame) and self._may_tell_prompt(speaker):
            self._prefilled = True
        elif isinstance(frame, WaitFrame) and (self._may_tell_prompt(speaker) or self._is_asked(speaker)):
            pass
        else:
            raise OutOfTurn(
                "A job frame came out of turn.",
                cause=f"{type(frame).__name__} from the {speaker} in {self.state.name}",
            )

    def _is_asked(self, speaker: Speaker) -> bool:
        return speaker == "provider" and self.state is State.OFFERED

    def _may_tell_prompt(self, speaker: Speaker) -> bool:
        return speaker == "provider" and self.state is State.RUNNING and not self._prefilled
