"""What a client is told when nobody answered: one error for all that was tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peernode.chat.errors import (
    Attempted,
    BadRequest,
    FirstTokenTimeout,
    JobError,
    NoProvider,
    ProviderBusy,
    ProviderFailed,
)
from peernode.market.routing.filters import SHUNNED
from peernode.market.routing.rank import Ranking

MAX_NAMED = 8
MAX_ATTEMPTS = 32


@dataclass(frozen=True, slots=True)
class Try:
    """One provider that was asked, and what came of it; ``error`` None while nothing has gone wrong."""

    peer: str
    model: str
    after_s: float
    error: JobError | None


def nobody_left(ranking: Ranking, model: str, back_in: Callable[[str], float]) -> JobError:
    """Why none of those who offer the model may be asked: the filter that took out the last of them.

    ``back_in`` says after how many seconds a peer that is being avoided may be asked again. What the request itself
    needs cannot be answered; how its provider is wished may be possible at another time.
    """
    last = ranking.excluded[-1].filter
    sentence = f"{last.sentence} ({model})"
    kind = NoProvider if not last.param or last.param.startswith("provider.") else BadRequest
    error = kind(sentence, cause=last.name, remedy=last.remedy)
    error.param, error.filter = last.param or None, last.name
    if last.name == SHUNNED:
        waits = (back_in(each.candidate.peer) for each in ranking.excluded if each.filter.name == SHUNNED)
        error.retry_after_s = min((wait for wait in waits if wait > 0), default=None)
    return error


def verdict_of(tries: Sequence[Try]) -> JobError:
    """Out of time, failed, or only busy."""
    errors = [each.error for each in tries if each.error is not None]
    causes = told(tries)
    if any(isinstance(error, FirstTokenTimeout) for error in errors) or not errors:
        late = FirstTokenTimeout("No provider gave a first token in time.", cause=causes)
        late.retry_after_s = min((error.retry_after_s for error in errors if error.retry_after_s), default=None)
        return late
    if all(isinstance(error, (ProviderBusy, NoProvider)) for error in errors):
        busy = NoProvider("Every provider of this model is busy.", cause=causes, remedy="Try again in a while.")
        busy.retry_after_s = min((error.retry_after_s for error in errors if error.retry_after_s), default=None)
        return busy
    return ProviderFailed("Every provider of this model failed.", cause=causes, remedy="Try again.")


def attempted(tries: Sequence[Try]) -> tuple[Attempted, ...]:
    """Who was asked in vain; the last of them if there were many."""
    failed = [(each, each.error) for each in tries if each.error is not None]
    return tuple(Attempted(each.peer, each.model, error.code, each.after_s) for each, error in failed[-MAX_ATTEMPTS:])


def told(tries: Sequence[Try]) -> str:
    """The attempts in one line; the last of them if there were many."""
    return "; ".join(f"{each.peer}: {each.error}" for each in tries[-MAX_NAMED:] if each.error is not None)
