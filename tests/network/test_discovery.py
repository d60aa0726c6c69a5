"""Real processes find each other again after kill -9, and notice who froze."""

from __future__ import annotations

import json
import signal
import stat
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from nodes import NodeProcess

from tests.network.conftest import Launch

pytestmark = pytest.mark.real

# What the mesh promises, and as much again for a slow machine; test_yamux_keepalive.py has it exactly.
NOTICED_S = 5.0 + 5.0


def connected(node: NodeProcess) -> set[str]:
    return {peer["peer_id"] for peer in node.admin("/admin/peers") if peer["connected"]}


def wait_connection(node: NodeProcess, other: NodeProcess, *, since: int = 0, timeout_s: float = 30.0) -> None:
    node.wait_for("peer_connected", since=since, timeout_s=timeout_s, where=lambda line: line["peer"] == other.peer_id)


def test_nodes_that_met_through_a_third_find_each_other_after_all_were_killed(launch: Launch) -> None:
    third = launch("third", "--no-http")
    one = launch("one", "--no-http", joins=(third,))
    two = launch("two", "--no-http", joins=(third,))
    wait_connection(one, two)
    wait_connection(two, one)
    # Only who dialled knows an address for certain; it may be either.
    met = [node for node in (one, two) if eventually(lambda node=node: len(remembered(node)) == 2, timeout_s=5)]
    assert met
    peers = {node.name: node.peer_id for node in (one, two)}
    homes = {node.name: node.address.partition("/p2p/")[0] for node in (one, two)}
    for node in (third, one, two):
        node.kill()
    for node in (one, two):
        file = node.home / "peers.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        node.listen = homes[node.name]
        node.start()
        assert node.peer_id == peers[node.name]
    wait_connection(one, two)
    wait_connection(two, one)
    assert connected(one) == {two.peer_id}


def test_a_damaged_file_of_known_peers_does_not_keep_a_node_from_starting(launch: Launch) -> None:
    node = launch("node", "--no-http")
    node.kill()
    (node.home / "peers.json").write_text('{"format": 1, "peers": [')
    node.start()
    line = node.wait_for("known_peers_damaged")
    assert line["set_aside"] == str(node.home / "peers.damaged")
    assert node.stop() == 0


def test_a_frozen_node_is_gone_from_the_peers_and_dialled_again_when_it_wakes(launch: Launch) -> None:
    frozen = launch("frozen", "--no-http")
    node = launch("node", "--no-http", joins=(frozen,))
    wait_connection(node, frozen)
    assert connected(node) == {frozen.peer_id}
    mark = node.mark
    stopped_s = time.time()
    frozen.signal(signal.SIGSTOP)
    try:
        lost = node.wait_for("peer_disconnected", since=mark)
        assert datetime.fromisoformat(lost["timestamp"]).timestamp() - stopped_s < NOTICED_S
        assert connected(node) == set()
        mark = node.mark
    finally:
        frozen.signal(signal.SIGCONT)
    wait_connection(node, frozen, since=mark)
    assert connected(node) == {frozen.peer_id}


def remembered(node: NodeProcess) -> set[str]:
    file = node.home / "peers.json"
    return {each["id"] for each in json.loads(file.read_text())["peers"]} if file.exists() else set()


def eventually(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """The file of another process cannot be awaited, only looked at."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
