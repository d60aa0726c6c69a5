"""[limits]: what an operator sets reaches the edge, and what makes no sense is refused when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from peernode.edge.connections import ConnectionLimits
from peernode.edge.turns import TurnLimits
from peernode.node.config_sources import ConfigError, load_config
from peernode.node.limit_config import LimitConfig

EDGE = Path(__file__).parents[2] / "configs" / "edge.toml"


def test_what_the_example_says_is_what_holds_without_it() -> None:
    assert load_config(config_file=EDGE).limits == LimitConfig()


def test_what_is_set_reaches_the_edge(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        "[limits]\nfirst_token_s = 7\nidle_s = 5\nrequests_per_key = 2\nrequests_per_address = 3\nwaiting = 0\n"
        "connections = 9\nconnections_per_address = 4\n"
    )
    limits = load_config(config_file=config).limits
    assert limits.turns == TurnLimits(2, 3, 0, 7.0)
    assert limits.of_connections == ConnectionLimits(9, 4, 5.0)


def test_without_them_the_edges_own_hold() -> None:
    assert LimitConfig().turns == TurnLimits()
    assert LimitConfig().of_connections == ConnectionLimits()


@pytest.mark.parametrize("wrong", ["idle_s = 0", "requests_per_key = 0", "connections = 0", "body_bytes = 99999999999"])
def test_what_would_shut_everybody_out_is_refused(tmp_path: Path, wrong: str) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f"[limits]\n{wrong}\n")
    with pytest.raises(ConfigError):
        load_config(config_file=config)
