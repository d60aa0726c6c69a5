"""Eight clients at once, and clients that leave, on real nodes."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import httpx
import pytest
from nodes import NodeProcess, chat_stream

from peernode.ledger import ReceiptRecord, ReceiptStore
from tests.network.conftest import MODEL_ID, Network

pytestmark = pytest.mark.real
# An answer ends when it is cut or at its limit, and never by itself.
ENDLESS = {"2": -100}


def test_eight_clients_stream_at_the_same_time(network: Network) -> None:
    order: list[int] = []
    ends: dict[int, dict[str, Any]] = {}

    def client(number: int) -> None:
        body = {
            "model": MODEL_ID,
            "messages": [{"role": "user", "content": f"Tell a story about the number {number}."}],
            "max_tokens": 100,  # far longer than the eight take to come
            "temperature": 0.7,
            "seed": number,
            "logit_bias": ENDLESS,
        }
        for chunk in chat_stream(network.edge.url, body):
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                order.append(number)
            ends[number] = chunk

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert all(ends[number]["receipt"]["digest"] for number in range(8))
    # All streams run before the first one ends: nobody waits for another to finish.
    first_end = min(max(at for at, who in enumerate(order) if who == number) for number in range(8))
    assert set(order[:first_end]) == set(range(8))
    switches = sum(a != b for a, b in itertools.pairwise(order))
    assert switches > len(order) / 3


def test_a_client_that_hangs_up_frees_its_slot_and_is_billed_for_what_was_sent(network: Network) -> None:
    body = {
        "model": MODEL_ID,
        "messages": [{"role": "user", "content": "Count to a thousand."}],
        "max_tokens": 900,
        "logit_bias": ENDLESS,
    }
    seen = 0
    with (
        httpx.Client(timeout=60) as client,
        client.stream("POST", f"{network.edge.url}/v1/chat/completions", json={**body, "stream": True}) as answer,
    ):
        request_id = answer.headers["x-request-id"]
        for line in answer.iter_lines():
            seen += '"content"' in line
            if seen > 6:
                break
    network.edge.wait_for("job_ended", where=lambda line: line["request_id"] == request_id)
    edge_record = recorded(network.edge, request_id)
    provider = next(p for p in network.providers if p.peer_id == edge_record.receipt.receipt.provider)
    provider.wait_for("job_served", where=lambda line: line["request_id"] == request_id)
    provider_record = recorded(provider, request_id)
    receipt = edge_record.receipt.receipt
    assert receipt.finish_reason == "cancelled"
    assert 6 <= receipt.completion_tokens < 900
    assert provider_record.receipt == edge_record.receipt
    assert provider_record.countersignature == edge_record.countersignature
    status = provider.admin("/admin/status")
    assert status["models"][0]["free_slots"] == status["models"][0]["slots"]
    assert status["jobs"]["provided"] == 0


def recorded(node: NodeProcess, request_id: str) -> ReceiptRecord:
    (record,) = ReceiptStore.open_readonly(node.home / "ledger.db").find(request_id)
    return record
