"""What an operator can set about receipts of parts that broke off."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RecoveryConfig(BaseModel):
    """``give_up_days`` is how long the other party of an unfinished job is waited for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    give_up_days: float = Field(default=7.0, gt=0, le=365)
