"""How the parts of the mesh tell of a peer that misbehaves: peer id, reason, weight (1: enough to be banned)."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, str, float], None]


def nobody(peer_id: str, reason: str, weight: float) -> None:
    """A ``Report`` that goes nowhere."""
