"""``peers``, ``ping`` and ``metrics`` of real nodes without models: what they say while a peer is there, and after."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from nodes import NodeProcess
from prometheus_client.parser import text_string_to_metric_families

from tests.network.conftest import Launch

pytestmark = pytest.mark.real


def _peernode(node: NodeProcess, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "peernode", *args, "--home", str(node.home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _samples(node: NodeProcess) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(_peernode(node, "metrics").stdout)
        for sample in family.samples
    }


def test_a_peer_is_seen_pinged_and_counted_and_then_gone(launch: Launch) -> None:
    far = launch("far", "--no-http")
    near = launch("near", "--no-http", joins=(far,))
    near.wait_for("peer_connected")
    near.wait_for("peer_joined", where=lambda line: line["peer"] == far.peer_id)

    pinged = _peernode(near, "ping", far.peer_id[-8:], "--count", "3", "--json")
    assert pinged.returncode == 0, pinged.stderr
    trips = json.loads(pinged.stdout)
    assert (trips["peer_id"], trips["sent"], trips["lost"], trips["path"]) == (far.peer_id, 3, 0, "direct")
    assert 0 < trips["min_ms"] <= trips["median_ms"] <= trips["max_ms"]

    (row,) = json.loads(_peernode(near, "peers", "--json").stdout)
    assert (row["peer_id"], row["connected"], row["direction"]) == (far.peer_id, True, "outbound")
    assert row["version"] and row["suspect"] is False
    assert row["lease_age_s"] >= 0 and row["lease_left_s"] > 0
    # One machine, one clock; the rest is the way here. Not known before a word came fresh from the peer itself.
    assert row["skew_ms"] is None or abs(row["skew_ms"]) < 10_000

    samples = _samples(near)
    assert samples["peernode_mesh_connections", "outbound"] == 1
    assert samples["peernode_mesh_connections", "inbound"] == 0
    assert samples["peernode_mesh_directory_peers",] == 2
    assert samples["peernode_mesh_banned_peers",] == 0
    assert samples["peernode_mesh_streams_opened_total", "out", "/peernode/ping/1"] == 1
    assert samples["peernode_mesh_bytes_total", "in", "/peernode/ping/1"] == 36
    sync = [samples["peernode_mesh_bytes_total", way, "/peernode/sync/1"] for way in ("in", "out")]
    assert all(size > 100 for size in sync)
    assert samples["peernode_tasks",] > 10
    assert samples["process_cpu_seconds_total",] > 0

    mark = near.mark
    far.kill()
    near.wait_for("peer_disconnected", since=mark)
    refused = _peernode(near, "ping", far.peer_id)
    assert refused.returncode == 1
    assert "code: dial_failed" in refused.stderr
    unknown = _peernode(near, "ping", "12D3KooWnobody")
    assert "code: unknown_peer" in unknown.stderr
    (row,) = json.loads(_peernode(near, "peers", "--json").stdout)
    assert (row["peer_id"], row["connected"], row["path"]) == (far.peer_id, False, None)
    assert _samples(near)["peernode_mesh_dial_failures_total",] >= 1
