"""Why a job ended without an answer or without a receipt. Codes are stable; every surface maps them in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from peernode.chat.route import Route
from peernode.errors import PeernodeError


@dataclass(frozen=True, slots=True)
class Attempted:
    """One provider that was asked in vain; ``code`` is that of its error, ``seconds`` what it took."""

    provider: str
    model: str
    code: str
    seconds: float


class JobError(PeernodeError):
    """Base of everything a ``Failed`` event can carry. ``param`` names the request's field at fault, if one is.

    ``attempts`` are those who were asked in vain, in order. ``filter`` names what took out the last candidate, if
    nobody could be asked. ``route`` is how the choice was made, for a client that wanted to know.
    ``retry_after_s``: when to ask again, where that is known.
    """

    code: ClassVar[str] = "internal"
    param: str | None = None
    attempts: tuple[Attempted, ...] = ()
    filter: str = ""
    route: Route | None = None
    retry_after_s: float | None = None


class BadRequest(JobError):
    """The request itself cannot be answered."""

    code = "bad_request"

    def __init__(self, sentence: str, *, param: str | None = None, cause: str = "", remedy: str = "") -> None:
        super().__init__(sentence, cause=cause, remedy=remedy)
        self.param = param


class ContextTooLong(BadRequest):
    """Prompt and completion do not fit the model's context."""

    code = "context_length_exceeded"


class UnknownModel(JobError):
    code = "unknown_model"


class NoProvider(JobError):
    """The model is known, but nobody who has it can take the job now."""

    code = "no_provider"


class ProviderBusy(JobError):
    """One provider cannot take the job now; others may."""

    code = "busy"


class ProviderFailed(JobError):
    """A provider took the job and did not finish it."""

    code = "provider_failed"


class EngineCrashed(ProviderFailed):
    """The engine's worker process died with the job in it."""

    code = "engine_crashed"


class FirstTokenTimeout(JobError):
    code = "first_token_timeout"


class DeadlineExceeded(JobError):
    """The job's total time ran out."""

    code = "deadline_exceeded"


class ReceiptRefused(JobError):
    """The answer came, but its receipt failed a check; nothing is owed for it."""

    code = "receipt_refused"


class NoReceipt(ReceiptRefused):
    """The answer came, but no receipt for it, which may be the network's fault."""
