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

_BY_CODE: dict[str, type[JobError]] = {
    kind.code: kind
    for kind in (BadRequest, ContextTooLong, DeadlineExceeded, EngineCrashed, NoProvider, ProviderBusy, ProviderFailed)
}


def from_peer(code: str, sentence: str) -> JobError:
    """A code that this version does not know is a failed provider."""
    kind = _BY_CODE.get(code)
    if kind is None:
        return ProviderFailed("The provider ended the job.", cause=f"{code}: {sentence[:300]}")
    return kind(sentence[:300])
