"""What ``peers`` and ``ping`` say of peers that are near, far, silent, banned or unknown."""

from __future__ import annotations

import json

import pytest

from peernode.cli.peers import COLUMNS
from tests.cli.conftest import COORDINATOR, PROVIDER


def test_a_row_says_how_a_peer_is_reached_and_how_fresh_its_word_is(peernode, node):
    head, reached, banned = peernode("peers").out.splitlines()
    assert head.split() == ["peer", "reached", "round", "trip", *list(COLUMNS.values())[3:]]
    assert reached.split() == [
        COORDINATOR.peer_id, "direct", "out", "0.81", "ms", "/ip4/127.0.0.1/tcp/2", "1.5", "s", "old,", "13.5", "s",
        "left", "-", "0.1.0", "org/tiny", "3", "of", "4", "-", "-", "-",
    ]  # fmt: skip
    assert banned.split() == [
        PROVIDER.peer_id, "no", "-", "-", "-", "-12.3", "s", "-", "-", "-", "bad", "gossip,", "42", "s", "left",
        "forked", "used", "up",
    ]  # fmt: skip


def test_pings_are_shown_one_by_one_and_together(peernode, node):
    answer = peernode("ping", COORDINATOR.peer_id, "--count", "3")
    assert answer.code == 0
    lines = [line.strip() for line in answer.out.splitlines()]
    assert lines[0] == f"{COORDINATOR.peer_id} at /ip4/127.0.0.1/tcp/2, direct"
    assert [line.split(maxsplit=1)[1] for line in lines[1:4]] == ["1.50 ms", "lost", "2.50 ms"]
    assert lines[4] == "3 sent, 1 lost (33%); min 1.50, median 2.00, max 2.50 ms"
    found = json.loads(peernode("ping", COORDINATOR.peer_id, "-c", "3", "--json").out)
    assert found["rtt_ms"] == [1.5, None, 2.5]


def test_when_nothing_came_back_the_exit_code_says_so(peernode, node):
    answer = peernode("ping", COORDINATOR.peer_id, "--count", "1")
    assert answer.code == 1
    assert answer.out.splitlines()[-1] == "1 sent, 1 lost (100%)"


def test_an_unknown_peer_is_a_sentence_with_a_remedy(peernode, node):
    answer = peernode("ping", "nobody")
    assert answer.code == 1
    assert "code: unknown_peer" in answer.err
    assert "remedy: See `peernode peers`." in answer.err


@pytest.mark.parametrize("count", ["0", "101", "x"])
def test_a_count_out_of_bounds_is_wrong_usage(peernode, node, count):
    assert peernode("ping", COORDINATOR.peer_id, "--count", count).code == 2
