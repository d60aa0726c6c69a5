"""How ``peernode status`` puts one of the node's own models on a line."""

from __future__ import annotations

import pytest

from peernode.cli.status import _model, _reachability

IDLE = {"id": "tiny", "progress": None, "error": None, "slots": 8, "free_slots": 8, "decode_tps": 0, "prefill_tps": 0}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"state": "loading", "progress": 0.37}, "tiny (loading, 37%)"),
        ({"state": "loading", "progress": 0.5, "eta_s": 12.3}, "tiny (loading, 50%, about 12 s left)"),
        ({"state": "unloaded"}, "tiny (unloaded, loaded with the next job)"),
        ({"state": "loading", "progress": 0.5, "waiting": 2}, "tiny (loading, 50%, 2 waiting)"),
        ({"state": "failed", "error": "It is no GGUF."}, "tiny (failed, It is no GGUF.)"),
        ({"state": "ready"}, "tiny (ready, 8 of 8 slots free)"),
        (
            {"state": "ready", "free_slots": 6, "decode_tps": 51.5, "prefill_tps": 400},
            "tiny (ready, 6 of 8 slots free, 51.5 tokens/s each, prompts 400 tokens/s)",
        ),
    ],
)
def test_a_models_line(changes: dict[str, object], line: str) -> None:
    assert _model({**IDLE, **changes}) == line


REACH = {"reach": "public", "reason": "", "address": "", "remedy": "", "relaying": False, "circuits": 0, "router": ""}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"reach": "off"}, "off"),
        (
            {"reach": "private", "reason": "nat", "address": "/ip4/198.51.100.2/tcp/4701", "remedy": "Forward it."},
            "private (nat); seen by peers as /ip4/198.51.100.2/tcp/4701. Forward it.",
        ),
        ({"relaying": True, "circuits": 3}, "public; relays for others, 3 connections now"),
        ({"router": "opened TCP port 1 of x"}, "public; router: opened TCP port 1 of x"),
    ],
)
def test_a_line_on_reachability(changes: dict[str, object], line: str) -> None:
    assert _reachability({**REACH, **changes}) == line


def test_a_price_that_follows_the_speed_says_by_how_much():
    ready = {"id": "m", "state": "ready", "free_slots": 1, "slots": 2, "decode_tps": 10.0, "prefill_tps": 100.0}
    assert "prices" not in _model({**ready, "price_factors": None})
    said = _model({**ready, "price_factors": {"prompt": 1.25, "completion": 1.953125}})
    assert "prices × 1.25 for prompts, × 1.95 for answers by its speed" in said
