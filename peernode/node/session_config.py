"""The section [sessions]: how much of conversations the node keeps for clients that give it a key to seal them with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SessionConfig(BaseModel):
    """``per_key``: how many of one API key, 0 for none at all; ``days``: how long after their last answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_key: int = Field(default=32, ge=0, le=10_000)
    days: float = Field(default=30.0, gt=0, le=3650)
