"""kill -9 of a provider, of an engine's worker, of the edge; and the orderly way out."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodes import chat_stream

from peernode.ledger import ReceiptStore
from peernode.market.advertising import LEASE_MS
from tests.network.conftest import MODEL_ID, Launch

pytestmark = pytest.mark.real
BODY = {"model": MODEL_ID, "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 8}


def ask(url: str, **extra: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json={**BODY, **extra}, timeout=60)


def test_a_killed_provider_is_gone_after_one_failed_dial_and_back_with_its_key(
    launch: Launch, model_path: Path
) -> None:
    provider = launch("provider", "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    assert ask(edge.url).json()["provider"] == provider.peer_id

    mark, peer_id, port = edge.mark, provider.peer_id, provider.address.split("/")[4]
    provider.kill()
    first = ask(edge.url)
    assert first.status_code in {502, 503}
    assert httpx.get(f"{edge.url}/v1/models").json()["data"] == []  # at once after the failed dial
    assert ask(edge.url).status_code == 503

    provider.listen = f"/ip4/127.0.0.1/tcp/{port}"
    provider.start()
    provider.wait_for_model()
    assert provider.peer_id == peer_id
    edge.wait_for_offer(peer_id, since=mark)
    assert ask(edge.url).json()["provider"] == peer_id


def test_a_killed_provider_nobody_asks_for_is_gone_within_its_lease(launch: Launch, model_path: Path) -> None:
    provider = launch("provider", "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    mark = edge.mark
    provider.kill()
    edge.wait_for(
        "peer_gone", where=lambda line: line["peer"] == provider.peer_id, since=mark, timeout_s=LEASE_MS / 1000 + 10
    )
    assert httpx.get(f"{edge.url}/v1/models").json()["data"] == []


def test_a_killed_worker_is_replaced_and_its_jobs_go_on(launch: Launch, model_path: Path) -> None:
    provider = launch("provider", "--model", str(model_path))
    provider.wait_for_model()
    worker = provider.admin("/admin/status")["models"][0]["worker_pid"]
    chunks = []
    for chunk in chat_stream(provider.url, {**BODY, "max_tokens": 400, "temperature": 0}):
        chunks.append(chunk)
        if len(chunks) == 5:
            mark = provider.mark
            os.kill(worker, signal.SIGKILL)
    provider.wait_for("model_ready", since=mark)
    assert chunks[-1]["choices"][0]["finish_reason"] in {"stop", "length"}
    assert chunks[-1]["receipt"]["digest"]
    assert ask(provider.url).status_code == 200
    assert provider.running


def test_after_a_kill_of_the_edge_every_receipt_a_client_saw_is_still_there(launch: Launch, model_path: Path) -> None:
    provider = launch("provider", "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    seen: list[str] = []
    refused: list[str] = []
    enough = threading.Event()

    def keep_asking() -> None:
        while True:
            try:
                answer = ask(edge.url, max_tokens=3)
            except httpx.HTTPError:
                enough.set()
                return
            if answer.status_code == 200 and answer.json()["receipt"].get("digest"):
                seen.append(answer.json()["request_id"])
            else:
                refused.append(answer.text)
            if refused or len(seen) >= 8:
                enough.set()

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert enough.wait(120)
    assert not refused
    edge.kill()  # in the middle of whatever the three are asking
    for thread in threads:
        thread.join(30)
    for home in (edge.home, provider.home):
        store = ReceiptStore.open_readonly(home / "ledger.db")
        assert [request_id for request_id in seen if not store.find(request_id)] == []
    edge.start()
    for request_id in seen:
        assert httpx.get(f"{edge.url}/v1/receipts/{request_id}").status_code == 200


def test_sigterm_finishes_the_running_answer_leaves_the_directory_and_exits_zero(
    launch: Launch, model_path: Path
) -> None:
    provider = launch("provider", "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    chunks = []
    mark = edge.mark
    for chunk in chat_stream(edge.url, {**BODY, "max_tokens": 60, "temperature": 0}):
        chunks.append(chunk)
        if len(chunks) == 4:
            provider.signal(signal.SIGTERM)
            edge.wait_for("peer_gone", where=lambda line: line["peer"] == provider.peer_id, since=mark)
    assert chunks[-1]["choices"][0]["finish_reason"] in {"stop", "length"}
    assert chunks[-1]["receipt"]["digest"]
    assert provider.stop() == 0
    assert edge.stop() == 0


def test_a_second_sigterm_in_the_middle_of_the_exit_changes_nothing(launch: Launch) -> None:
    node = launch("node")
    node.signal(signal.SIGTERM)
    node.wait_for("node_stopped")
    while node.running:
        node.signal(signal.SIGTERM)
    assert node.stop() == 0


def test_a_model_that_cannot_be_loaded_stops_the_start_with_one_clear_sentence(launch: Launch, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"GGUF" + os.urandom(4096))
    node = launch("node", "--model", str(garbage), start=False)
    node.spawn()
    assert node._process is not None
    assert node._process.wait(60) == 1
    said = [line.get("line", "") for line in node.log]
    assert any("model_load_failed" in line for line in said)
    assert not any("Traceback" in line for line in said)
