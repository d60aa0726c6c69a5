"""Clients' money on a real node with a real model: a key from its making to its end, and what a crash leaves of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from nodes import NodeProcess

from tests.network.conftest import MODEL_ID, Launch

pytestmark = pytest.mark.real
MESSAGES = [{"role": "user", "content": "Name some colours."}]
# A credit buys a hundred tokens of an answer, or a thousand of a prompt.
CONFIG = """
[prices]
prompt = 1_000_000_000
cached = 500_000_000
completion = 10_000_000_000
"""
ROOM = 1e-9


@pytest.fixture
def shop(launch: Launch, model_path: Path, tmp_path: Path) -> Iterator[NodeProcess]:
    """A node with a model that is dear enough for a key to be spent."""
    config = tmp_path / "dear.toml"
    config.write_text(CONFIG)
    node = launch("shop", "--config", str(config), "--model", str(model_path))
    node.wait_for_model()
    yield node
    if node.running:
        assert node.stop() == 0


def peernode(node: NodeProcess, *words: str) -> Any:
    """What the command says as JSON."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PEERNODE_")}
    done = subprocess.run(
        [sys.executable, "-m", "peernode", *words, "--home", str(node.home), "--json"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Shopper:
    """The stock client with one key."""

    def __init__(self, node: NodeProcess, key: str) -> None:
        self.url = node.url
        self.headers = {"Authorization": f"Bearer {key}"}
        self.client = openai.OpenAI(base_url=f"{node.url}/v1", api_key=key, max_retries=0)

    def ask(self, max_tokens: int | None = 40, **more: Any) -> Any:
        return self.client.chat.completions.create(
            model=MODEL_ID, messages=MESSAGES, **({"max_tokens": max_tokens} if max_tokens else {}), **more
        )

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + path, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


def refused(kind: type[openai.APIStatusError], ask: Callable[[], object]) -> tuple[int, str]:
    """Status and code of a refusal that the stock client raises as ``kind``."""
    with pytest.raises(kind) as found:
        ask()
    assert isinstance(found.value.body, dict)
    return found.value.status_code, found.value.body["metadata"]["reason"]


def same_everywhere(node: NodeProcess, shopper: Shopper, key_id: str, request_ids: list[str], granted: float) -> float:
    """``/v1/usage``, OpenRouter's two routes, the command line and the receipts agree; what was spent in all."""
    usage = shopper.get("/v1/usage")
    shown = peernode(node, "keys", "show", key_id)
    account = shopper.get("/api/v1/key")["data"]
    receipts = [shopper.get(f"/v1/receipts/{request_id}") for request_id in request_ids]
    generations = [shopper.get(f"/api/v1/generation?id={request_id}")["data"] for request_id in request_ids]
    assert shown["usage"] == usage
    spent = sum(receipt["payment_amount"] for receipt in receipts)
    tokens = sum(receipt["receipt"]["prompt_tokens"] + receipt["receipt"]["completion_tokens"] for receipt in receipts)
    assert all(receipt["verified"]["ok"] for receipt in receipts)
    assert (usage["total_requests"], usage["total_tokens"]) == (len(request_ids), tokens)
    for total in (
        usage["total_cost"],
        usage["spent"],
        usage["by_day"][0]["cost"],
        usage["by_model"][0]["cost"],
        shown["spent"],
        account["usage"],
        sum(generation["total_cost"] for generation in generations),
    ):
        assert total == pytest.approx(spent, abs=ROOM)
    assert usage["held"] == 0
    assert usage["balance"] == shown["balance"] == pytest.approx(granted - spent, abs=ROOM)
    return spent


def test_a_key_from_its_making_to_its_end(shop: NodeProcess) -> None:
    made = peernode(shop, "keys", "create", "shopper", "--credits", "5")
    shopper, key_id, asked = Shopper(shop, made["key"]), made["id"], []

    # Spent until it does not reach.
    cost = 0.0
    while True:
        try:
            answer = shopper.ask(seed=len(asked))
        except openai.APIStatusError as err:
            assert err.status_code == 402
            assert err.body["metadata"]["needed"] > err.body["metadata"]["available"]
            break
        asked.append(answer.request_id)
        cost += answer.usage.cost
        assert len(asked) < 400
    assert len(asked) > 5
    spent = same_everywhere(shop, shopper, key_id, asked, 5)
    assert cost == pytest.approx(spent, abs=ROOM)
    assert spent < 5

    # What is left pays for a shorter answer, asked for or not.
    left = shopper.get("/v1/usage")["balance"]
    if left > 0.9:
        asked.append(shopper.ask(max_tokens=None).request_id)
        same_everywhere(shop, shopper, key_id, asked, 5)

    # Topped up it goes on, in streams as well.
    peernode(shop, "keys", "topup", key_id, "2.5")
    chunks = list(shopper.ask(stream=True, stream_options={"include_usage": True}))
    asked.append(chunks[0].request_id)
    assert chunks[-1].usage.cost > 0
    spent = same_everywhere(shop, shopper, key_id, asked, 7.5)

    # A cap is heeded at once, and so is its end.
    peernode(shop, "keys", "limit", key_id, "--day-cap", "0.5")
    assert refused(openai.RateLimitError, shopper.ask) == (429, "day_cap_reached")
    peernode(shop, "keys", "limit", key_id, "--day-cap", "none", "--month-cap", "0.5")
    assert refused(openai.RateLimitError, shopper.ask) == (429, "month_cap_reached")
    peernode(shop, "keys", "limit", key_id, "--month-cap", "none", "--requests-per-minute", "1")
    asked.append(shopper.ask(max_tokens=5).request_id)
    assert refused(openai.RateLimitError, shopper.ask) == (429, "requests_per_minute")
    peernode(shop, "keys", "limit", key_id, "--requests-per-minute", "none", "--model", "other/*")
    assert refused(openai.PermissionDeniedError, shopper.ask) == (403, "model_not_allowed")
    peernode(shop, "keys", "limit", key_id, "--model", "none")
    same_everywhere(shop, shopper, key_id, asked, 7.5)

    # Another key sees nothing of it.
    other = Shopper(shop, peernode(shop, "keys", "create", "other", "--unlimited")["key"])
    answer = httpx.get(f"{shop.url}/v1/receipts/{asked[0]}", headers=other.headers)
    assert (answer.status_code, answer.json()["error"]["metadata"]["reason"]) == (403, "not_yours")

    # Revoked it is refused with the next request; the books keep what happened.
    revoked = peernode(shop, "keys", "revoke", key_id)
    assert revoked["state"] == "revoked"
    assert refused(openai.AuthenticationError, shopper.ask) == (401, "revoked_key")
    assert peernode(shop, "keys", "show", key_id)["usage"]["total_requests"] == len(asked)

    # No key stands in any log line.
    secret = made["key"].removeprefix(f"sk-pn-{key_id}")
    assert all(secret not in json.dumps(line) for line in shop.log)


def test_requests_at_once_never_overspend(shop: NodeProcess) -> None:
    made = peernode(shop, "keys", "create", "crowd", "--credits", "3")
    shopper = Shopper(shop, made["key"])

    def ask(number: int) -> str | None:
        try:
            return str(shopper.ask(max_tokens=30, seed=number).request_id)
        except openai.APIStatusError as err:
            assert err.status_code == 402
            return None

    with ThreadPoolExecutor(12) as pool:
        served = [request_id for request_id in pool.map(ask, range(24)) if request_id]
    assert 0 < len(served) < 24
    assert same_everywhere(shop, shopper, made["id"], served, 3) <= 3

    # Several choices hold each for itself.
    peernode(shop, "keys", "topup", made["id"], "5")
    answer = shopper.ask(max_tokens=20, n=3)
    choices = [choice.request_id for choice in answer.choices]
    spent = same_everywhere(shop, shopper, made["id"], [*served, *choices], 8)
    assert spent > 0


def settled_usage(shopper: Shopper, *, within_s: float = 30.0) -> Any:
    """``/v1/usage`` once nothing is held any more: the receipt of a part that broke off is fetched."""
    give_up = time.monotonic() + within_s
    while (usage := shopper.get("/v1/usage"))["held"]:
        assert time.monotonic() < give_up, usage
        time.sleep(0.1)
    return usage


def test_answers_of_other_nodes_cost_what_their_receipts_say(launch: Launch, model_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "prices.toml"
    config.write_text("[prices]\nprompt = 1_000_000\ncached = 500_000\ncompletion = 100_000_000\n")
    provider = launch("provider", "--config", str(config), "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    provider.wait_for_model()
    edge.wait_for_offer(provider.peer_id)
    made = peernode(edge, "keys", "create", "afar", "--credits", "1")
    shopper, asked = Shopper(edge, made["key"]), []
    for number in range(3):
        asked.append(shopper.ask(max_tokens=20, seed=number).request_id)
        assert shopper.get("/v1/usage")["held"] == 0
    assert same_everywhere(edge, shopper, made["id"], asked, 1) > 0
    # Who hangs up pays for what was made until then.
    body = {"model": MODEL_ID, "messages": MESSAGES, "stream": True, "max_tokens": 500, "logit_bias": {"2": -100}}
    before = shopper.get("/v1/usage")["spent"]
    with httpx.stream("POST", f"{edge.url}/v1/chat/completions", json=body, headers=shopper.headers) as answer:
        lines = answer.iter_lines()
        for _ in range(40):
            next(lines)
    edge.wait_for("job_ended", where=lambda line: line["outcome"] == "client_left")
    after = settled_usage(shopper)
    assert 0 < after["spent"] - before < 0.05
    asked.append(answer.headers["x-request-id"])
    same_everywhere(edge, shopper, made["id"], asked, 1)


def test_the_share_of_an_edge_is_quoted_charged_and_booked(launch: Launch, model_path: Path, tmp_path: Path) -> None:
    price, share = tmp_path / "price.toml", tmp_path / "share.toml"
    price.write_text("[prices]\nprompt = 1_000_000\ncached = 1_000_000\ncompletion = 100_000_000\n")
    share.write_text("[prices]\ncoordinator_share = 0.05\n")
    provider = launch("provider", "--config", str(price), "--model", str(model_path), "--no-http")
    edge = launch("edge", "--config", str(share), joins=(provider,))
    provider.wait_for_model()
    edge.wait_for_offer(provider.peer_id)
    made = peernode(edge, "keys", "create", "client", "--credits", "1")
    shopper = Shopper(edge, made["key"])
    answer = shopper.ask(max_tokens=20)
    service = shopper.get(f"/v1/receipts/{answer.request_id}")["receipt"]["credits"]
    fee = service * 5 // 100
    assert fee > 50
    assert answer.usage.cost * 1e6 == pytest.approx(service + fee, abs=1e-3)
    usage = shopper.get("/v1/usage")
    assert usage["spent"] * 1e6 == pytest.approx(service + fee, abs=1e-3)
    # What is quoted is what a client pays; the provider asks, and is owed, its own price.
    pricing = shopper.get(f"/v1/models/{MODEL_ID}")["pricing"]
    (endpoint,) = shopper.get(f"/api/v1/models/{MODEL_ID}/endpoints")["data"]["endpoints"]
    assert float(pricing["completion"]) == float(endpoint["pricing"]["completion"]) == pytest.approx(105e-6)
    books = peernode(edge, "credits", "balance")
    assert (books["fees"], books["owed_to_peers"]) == (-fee, service)
    below = {"provider": {"max_price": {"completion": 104.9}}}
    assert refused(openai.InternalServerError, lambda: shopper.ask(extra_body=below))[0] == 503
    above = {"provider": {"max_price": {"completion": 105}}}
    assert shopper.ask(max_tokens=5, extra_body=above).choices


def test_what_a_killed_node_held_goes_back(shop: NodeProcess) -> None:
    made = peernode(shop, "keys", "create", "unlucky", "--credits", "9")
    shopper = Shopper(shop, made["key"])
    # The model's end of a turn is forbidden, so that the answer lasts.
    body = {"model": MODEL_ID, "messages": MESSAGES, "stream": True, "max_tokens": 700, "logit_bias": {"2": -100}}
    first = shopper.ask(max_tokens=10).request_id
    spent = same_everywhere(shop, shopper, made["id"], [first], 9)
    with httpx.stream(
        "POST", f"{shop.url}/v1/chat/completions", json=body, headers=shopper.headers, timeout=60
    ) as answer:
        assert answer.headers["cost-per-unit"] == "0.01"
        lines = answer.iter_lines()
        next(lines)
        assert shopper.get("/v1/usage")["held"] > 7
        shop.kill()
    shop.start()
    shop.wait_for_model()
    assert shop.wait_for("forgotten_holds_released")["micro_credits"] > 0
    after = Shopper(shop, made["key"])
    assert same_everywhere(shop, after, made["id"], [first], 9) == spent
    assert after.ask(max_tokens=10).usage.cost > 0
