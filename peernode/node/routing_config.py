"""The section [routing] of a node's configuration: how it chooses among those who could answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class RoutingConfig(BaseModel):
    """``affinity``: conversations go to where their prompts were computed.

    ``hedge``: ask a second when the first is late, or says that it will be. ``cold``: whether somebody who has to load
    the model first is asked where that is expected to be the fastest, or only when nobody else is left.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    affinity: bool = True
    hedge: bool = True
    cold: Literal["wait", "avoid"] = "wait"
