"""One request on its way through the limits of its caller: let in, counted while it is answered, and shown in headers.

Owns what a key may ask for (models, requests and tokens per minute) and the headers that say what is left and what a
token costs. Holding credit is the job's own affair; see ``market.client_accounts``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase

from starlette.types import Scope

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.events import Finished, JobEvent, Started, Tokens
from peernode.chat.job_request import JobRequest
from peernode.edge.auth import Caller, add_headers, caller_of, network_of
from peernode.edge.dialects import dialect_of
from peernode.edge.limits import Limited, Ticket
from peernode.edge.services import EdgeServices
from peernode.market.client_allowance import FREE
from peernode.market.client_errors import ModelNotAllowed
from peernode.market.routing import demand_of
from peernode.market.routing.model_names import read_model_name

_PRICE_DIGITS = 12


class Admission:
    """A request that was let in. Feed it the events of its jobs; ``close`` when it is over, however it ended."""

    def __init__(self, services: EdgeServices, caller: Caller, dialect: str, ticket: Ticket | None) -> None:
        self.caller = caller
        self.dialect = dialect
        self._services = services
        self._ticket = ticket
        self._unit_price: int | None = None
        self._tokens: dict[int, int] = {}

    @property
    def payer(self) -> str:
        """On whose account its jobs run: the key's id, or the caller's free allowance; empty for whoever needs none."""
        if self.caller.key is not None:
            return self.caller.key.id
        limited = self._services.free_allowance and not self.caller.operator
        return f"{FREE}{network_of(self.caller.address)}" if limited else ""

    def observe(self, choice: int, event: JobEvent | Exception) -> None:
        if isinstance(event, Started) and event.prices is not None:
            self._unit_price = event.prices.completion
        elif isinstance(event, Tokens):
            self._tokens[choice] = self._tokens.get(choice, 0) + len(event.ids)
        elif isinstance(event, Finished):
            self._tokens[choice] = event.usage.prompt_tokens + event.usage.completion_tokens

    def headers(self) -> list[tuple[bytes, bytes]]:
        """``Cost-Per-Unit``: credits for a token of the answer, once a provider has begun it."""
        if self._unit_price is None:
            return []
        cost = format(Decimal(self._unit_price).scaleb(-_PRICE_DIGITS).normalize(), "f")
        return [(b"cost-per-unit", cost.encode())]

    def close(self) -> None:
        if self._ticket is not None:
            self._ticket.settle(sum(self._tokens.values()), self._services.clock())


def admit(
    services: EdgeServices, scope: Scope, *, models: Sequence[str], request: JobRequest, choices: int = 1
) -> Admission:
    """Let the request of this scope in. Raises ModelNotAllowed, or Limited."""
    caller, dialect = caller_of(scope), dialect_of(scope["path"])
    ticket = None
    if caller.key is not None:
        _check_models(caller.key.limits.models, models)
        now_s = services.clock()
        try:
            ticket = services.rates.admit(caller.key, tokens_of(request, choices), now_s)
        except Limited as err:
            if err.room is not None:
                add_headers(scope, err.room.headers(now_s))
            raise
        if ticket.room is not None:
            add_headers(scope, ticket.room.headers(now_s))
    return Admission(services, caller, dialect, ticket)


def tokens_of(request: JobRequest, choices: int) -> int:
    """Tokens that the request will probably have; roughly, for limits only."""
    demand = demand_of(request)
    completion = 0 if isinstance(request, EmbeddingRequest) else request.max_tokens or demand.completion_tokens
    return max(1, choices * (demand.prompt_tokens + completion))


def _check_models(allowed: Iterable[str], models: Iterable[str]) -> None:
    """Names that choose among all models are allowed where they are listed themselves."""
    patterns = tuple(allowed)
    for model in models if patterns else ():
        names = {model, read_model_name(model).id}
        if not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
            raise ModelNotAllowed(
                "This key is not for this model.", cause=model[:100], remedy=f"It is for {', '.join(patterns)}."[:300]
            )
