"""A provider in another language: a real edge asks it over the mesh, checks its bills and pays them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from nodes import NodeProcess, chat_stream

from peernode.wire.identity import Identity
from tests.interop.js_process import JsNode, prepare

pytestmark = pytest.mark.real

SEED = bytes(range(140, 172))
PEER_ID = Identity.from_seed(SEED).peer_id
WORDS = "one two three four five six seven"


@pytest.fixture(scope="module")
def edge_and_js(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, JsNode]]:
    folder = tmp_path_factory.mktemp("js_provider")
    edge = NodeProcess(folder / "edge", "--network", "test", name="edge").start()
    try:
        js = JsNode(
            prepare(folder / "js"),
            network="test",
            join=edge.address,
            listen="/ip4/127.0.0.1/tcp/0",
            seed=SEED.hex(),
            provides=True,
        )
        try:
            edge.wait_for_offer(PEER_ID)
            yield edge, js
        finally:
            js.kill()
    finally:
        edge.kill()


def _body(content: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": content}], **more}


def _verify(edge: NodeProcess, request_id: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "peernode", "receipts", "verify", request_id, "--home", str(edge.home), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


@pytest.mark.parametrize(("most", "text", "reason"), [(None, WORDS, "stop"), (3, "one two three ", "length")])
def test_it_answers_and_is_paid(
    edge_and_js: tuple[NodeProcess, JsNode], most: int | None, text: str, reason: str
) -> None:
    edge, js = edge_and_js
    answer = httpx.post(f"{edge.url}/v1/chat/completions", json=_body(WORDS, max_tokens=most), timeout=60).json()
    assert answer["provider"] == PEER_ID
    assert answer["choices"][0]["message"]["content"] == text
    assert answer["choices"][0]["finish_reason"] == reason
    served = js.wait_for("served", where=lambda line: line.get("request_id") == answer["request_id"])
    assert served["outcome"] == "paid"
    assert served["cumulative"] >= served["credits"] > 0
    assert _verify(edge, answer["request_id"])["verified"] is True


def test_a_long_answer_is_acknowledged_on_its_way(edge_and_js: tuple[NodeProcess, JsNode]) -> None:
    edge, js = edge_and_js
    words = " ".join(f"w{number}" for number in range(400))  # more than may be under way unacknowledged
    answer = httpx.post(f"{edge.url}/v1/chat/completions", json=_body(words), timeout=120).json()
    assert answer["choices"][0]["message"]["content"] == words
    served = js.wait_for("served", where=lambda line: line.get("request_id") == answer["request_id"])
    assert served["outcome"] == "paid"
    assert _verify(edge, answer["request_id"])["verified"] is True


def test_it_stops_when_the_client_leaves_and_is_paid_for_what_it_sent(edge_and_js: tuple[NodeProcess, JsNode]) -> None:
    edge, js = edge_and_js
    stream = chat_stream(edge.url, _body("word " * 3000))
    for chunk in stream:
        if chunk["choices"][0]["delta"].get("content"):
            break
    stream.close()
    served = js.wait_for("served", where=lambda line: line.get("reason") == "cancelled")
    assert served["outcome"] == "paid"
    assert _verify(edge, served["request_id"])["verified"] is True
