"""Real nodes that give each other little credit: a taker is cut off until it settles, traders never are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodes import NodeProcess

from tests.network.conftest import MODEL_ID, Launch

pytestmark = pytest.mark.real

TOKENS = 4
# Four tokens cost 400 micro-credits, and a prompt nothing: two answers fit into a newcomer's line, three do not.
ANSWER = 400
CONFIG = """
[prices]
prompt = 0
cached = 0
completion = 100_000_000

[credit]
newcomer = 1000
newcomers_cap = 1500
growth_percent = 0
"""


def lender(folder: Path) -> tuple[str, ...]:
    path = folder / "credit.toml"
    path.write_text(CONFIG)
    return ("--config", str(path))


def ask(node: NodeProcess, *, only: str = "") -> httpx.Response:
    body: dict[str, Any] = {
        "model": MODEL_ID,
        "messages": [{"role": "user", "content": "Count to three."}],
        "max_tokens": TOKENS,
        "temperature": 0,
    }
    if only:
        body["provider"] = {"only": [only]}
    return httpx.post(f"{node.url}/v1/chat/completions", json=body, timeout=60)


def told(node: NodeProcess, *args: str) -> Any:
    command = [sys.executable, "-m", "peernode", "credits", *args, "--json", "--home", str(node.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def line(node: NodeProcess, peer: NodeProcess) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in told(node, "peers") if row["peer"] == peer.peer_id)
    return found


def test_a_taker_is_cut_off_and_served_again_when_it_settled(launch: Launch, tmp_path: Path, model_path: Path) -> None:
    provider = launch("provider", "--model", str(model_path), *lender(tmp_path))
    provider.wait_for_model()
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    assert [ask(edge).status_code for _ in range(2)] == [200, 200]
    refused = ask(edge)
    assert refused.status_code == 503, refused.text
    assert "credit: 800 owed, 0 held, 400 for this, of a line of 1000" in refused.text
    cost = 2 * ANSWER
    owed = line(provider, edge)
    assert (owed["balance"], owed["held"], owed["limit"]) == (cost, 0, 1000)
    assert line(edge, provider)["balance"] == -cost
    assert line(edge, provider)["refuses_us"]["reason"].startswith("credit: ")
    assert told(provider, "balance")["owed_by_peers"] == cost
    made = told(provider, "settle", edge.peer_id, f"{cost / 10**6:.6f}", "--reference", "invoice 1")
    assert (made["delivered"], made["balance"]) == (True, 0)
    assert line(edge, provider)["balance"] == 0
    edge.wait_for("settlement_taken")
    assert next(row["note"] for row in told(edge, "history", provider.peer_id)) == "invoice 1"
    assert ask(edge).status_code == 200
    # And a provider remembers over a restart.
    assert provider.stop() == 0
    provider.start()
    again = line(provider, edge)
    assert (again["served"] - again["settled"], again["settled"]) == (again["balance"], cost)


def test_two_that_serve_each_other_are_never_cut_off(launch: Launch, tmp_path: Path, model_path: Path) -> None:
    one = launch("one", "--model", str(model_path), *lender(tmp_path))
    two = launch("two", "--model", str(model_path), *lender(tmp_path), joins=(one,))
    for node, other in ((one, two), (two, one)):
        node.wait_for_model()
        node.wait_for_offer(other.peer_id)
    for _ in range(4):
        for asker, answerer in ((one, two), (two, one)):
            answer = ask(asker, only=answerer.peer_id)
            assert answer.status_code == 200, answer.text
            assert answer.json()["provider"] == answerer.peer_id
    mine, theirs = line(one, two), line(two, one)
    assert (mine["served"], mine["taken"]) == (theirs["taken"], theirs["served"])
    assert mine["served"] == mine["taken"] == 4 * ANSWER > 1000  # more than a newcomer's line in each direction
    assert mine["balance"] == theirs["balance"] == 0
