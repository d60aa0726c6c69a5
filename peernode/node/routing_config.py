"""The section [routing] of a node's configuration: how it chooses among those who could answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RoutingConfig(BaseModel):
    """``affinity``: conversations go to where their prompts were computed. ``hedge``: ask a second when one is late."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    affinity: bool = True
    hedge: bool = True
