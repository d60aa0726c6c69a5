"""Failures that crossed the mesh: a peer's stable code back to a typed error, its words bounded and attributed."""

from __future__ import annotations

from peernode.chat.errors import (
    BadRequest,
    ContextTooLong,
    DeadlineExceeded,
    EngineCrashed,
    JobError,
    NoProvider,
    ProviderBusy,
    ProviderFailed,
)
from peernode.wire.errors import WireError
from peernode.wire.job_frames import ErrorFrame

_BY_CODE: dict[str, type[JobError]] = {
    kind.code: kind
    for kind in (BadRequest, ContextTooLong, DeadlineExceeded, EngineCrashed, NoProvider, ProviderBusy, ProviderFailed)
}


class Outrun(JobError):
    """The coordinator got nothing of the answer and wants it no more: nothing is owed."""

    code = "outrun"


def from_peer(frame: ErrorFrame) -> JobError:
    """A code that this version does not know is a failed provider."""
    kind = _BY_CODE.get(frame.code)
    if kind is None:
        return ProviderFailed("The provider ended the job.", cause=f"{frame.code}: {frame.sentence[:300]}")
    error = kind(frame.sentence[:300])
    if isinstance(error, BadRequest):
        error.param = frame.param or None
        error.cause = frame.cause[:300]
    return error


def to_peer(err: JobError | WireError) -> ErrorFrame:
    """What a peer is told of ``err``. Causes are our own affair, unless they say what is wrong with its request."""
    if isinstance(err, BadRequest):
        return ErrorFrame(err.code, err.sentence, err.param or "", err.cause)
    return ErrorFrame(err.code, err.sentence)
