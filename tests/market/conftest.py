"""What several tests of the market need."""

from __future__ import annotations

import pytest

from peernode.market import dispatch
from peernode.market.recovery import recovery


@pytest.fixture
def no_heirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes on with a broken answer: these tests are about its receipt."""
    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)
    monkeypatch.setattr(recovery, "PROVIDERS_PATIENCE_S", 0.2)
