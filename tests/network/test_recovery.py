"""Receipts come home after kill -9 of either side of a real job, and after a connection that was cut.

The long runs are ``scripts/chaos money``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from failover_network import NO_HEDGE, FailoverNetwork, chat
from money_audit import disagreements, missing, read_side
from nodes import NodeProcess
from streamed_answer import StreamedAnswer

pytestmark = pytest.mark.real
SETTLED_S = 60.0


@pytest.fixture
def network(tmp_path: Path, model_path: Path) -> Iterator[FailoverNetwork]:
    made = FailoverNetwork(tmp_path, model_path, edge_config=NO_HEDGE)
    try:
        yield made.start()
    finally:
        made.kill()


def faults(network: FailoverNetwork) -> list[str]:
    providers = [read_side(node.home, node.peer_id) for node in network.providers]
    return disagreements(read_side(network.edge.home, network.edge.peer_id), providers)


def wait_agreed(network: FailoverNetwork) -> None:
    """Until the ledgers of all nodes agree and nothing is open."""
    deadline = time.monotonic() + SETTLED_S
    while found := faults(network):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def parts_of(node: NodeProcess, request_id: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "peernode", "receipts", "show", request_id, "--json", "--home", str(node.home)]
    return list(json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout))


def story(network: FailoverNetwork, tokens: int = 60, **more: Any) -> dict[str, Any]:
    return network.aimed(chat("Tell a long story about the sea.", max_tokens=tokens, temperature=0, **more), first=0)


@pytest.mark.parametrize("kind", ["kill", "reset", "stop"])
def test_a_lost_provider_is_paid_for_exactly_what_came(network: FailoverNetwork, kind: str) -> None:
    strike = network.breaker(kind, 0, 20)
    answer = network.ask(story(network), strike)
    network.mend(kind, 0)
    assert answer.faults() == []
    (seam,) = network.seams(answer)
    wait_agreed(network)
    first, second = network.receipts(answer)
    assert (first["receipt"]["finish_reason"], first["receipt"]["completion_tokens"]) == ("lost", seam)
    assert second["receipt"]["completion_tokens"] == len(answer.tokens) - seam
    assert all(part["verified"]["ok"] for part in (first, second))
    assert first["node_id"] == network.providers[0].peer_id
    sides = [read_side(node.home, node.peer_id) for node in network.nodes]
    assert missing({answer.request_id: first["digest"]}, sides) == []


def test_a_killed_coordinator_pays_for_what_was_sent(network: FailoverNetwork) -> None:
    edge = network.edge

    def strike(answer: StreamedAnswer) -> None:
        if len(answer.tokens) > 20:
            edge.kill()

    with pytest.raises(httpx.HTTPError):
        network.ask(story(network), strike)
    edge.listen = "/".join(edge.address.split("/")[:5])
    edge.start()
    wait_agreed(network)
    side = read_side(edge.home, edge.peer_id)
    (record,) = side.receipts.values()
    assert record.receipt.receipt.completion_tokens >= 20
    command = [sys.executable, "-m", "peernode", "receipts", "recover", "--home", str(edge.home)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Nothing is open" in said


def test_both_killed_lose_no_more_than_one_window(network: FailoverNetwork) -> None:
    edge, provider = network.edge, network.providers[0]

    def strike(answer: StreamedAnswer) -> None:
        if len(answer.tokens) > 300:
            provider.kill()
            edge.kill()

    with pytest.raises(httpx.HTTPError):
        network.ask(story(network, tokens=500, logit_bias={"2": -100}), strike)
    edge.listen = "/".join(edge.address.split("/")[:5])
    edge.start()
    provider.start()
    wait_agreed(network)
    (record,) = read_side(edge.home, edge.peer_id).receipts.values()
    assert record.receipt.receipt.finish_reason == "lost"
    assert record.receipt.receipt.completion_tokens >= 256
