"""Addresses that swallow everything hold up neither the start nor the other dials: a real black hole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import Internet, NoNamespaces
from nodes import NodeProcess

from peernode.wire.identity import Identity

pytestmark = pytest.mark.real

GONE = [Identity.from_seed(bytes([number]) * 32).peer_id for number in range(1, 9)]


@pytest.fixture
def net() -> Iterator[Internet]:
    try:
        with Internet() as net:
            yield net
    except NoNamespaces as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


@pytest.fixture
def nodes() -> Iterator[list[NodeProcess]]:
    nodes: list[NodeProcess] = []
    yield nodes
    for node in nodes:
        node.kill()


def test_a_node_starts_and_joins_although_most_addresses_swallow_everything(
    net: Internet, nodes: list[NodeProcess], tmp_path: Path
) -> None:
    hole = net.public("hole", 9)
    net.cut(hole)
    quiet = tmp_path / "quiet.toml"
    quiet.write_text("[mesh]\nmdns = false\nupnp = false\n")
    common = ("--network", "test", "--no-http", "--config", str(quiet), "--log-level", "debug")
    good_host, host = net.public("good", 1), net.public("node", 2)
    good = NodeProcess(
        tmp_path / "good", *common, name="good", listen=f"/ip4/{good_host.address}/tcp/4701", inside=good_host.command()
    )
    nodes.append(good)
    good.start()
    # A host that drops packets, a network to which there is no route, and last the one that answers.
    silent = [f"/ip4/{hole.address}/tcp/{4000 + number}/p2p/{peer}" for number, peer in enumerate(GONE)]
    join = [*silent, f"/ip4/203.0.113.1/tcp/4701/p2p/{GONE[0]}", f"/ip4/{hole.address}/tcp/4701/p2p/{good.peer_id}"]
    flags = [part for address in [*join, good.address] for part in ("--join", address)]
    node = NodeProcess(
        tmp_path / "node", *common, *flags, name="node", listen=f"/ip4/{host.address}/tcp/4701", inside=host.command()
    )
    nodes.append(node)
    node.start()
    node.wait_for("peer_connected", where=lambda line: line["peer"] == good.peer_id)
    # A dial into the hole takes five seconds to fail: that comes last, though it began first.
    node.wait_for("dial_failed", where=lambda line: hole.address in line["address"])
    events = [line["event"] for line in node.log if hole.address in line.get("address", hole.address)]
    assert max(events.index("node_started"), events.index("peer_connected")) < events.index("dial_failed")
