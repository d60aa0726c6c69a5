"""Nodes on one local network find each other without being told of each other: real processes in namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from namespaces import Internet, NetHost, NoNamespaces
from nodes import NodeProcess

pytestmark = pytest.mark.real

# What the mesh promises, by the nodes' own logs, and a second for a machine that is busy with other tests.
FOUND_S = 5.0 + 1.0
Launch = Callable[..., NodeProcess]


@pytest.fixture
def lan() -> Iterator[Internet]:
    net = Internet()
    try:
        net.__enter__()
    except NoNamespaces as error:
        pytest.skip(str(error))
    yield net
    net.remove()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    nodes: list[NodeProcess] = []

    def launch(
        host: NetHost, name: str, *, network: str = "home", listen: str = "/ip4/0.0.0.0/tcp/4701"
    ) -> NodeProcess:
        node = NodeProcess(
            tmp_path / name, "--network", network, "--no-http", name=name, listen=listen, inside=host.command()
        )
        nodes.append(node)
        return node.start()

    yield launch
    for node in nodes:
        node.kill()


def _at(line: dict[str, Any]) -> float:
    """When a line was logged, in seconds."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def test_a_peer_on_the_lan_is_found_in_five_seconds(lan: Internet, launch: Launch) -> None:
    first = launch(lan.public("one", 1), "one")
    second = launch(lan.public("two", 2), "two")
    since = _at(second.wait_for("mdns_running"))
    for node, other in ((first, second), (second, first)):
        line = node.wait_for("peer_connected", where=lambda line, other=other: line["peer"] == other.peer_id)
        assert _at(line) - since < FOUND_S
    stranger = launch(lan.public("three", 3), "three", network="work")
    late = launch(lan.public("four", 4), "four")
    late.wait_for("peer_connected", where=lambda line: line["peer"] == first.peer_id)
    # By then the node of another network has heard of all the others just as well.
    assert not [line for line in stranger.log if line["event"] in ("lan_peer_found", "peer_connected")]
    assert not [line for line in first.log if line.get("peer") == stranger.peer_id]
    assert [node.stop() for node in (first, second, stranger, late)] == [0, 0, 0, 0]


def test_a_node_on_loopback_says_nothing_on_the_lan(lan: Internet, launch: Launch) -> None:
    host = lan.public("one", 1)
    node = launch(host, "one", listen="/ip4/127.0.0.1/tcp/4701")
    listening = host.run("ss", "--udp", "--listening", "--numeric", "--no-header")
    assert ":5353" not in listening
    assert not [line for line in node.log if line["event"].startswith("mdns")]
    beside = launch(host, "two")
    beside.wait_for("mdns_running")
    assert ":5353" in host.run("ss", "--udp", "--listening", "--numeric", "--no-header")


def test_nodes_that_only_speak_ipv6_find_each_other(lan: Internet, launch: Launch) -> None:
    nodes = []
    for number, name in ((1, "one"), (2, "two")):
        host = lan.public(name, number)
        host.run("ip", "-6", "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
        nodes.append(launch(host, name, listen="/ip6/::/tcp/4701"))
    found = nodes[1].wait_for("peer_connected", where=lambda line: line["peer"] == nodes[0].peer_id)
    assert found["direction"] in ("inbound", "outbound")
    assert nodes[0].address.startswith("/ip6/fd00::1/")
