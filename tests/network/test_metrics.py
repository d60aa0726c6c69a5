"""What the engines of a real node say of themselves after a real answer."""

from __future__ import annotations

import subprocess
import sys

import pytest
from nodes import chat_stream
from prometheus_client.parser import text_string_to_metric_families

from tests.network.conftest import MODEL_ID, Network

pytestmark = pytest.mark.real


def test_the_time_of_steps_is_accounted_for(network: Network) -> None:
    node = network.providers[1]
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": "Count to ten."}], "max_tokens": 16}
    assert list(chat_stream(node.url, body))
    command = [sys.executable, "-m", "peernode", "metrics", "--home", str(node.home)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    samples = {
        (sample.name, sample.labels.get("phase", "")): sample.value
        for family in text_string_to_metric_families(printed)
        for sample in family.samples
    }
    assert samples["peernode_engine_steps_total", ""] > 0
    seconds = {phase: samples["peernode_engine_step_seconds_total", phase] for phase in ("fill", "sample", "emit")}
    assert all(spent > 0 for spent in seconds.values())
    assert samples["peernode_engine_step_seconds_total", "decode"] > sum(seconds.values())
