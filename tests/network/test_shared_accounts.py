"""Two nodes on one PostgreSQL: one key, one balance, one revocation, whichever of them is asked."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from postgres import postgres_server, programs

from tests.network.conftest import MODEL_ID, Launch
from tests.network.test_keys import MESSAGES, Shopper, peernode, refused

pytestmark = pytest.mark.real
PRICES = "[prices]\nprompt = 1_000_000\ncached = 500_000\ncompletion = 1_000_000_000\n"


@pytest.fixture
def ledger_url() -> Iterator[str]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql; scripts/test does it)")
    with postgres_server() as server:
        yield server.database()


def test_two_nodes_one_account(launch: Launch, model_path: Path, tmp_path: Path, ledger_url: str) -> None:
    files = {name: tmp_path / f"{name}.toml" for name in ("provider", "edge")}
    files["provider"].write_text(PRICES)
    files["edge"].write_text(f'ledger_url = "{ledger_url}"\n')
    provider = launch("provider", "--config", str(files["provider"]), "--model", str(model_path), "--no-http")
    edges = [launch(name, "--config", str(files["edge"]), joins=(provider,)) for name in ("first", "second")]
    provider.wait_for_model()
    for edge in edges:
        edge.wait_for_offer(provider.peer_id)
    first, second = edges
    made = peernode(first, "keys", "create", "shared", "--credits", "0.2", "--ledger", ledger_url)
    shoppers = [Shopper(edge, made["key"]) for edge in edges]

    def ask(number: int) -> tuple[int, str] | None:
        try:
            return number % 2, str(shoppers[number % 2].ask(max_tokens=20, seed=number).request_id)
        except openai.APIStatusError as err:
            assert err.status_code == 402, err
            return None

    with ThreadPoolExecutor(8) as pool:
        served = [done for done in pool.map(ask, range(20)) if done]
    assert 2 <= len(served) < 20
    paid = sum(shoppers[at].get(f"/v1/receipts/{request_id}")["payment_amount"] for at, request_id in served)
    usages = [shopper.get("/v1/usage") for shopper in shoppers]
    assert usages[0] == usages[1] == peernode(second, "keys", "show", "shared", "--ledger", ledger_url)["usage"]
    assert usages[0]["spent"] == pytest.approx(paid, abs=1e-9)
    assert usages[0]["balance"] == pytest.approx(0.2 - paid, abs=1e-9)
    assert usages[0]["held"] == 0

    # What one of them held when it was killed comes back with it, and nobody else's.
    peernode(second, "keys", "topup", "shared", "2", "--ledger", ledger_url)
    body = {"model": MODEL_ID, "messages": MESSAGES, "stream": True, "max_tokens": 400, "logit_bias": {"2": -100}}
    with httpx.stream(
        "POST", f"{first.url}/v1/chat/completions", json=body, headers=shoppers[0].headers, timeout=60
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        held = shoppers[1].get("/v1/usage")["held"]
        assert held > 0.3
        first.kill()
    second.stop()
    second.start()
    shoppers[1] = Shopper(second, made["key"])
    assert shoppers[1].get("/v1/usage")["held"] == held

    peernode(second, "keys", "revoke", "shared", "--ledger", ledger_url)
    assert refused(openai.AuthenticationError, shoppers[1].ask) == (401, "revoked_key")
