"""A real edge, asked over HTTP, and a provider that bills falsely: the client has its answer, the edge its evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from nodes import NodeProcess

from peernode.wire.receipt import Receipt
from tests.market.scripted import ScriptedEngine, party
from tests.market.test_dishonest_peers import LyingProvider, signed, signed_by_another
from tests.network.conftest import Launch
from tests.samples import CARD, TEXT

pytestmark = pytest.mark.real


def raised(receipt: Receipt) -> bytes:
    return signed(replace(receipt, credits=receipt.credits + 1))


def ask(edge: NodeProcess) -> dict[str, Any]:
    # What the liar's receipt is made for: the request of tests.samples.
    body = {
        "model": CARD.id,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 16,
        "stop": ["END"],
        "temperature": 0.8,
    }
    answer = httpx.post(f"{edge.url}/v1/chat/completions", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(edge: NodeProcess) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "peernode", "receipts", "list", "--refused", "--json", "--home", str(edge.home)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)


@pytest.mark.parametrize(("lie", "reason"), [(raised, "credits"), (signed_by_another, "bad_signature")])
async def test_the_answer_stands_and_the_bill_does_not(launch: Launch, tmp_path: Path, lie: Any, reason: str) -> None:
    edge = await trio.to_thread.run_sync(launch, "edge")
    liar = LyingProvider(lie)
    async with party(tmp_path, 1, engine=ScriptedEngine(), join=[edge.address], service=liar.handle) as provider:
        await trio.to_thread.run_sync(edge.wait_for_offer, provider.peer_id)
        answer = await trio.to_thread.run_sync(ask, edge)
        assert answer["choices"][0]["message"]["content"] == TEXT
        assert answer["provider"] == provider.peer_id
        assert answer["receipt"]["error"]
        (refusal,) = await trio.to_thread.run_sync(listed, edge)
        assert refusal["request_id"] == answer["request_id"]
        assert reason in refusal["reason"]
