"""The section [credit] of a node's configuration: how much service other nodes get before they have paid."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from peernode.market.credit.line import Terms
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

DAY_MS = 86_400_000
Amount = Annotated[int, Field(ge=0, le=10**15)]


class CreditConfig(BaseModel):
    """Micro-credits. ``trusted`` have no limit; ``limits`` are the operator's own for single peers, 0 for nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    newcomer: Amount = 1_000_000
    growth_percent: int = Field(default=50, ge=0, le=1000)
    half_life_days: float = Field(default=30.0, gt=0, le=36_500)
    peer_cap: Amount = 1_000_000_000
    newcomers_cap: Amount = 20_000_000
    trusted: Annotated[tuple[str, ...], NoDecode] = ()
    limits: dict[str, Amount] = Field(default_factory=dict)

    @field_validator("trusted", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [entry.strip() for entry in value.split(",") if entry.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_peers(self) -> Self:
        for peer in (*self.trusted, *self.limits):
            try:
                public_key_of(peer)
            except BadPeerId as err:
                raise ValueError(f"{peer[:80]!r} is not a peer id; `peernode peers` prints whole ones") from err
        both = set(self.trusted) & set(self.limits)
        if both:
            raise ValueError(f"{min(both)} is trusted without limit, and has a limit")
        return self

    def terms(self) -> Terms:
        """What the market reckons with."""
        return Terms(
            newcomer=self.newcomer,
            growth_percent=self.growth_percent,
            half_life_ms=max(round(self.half_life_days * DAY_MS), 1),
            peer_cap=self.peer_cap,
            newcomers_cap=self.newcomers_cap,
            own_limits={**dict.fromkeys(self.trusted), **self.limits},
        )
