"""Keys at the edge: who is let in, what a key may ask for, and what its holder sees of its account."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import httpx
import openai
import pytest
import structlog
import trio

from peernode.edge.app import build_app
from peernode.edge.auth import WRONG_KEYS_PER_MINUTE, address_of, network_of
from peernode.edge.bind import parse_bind
from peernode.edge.serve import serve_app
from peernode.edge.services import EdgeServices
from peernode.ledger import Database
from peernode.ledger.client_key import ClientKey, KeyLimits, KeyText, new_key_text
from peernode.ledger.client_records import ClientRequest
from peernode.ledger.keys import Keys
from peernode.ledger.spending import Bounds, Spending
from peernode.market.client_accounts import ClientAccounts
from peernode.wire.prices import Prices
from tests.edge.conftest import BODY, COORDINATOR, PRICES, PROVIDER, ScriptedRunner, Shelf
from tests.ledger.test_keys import served

# 2026-03-31 23:00 UTC
NOW = 1_774_998_000_000
REQUEST = "req_01ARZ3NDEKTSV4RRFFQ69G5FAV"


@dataclass
class House:
    """A served edge with keys. ``now_ms`` is its clock."""

    client: httpx.AsyncClient
    keys: Keys
    spending: Spending
    database: Database
    runner: ScriptedRunner
    shelf: Shelf

    def key(self, granted: int = 0, **limits: object) -> tuple[ClientKey, dict[str, str]]:
        key, text = self.keys.create("shop", KeyLimits(**limits), now_ms=NOW, random_bytes=secrets.token_bytes)
        if granted:
            self.keys.grant(key.id, granted, key=f"grant:{key.id}", at_ms=NOW)
        return key, bearer(text)

    async def chat(self, headers: dict[str, str] | None = None, **changes: object) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json={**BODY, **changes}, headers=headers or {})


def bearer(text: KeyText) -> dict[str, str]:
    return {"Authorization": f"Bearer {text.text}"}


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["metadata"]["reason"]


Open = Callable[..., Awaitable[House]]


@pytest.fixture
async def house(
    nursery: trio.Nursery, services: tuple[EdgeServices, ScriptedRunner, Shelf], tmp_path
) -> AsyncIterator[Open]:
    made, runner, shelf = services
    stop = trio.Event()
    database = Database.open(tmp_path / "ledger.db", own=COORDINATOR.peer_id)
    keys, spending = Keys(database), Spending(database)
    clients: list[httpx.AsyncClient] = []

    async def open_house(**changes: object) -> House:
        accounts = ClientAccounts(keys, spending, lambda: NOW)
        own = replace(made, accounts=accounts, clock=lambda: NOW / 1000, **changes)

        async def run(task_status: trio.TaskStatus[object]) -> None:
            await serve_app(build_app(own), parse_bind("127.0.0.1:0"), stop=stop, grace_s=0.2, task_status=task_status)

        client = httpx.AsyncClient(base_url=f"http://{await nursery.start(run)}", timeout=60)
        clients.append(client)
        return House(client, keys, spending, database, runner, shelf)

    yield open_house
    for client in clients:
        await client.aclose()
    stop.set()
    database.close()


async def test_on_loopback_nobody_needs_a_key_and_what_looks_like_none_is_none(house):
    at = await house()
    for headers in ({}, {"Authorization": "Bearer none"}, {"Authorization": "eyJhbGciOi.x.y"}):
        assert (await at.chat(headers)).status_code == 200
    assert [job.payer for job in at.runner.jobs] == ["", "", ""]


async def test_whoever_a_proxy_speaks_for_is_not_on_loopback(house):
    at = await house()
    assert reason(await at.chat({"X-Forwarded-For": "203.0.113.9"})) == (401, "missing_key")
    assert reason(await at.chat({"Forwarded": "for=203.0.113.9"})) == (401, "missing_key")


async def test_without_anonymity_a_key_is_needed_everywhere_but_at_the_probes(house):
    at = await house(anonymous="no")
    assert reason(await at.chat()) == (401, "missing_key")
    assert reason(await at.chat({"Authorization": "Bearer none"})) == (401, "invalid_key")
    assert (await at.client.get("/v1/models")).status_code == 401
    assert (await at.client.get("/v1/nothing")).status_code == 401
    assert (await at.client.get("/healthz")).status_code == 200
    assert at.runner.jobs == []
    answer = await at.chat()
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_a_key_is_sent_with_bearer_or_bare(house):
    at = await house(anonymous="no")
    key, headers = at.key()
    text = headers["Authorization"].removeprefix("Bearer ")
    for value in (f"Bearer {text}", f"bearer  {text}", text):
        assert (await at.chat({"Authorization": value})).status_code == 200, value
    assert {job.payer for job in at.runner.jobs} == {key.id}


async def test_each_way_a_key_can_be_bad_has_its_own_code(house):
    at = await house()
    unknown = bearer(new_key_text(secrets.token_bytes))
    assert reason(await at.chat(unknown)) == (401, "invalid_key")
    assert reason(await at.chat({"Authorization": "Bearer sk-pn-short"})) == (401, "invalid_key")
    _, expired = at.key(expires_ms=NOW)
    assert reason(await at.chat(expired)) == (401, "expired_key")
    key, headers = at.key()
    assert (await at.chat(headers)).status_code == 200
    at.keys.revoke(key.id, now_ms=NOW)
    assert reason(await at.chat(headers)) == (401, "revoked_key")


async def test_a_key_is_for_its_models_and_dialects(house):
    at = await house()
    _, headers = at.key(models=("org/*",))
    assert (await at.chat(headers)).status_code == 200
    assert (await at.chat(headers, model="org/tiny:floor")).status_code == 200
    assert reason(await at.chat(headers, model="other/tiny")) == (403, "model_not_allowed")
    assert reason(await at.chat(headers, models=["org/tiny", "other/tiny"])) == (403, "model_not_allowed")
    assert reason(await at.chat(headers, model="auto")) == (403, "model_not_allowed")
    _, headers = at.key(dialects=("peerwave",))
    assert reason(await at.chat(headers)) == (403, "dialect_not_allowed")


async def test_guesses_are_limited_by_address_and_good_keys_go_on(house):
    at = await house()
    _, headers = at.key()
    assert (await at.chat(headers)).status_code == 200
    guess = {"Authorization": "Bearer sk-pn-guess"}
    codes = [reason(await at.chat(guess)) for _ in range(WRONG_KEYS_PER_MINUTE + 1)]
    assert codes[-2:] == [(401, "invalid_key"), (429, "too_many_wrong_keys")]
    last = await at.chat(guess)
    assert last.headers["retry-after"] == "3"
    assert (await at.chat(headers)).status_code == 200
    assert (await at.chat()).status_code == 200  # who has none is no guesser


async def test_requests_per_minute_are_counted_and_shown(house):
    at = await house()
    _, headers = at.key(requests_per_minute=2)
    first = await at.chat(headers)
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("2", "1")
    assert int(first.headers["x-ratelimit-reset"]) == NOW // 1000 + 30
    await at.chat(headers)
    over = await at.chat(headers)
    assert reason(over) == (429, "requests_per_minute")
    assert over.headers["retry-after"] == "30"
    assert over.headers["x-ratelimit-remaining"] == "0"
    assert (await at.client.get("/v1/models", headers=headers)).status_code == 200


async def test_tokens_per_minute_count_what_was_really_used(house):
    at = await house()
    _, headers = at.key(tokens_per_minute=100)
    for _ in range(4):  # each had 12, although 56 were reserved
        assert (await at.chat(headers, max_tokens=50)).status_code == 200
    over = await at.chat(headers, max_tokens=50)
    assert reason(over) == (429, "tokens_per_minute")


async def test_what_a_token_costs_is_in_the_head_of_every_answer(house):
    at = await house()
    at.runner.steps[0] = replace(at.runner.steps[0], prices=PRICES)
    assert (await at.chat()).headers["cost-per-unit"] == "0.0000004"
    streamed = await at.chat(stream=True)
    assert streamed.headers["cost-per-unit"] == "0.0000004"
    whole = await at.chat()
    assert float(whole.headers["credits"]) == whole.json()["usage"]["cost"] > 0
    at.runner.steps[0] = replace(at.runner.steps[0], prices=Prices())
    assert (await at.chat()).headers["cost-per-unit"] == "0"


async def test_the_stock_client_raises_its_own_errors(house):
    at = await house(anonymous="no")
    _, limited = at.key(requests_per_minute=1, models=("org/*",))
    base = str(at.client.base_url)

    def use() -> None:
        text = limited["Authorization"].removeprefix("Bearer ")
        wrong = openai.OpenAI(base_url=f"{base}/v1", api_key="sk-pn-wrong", max_retries=0)
        with wrong as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        with openai.OpenAI(base_url=f"{base}/v1", api_key=text, max_retries=0) as client:
            ask = client.chat.completions.create
            with pytest.raises(openai.PermissionDeniedError):
                ask(model="other/tiny", messages=BODY["messages"])
            assert ask(model="org/tiny", messages=BODY["messages"]).choices[0].message.content == "Hello"
            with pytest.raises(openai.RateLimitError):
                ask(model="org/tiny", messages=BODY["messages"])

    await trio.to_thread.run_sync(use)


def used(at: House, key: ClientKey, request_id: str, cost: int, *, granted: int = 40) -> None:
    """The key made a request that cost so many micro-credits."""
    at.spending.begin(ClientRequest(request_id, key.id, "org/tiny", "openai", True, NOW), Bounds(granted, granted))
    served(at.database, request_id, cost, at_ms=NOW)
    at.spending.end(request_id, now_ms=NOW)


async def test_usage_by_day_and_model(house):
    at = await house()
    key, headers = at.key(5_000_000, day_cap=2_000_000)
    used(at, key, REQUEST, 7)
    answer = (await at.client.get("/v1/usage", headers=headers)).json()
    assert (answer["start_date"], answer["end_date"]) == ("2026-03-02", "2026-03-31")
    assert (answer["total_requests"], answer["total_tokens"], answer["total_cost"]) == (1, 12, 0.000007)
    sums = {
        "requests": 1, "tokens": 12, "prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 2, "cost": 0.000007,
    }  # fmt: skip
    assert answer["by_model"] == [{"model": "org/tiny", **sums}]
    assert answer["by_day"] == [{"date": "2026-03-31", **sums, "by_model": [{"model": "org/tiny", **sums}]}]
    assert (answer["balance"], answer["held"], answer["spent"]) == (4.999993, 0, 0.000007)
    assert answer["limits"]["day_cap"] == 2
    empty = (await at.client.get("/v1/usage?end_date=2026-03-30", headers=headers)).json()
    assert (empty["total_requests"], empty["by_day"]) == (0, [])
    assert (await at.client.get("/v1/usage?model=other", headers=headers)).json()["total_requests"] == 0
    for wrong in ("start_date=soon", "end_date=0001-01-01", "end_date=2026-02-30", "end_date=2026-2-3"):
        assert (await at.client.get(f"/v1/usage?{wrong}", headers=headers)).status_code == 400
    assert reason(await at.client.get("/v1/usage")) == (401, "missing_key")


async def test_a_key_as_openrouter_shows_it(house):
    at = await house()
    key, headers = at.key(5_000_000)
    used(at, key, REQUEST, 1_000_000, granted=2_000_000)
    shown = (await at.client.get("/api/v1/key", headers=headers)).json()["data"]
    assert (shown["label"], shown["limit"], shown["limit_remaining"], shown["limit_reset"]) == ("shop", 5, 4, None)
    assert (shown["usage"], shown["usage_daily"], shown["usage_weekly"], shown["usage_monthly"]) == (1, 1, 1, 1)
    at.keys.limit(key.id, KeyLimits(unlimited=True, month_cap=3_000_000))
    shown = (await at.client.get("/api/v1/key", headers=headers)).json()["data"]
    assert (shown["limit"], shown["limit_remaining"], shown["limit_reset"]) == (3, 2, "monthly")
    at.keys.limit(key.id, KeyLimits(unlimited=True))
    shown = (await at.client.get("/api/v1/key", headers=headers)).json()["data"]
    assert (shown["limit"], shown["limit_remaining"]) == (None, None)


async def test_an_answer_is_its_askers_alone(house, record):
    at = await house()
    key, headers = at.key(100)
    _, other = at.key(100)
    used(at, key, REQUEST, 7)
    at.shelf.held[REQUEST] = [record(REQUEST)]
    for path in (f"/v1/receipts/{REQUEST}", f"/api/v1/generation?id={REQUEST}"):
        assert (await at.client.get(path, headers=headers)).status_code == 200
        assert reason(await at.client.get(path, headers=other)) == (403, "not_yours")
        assert reason(await at.client.get(path)) == (403, "not_yours")
    shown = (await at.client.get(f"/api/v1/generation?id=gen-{REQUEST[4:]}", headers=headers)).json()["data"]
    assert shown["id"] == f"gen-{REQUEST[4:]}"
    assert (shown["model"], shown["provider_name"], shown["streamed"]) == ("org/tiny", PROVIDER.peer_id, True)
    assert (shown["tokens_prompt"], shown["tokens_completion"], shown["total_cost"]) == (10, 2, 0.000007)
    assert (shown["latency"], shown["generation_time"], shown["cancelled"]) == (100, 100, False)
    assert reason(await at.client.get("/api/v1/generation?id=gen-1", headers=headers)) == (404, "unknown_receipt")


async def test_an_answer_that_no_key_paid_for_is_shown_to_who_knows_its_id(house, record):
    at = await house()
    at.shelf.held[REQUEST] = [record(REQUEST)]
    assert (await at.client.get(f"/v1/receipts/{REQUEST}")).status_code == 200
    assert (await at.client.get(f"/api/v1/generation?id=chatcmpl-{REQUEST[4:]}")).status_code == 200


async def test_no_key_reaches_a_log(house):
    at = await house()
    _, headers = at.key(requests_per_minute=1)
    wrong = new_key_text(secrets.token_bytes)
    with structlog.testing.capture_logs() as lines:
        await at.chat(headers)
        await at.chat(headers)
        await at.chat(bearer(wrong))
        await at.client.get(f"/v1/{wrong.text[:1]}", headers=bearer(wrong))
    assert lines
    text = repr(lines)
    assert headers["Authorization"].removeprefix("Bearer ") not in text
    assert wrong.text not in text


async def test_the_free_allowance_is_each_addresss_own(house):
    at = await house(free_allowance=True)
    _, headers = at.key()
    await at.chat()
    await at.chat(headers)
    assert at.runner.jobs[0].payer == "free:127.0.0.1"
    assert not at.runner.jobs[1].payer.startswith("free:")


def test_addresses_are_counted_by_who_has_them():
    assert network_of("203.0.113.9") == "203.0.113.9"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert address_of({"client": ("::ffff:127.0.0.1", 5)}) == "127.0.0.1"
    assert address_of({"client": None}) == address_of({"client": ("", 0)}) == ""
