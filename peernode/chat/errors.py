"""Why a job ended without an answer or without a receipt. Codes are stable; every surface maps them in one place."""

from __future__ import annotations

from typing import ClassVar

from peernode.errors import PeernodeError


class JobError(PeernodeError):
    """Base of everything a ``Failed`` event can carry."""

    code: ClassVar[str] = "internal"


class BadRequest(JobError):
    """The request itself cannot be answered. ``param`` names the field at fault, if one is."""

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
