"""The section [limits] of a node's configuration: how long a job may take, and how much of the HTTP API one may use."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from peernode.edge.connections import ConnectionLimits
from peernode.edge.intake import BODY_S
from peernode.edge.turns import TurnLimits
from peernode.wire.bounds import MAX_BODY_BYTES


class LimitConfig(BaseModel):
    """Seconds that a job may take, to its first token and in all; and the limits of the HTTP API.

    ``body_bytes`` and ``body_s`` bound a request's body, ``idle_s`` its head, and the time between two requests.
    ``requests_per_key`` and ``requests_per_address`` are requests at once, ``waiting`` how many more of each wait for
    their turn; ``connections`` are all at once, ``connections_per_address`` those of one address. None leaves the
    choice to ``TurnLimits`` and ``ConnectionLimits``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_token_s: float = Field(default=60.0, gt=0, le=86_400)
    job_s: float = Field(default=600.0, gt=0, le=86_400)
    body_bytes: int = Field(default=MAX_BODY_BYTES, ge=1024, le=MAX_BODY_BYTES)
    body_s: float = Field(default=BODY_S, gt=0, le=3600)
    idle_s: float = Field(default=30.0, gt=0, le=3600)
    requests_per_key: int = Field(default=64, ge=1, le=100_000)
    requests_per_address: int | None = Field(default=None, ge=1, le=100_000)
    waiting: int = Field(default=256, ge=0, le=100_000)
    connections: int = Field(default=1024, ge=1, le=100_000)
    connections_per_address: int | None = Field(default=None, ge=1, le=100_000)

    @property
    def turns(self) -> TurnLimits:
        return TurnLimits(self.requests_per_key, self.requests_per_address, self.waiting, self.first_token_s)

    @property
    def of_connections(self) -> ConnectionLimits:
        return ConnectionLimits(self.connections, self.connections_per_address, self.idle_s)
