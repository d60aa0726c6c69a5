"""Credit is held before a job goes out and released after it, however it ended; and what a balance can pay for."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.errors import ProviderFailed
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Usage
from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.chat.job import ChatJob
from peernode.chat.wishes import Wishes
from peernode.ledger import Books, Database, Holds
from peernode.ledger.client_key import ClientKey, KeyLimits
from peernode.ledger.keys import Keys
from peernode.ledger.spending import Bounds, Spending
from peernode.market.client_allowance import FREE, FreePurse
from peernode.market.client_errors import (
    DayCapReached,
    ExpiredKey,
    InsufficientCredit,
    MonthCapReached,
    RevokedKey,
    UnknownKey,
)
from peernode.market.client_purse import LedgerPurse, Outcome, Purse, release_forgotten
from peernode.market.client_quote import LEAST_COMPLETION, eligible_cards, limited, quote
from peernode.market.client_runner import PaidRunner
from peernode.market.routing import Candidate
from peernode.wire.prices import Prices
from tests.edge.conftest import COORDINATOR, PROVIDER, make_receipted
from tests.ledger.test_keys import NOW, served
from tests.market.scripted import ScriptedEngine, collect, job, party
from tests.samples import CARD, REQUEST

CHAT = replace(REQUEST, max_tokens=None)
# One micro-credit for a token of the answer, none for the prompt's.
SIMPLE = replace(CARD, context_length=1000, price_prompt=0, price_cached=0, price_completion=10**6)
COST = 7


class Offers:
    """Stands for the market's candidates."""

    def __init__(self, *cards) -> None:
        self.cards = cards

    def for_model(self, model_id, request=None, *, now=0.0):
        return [
            Candidate(PROVIDER.peer_id, card, 1, 1, 0) for card in self.cards if not model_id or card.id == model_id
        ]


class Service:
    """A coordinator that answers, and takes the receipt in as the real one does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.jobs: list[ChatJob] = []
        self.error: Exception | None = None
        self.failed: Failed | None = None
        self.waits: trio.Event | None = None

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[AsyncIterator[JobEvent]]:
        self.jobs.append(job)
        yield self._events(job)

    async def _events(self, job: ChatJob) -> AsyncIterator[JobEvent]:
        yield Started(PROVIDER.peer_id, job.model, prices=Prices(completion=10**6))
        yield Tokens("Hello", (1, 2))
        if self.waits is not None:
            await self.waits.wait()
        if self.error is not None:
            raise self.error
        if self.failed is not None:
            yield self.failed
            return
        yield Finished("stop", Usage(10, 2, 4))
        await trio.to_thread.run_sync(lambda: served(self._database, job.request_id, COST, part=len(self.jobs)))
        yield make_receipted(job.request_id, credits=COST)


class House:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys, self.spending, self.service = Keys(database), Spending(database), Service(database)
        self.offers = Offers(SIMPLE)
        self.kept: dict[str, int] = {}
        self.take_share(NO_FEE)

    def take_share(self, fee: FeeShare) -> None:
        self.purse: Purse = LedgerPurse(
            self.spending, lambda: NOW, lambda request_id: self.kept.get(request_id, 0), fee
        )
        self.runner = PaidRunner(runner=self.service, purse_of=lambda _: self.purse, candidates=self.offers, fee=fee)

    def key(self, granted: int, **limits: object) -> ClientKey:
        key, _ = self.keys.create("shop", KeyLimits(**limits), now_ms=NOW, random_bytes=secrets.token_bytes)
        if granted:
            self.keys.grant(key.id, granted, key=f"grant:{key.id}", at_ms=NOW)
        return key

    async def ask(self, key: ClientKey, request_id: str = "req_1", **changes: object) -> list[JobEvent]:
        job = ChatJob(request_id, CARD.id, replace(CHAT, **changes), 7, payer=key.id)
        async with self.runner.open(job) as events:
            return [event async for event in events]

    def money(self, key: ClientKey) -> tuple[int, int, int]:
        standing = self.spending.standing(key.id, now_ms=NOW)
        self.spending.check()
        Books(self.database).check()
        return standing.balance, standing.held, standing.spent


@pytest.fixture
def house(tmp_path):
    database = Database.open(tmp_path / "ledger.db", own=COORDINATOR.peer_id)
    yield House(database)
    database.close()


async def test_an_answer_costs_what_its_receipt_says(house):
    key = house.key(100)
    events = await house.ask(key, max_tokens=50)
    assert isinstance(events[-1], Receipted)
    assert house.money(key) == (93, 0, 7)
    assert house.spending.request("req_1").key_id == key.id


async def test_the_most_is_held_while_it_runs_and_all_is_settled_before_the_end_is_told(house):
    key = house.key(100)
    house.service.waits = trio.Event()
    job = ChatJob("req_1", CARD.id, replace(CHAT, max_tokens=50), 7, payer=key.id)
    async with house.runner.open(job) as events:
        assert isinstance(await anext(events), Started)
        assert house.money(key) == (50, 50, 0)
        house.service.waits.set()
        async for event in events:
            if isinstance(event, Receipted):
                assert house.money(key) == (93, 0, 7)


async def test_the_share_of_the_node_is_quoted_held_charged_and_told(house):
    house.take_share(FeeShare(500_000))
    key = house.key(100)
    house.service.waits = trio.Event()
    wishes = Wishes(max_price_prompt=2, max_price_completion=1_500_001)
    job = ChatJob("req_1", CARD.id, replace(CHAT, max_tokens=40), 7, payer=key.id, wishes=wishes)
    async with house.runner.open(job) as events:
        assert (await anext(events)).prices == Prices(completion=1_500_000)
        assert house.money(key) == (40, 60, 0)
        house.service.waits.set()
        (end,) = [event async for event in events if isinstance(event, Receipted)]
    assert end.fee.on(COST) == 10
    assert house.money(key) == (90, 0, 10)
    assert Books(house.database).balance("fees") == -3
    # Providers may ask so much that with the fee it is what the client allows.
    asked = house.service.jobs[0].wishes
    assert (asked.max_price_prompt, asked.max_price_completion) == (1, 1_000_000)


async def test_a_balance_pays_for_so_much_service_that_the_share_is_left_in_it(house):
    house.take_share(FeeShare(500_000))
    key = house.key(60)
    await house.ask(key)
    assert house.service.jobs[0].request.max_tokens == 40


@pytest.mark.parametrize("failed", [Failed(ProviderFailed("No."))])
async def test_an_error_costs_nothing(house, failed):
    key = house.key(100)
    house.service.failed = failed
    assert (await house.ask(key))[-1] == failed
    assert house.money(key) == (100, 0, 0)


async def test_a_defect_costs_nothing(house):
    key = house.key(100)
    house.service.error = RuntimeError("a defect")
    with pytest.raises(BaseExceptionGroup):
        await house.ask(key)
    assert house.money(key) == (100, 0, 0)


async def test_a_client_that_leaves_gets_back_what_no_receipt_took(house):
    key = house.key(100)
    house.service.waits = trio.Event()
    job = ChatJob("req_1", CARD.id, CHAT, 7, payer=key.id)
    async with house.runner.open(job) as events:
        await anext(events)
    assert house.money(key) == (100, 0, 0)
    assert not Holds(house.database).pending()


async def test_a_client_that_leaves_pays_for_what_may_still_come(house):
    key = house.key(100)
    house.kept = {"req_1": 11}
    house.service.waits = trio.Event()
    async with house.runner.open(ChatJob("req_1", CARD.id, CHAT, 7, payer=key.id)) as events:
        await anext(events)
    assert house.money(key) == (89, 11, 0)


async def test_who_leaves_has_used_up_of_the_free_allowance_what_was_made_for_him(house):
    house.purse = FreePurse(most=100, hourly=0, clock=lambda: 0.0)
    house.service.waits = trio.Event()
    async with house.runner.open(free_job()) as events:
        while not isinstance(await anext(events), Tokens):
            pass
    assert await house.purse.hold(free_job(), Bounds(0, 100)) == 98


async def test_what_may_still_come_stays_held_after_an_answer_and_not_after_a_failure(house):
    key = house.key(100)
    house.kept = {"req_1": 11, "req_2": 11}
    await house.ask(key, max_tokens=50)
    assert house.money(key) == (82, 11, 7)
    house.service.failed = Failed(ProviderFailed("No."))
    await house.ask(key, "req_2", max_tokens=50)
    assert house.money(key) == (82, 11, 7)


async def test_no_credit_no_job(house):
    key = house.key(30)
    (event,) = await house.ask(key, max_tokens=50)
    assert isinstance(event.error, InsufficientCredit)
    assert event.error.facts == {"needed": 0.00005, "available": 0.00003}
    assert house.service.jobs == []
    assert house.money(key) == (30, 0, 0)


async def test_an_answer_without_a_limit_is_as_long_as_the_balance_pays_for(house):
    key = house.key(30)
    await house.ask(key)
    assert house.service.jobs[0].request.max_tokens == 30
    assert house.money(key) == (23, 0, 7)
    poor = house.key(LEAST_COMPLETION - 1)
    (event,) = await house.ask(poor, "req_2")
    assert isinstance(event.error, InsufficientCredit)
    rich = house.key(10_000)
    await house.ask(rich, "req_3")
    assert house.service.jobs[-1].request.max_tokens is None


async def test_at_once_nobody_overspends(house):
    key = house.key(100)
    ends: list[JobEvent] = []

    async def one(number: int) -> None:
        ends.append((await house.ask(key, f"req_{number}", max_tokens=20))[-1])

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(one, number)
    served_jobs = sum(isinstance(end, Receipted) for end in ends)
    balance, held, spent = house.money(key)
    assert (held, spent) == (0, COST * served_jobs)
    assert balance == 100 - spent >= 0
    assert served_jobs >= 5  # as many as were held for at once, at the least


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"day_cap": 10}, DayCapReached),
        ({"month_cap": 10}, MonthCapReached),
        ({"expires_ms": NOW}, ExpiredKey),
    ],
)
async def test_each_limit_has_its_own_word(house, limits, kind):
    (event,) = await house.ask(house.key(100, **limits), max_tokens=50)
    assert type(event.error) is kind
    if kind is not ExpiredKey:
        assert event.error.retry_after_s == 3600


async def test_a_key_that_was_revoked_on_the_way_holds_nothing(house):
    key = house.key(100)
    house.keys.revoke(key.id, now_ms=NOW)
    (event,) = await house.ask(key)
    assert isinstance(event.error, RevokedKey)
    (event,) = await house.ask(replace(key, id="nobody0000"), "req_2")
    assert isinstance(event.error, UnknownKey)


async def test_nobody_who_offers_the_model_costs_nothing(house):
    house.offers.cards = ()
    key = house.key(0)
    house.service.failed = Failed(ProviderFailed("No."))
    assert isinstance((await house.ask(key))[-1], Failed)
    assert house.money(key) == (0, 0, 0)


async def test_whoever_pays_nothing_passes(house):
    job = ChatJob("req_1", CARD.id, CHAT, 7)
    async with house.runner.open(job) as events:
        assert isinstance([event async for event in events][-1], Receipted)
    assert Books(house.database).balance("spent") == COST


async def test_holds_of_before_are_released_at_start_but_for_what_may_still_come(house):
    key = house.key(100)
    for number in range(2):
        job = ChatJob(f"req_{number}", CARD.id, CHAT, 7, payer=key.id)
        await house.purse.hold(job, Bounds(40, 40))
    assert house.money(key) == (20, 80, 0)
    pending = [hold.request_id for hold in Holds(house.database).pending()]
    kept = {"req_1": 15}
    assert release_forgotten(pending, house.spending, kept=lambda name: kept.get(name, 0), now_ms=NOW) == 65
    assert house.money(key) == (85, 15, 0)


def test_a_quote_is_the_dearest_cards_and_never_more_than_its_context():
    dear = replace(SIMPLE, price_completion=2 * 10**6)
    assert quote([], CHAT) == 0
    assert quote([SIMPLE], replace(CHAT, max_tokens=10)) == 10
    assert quote([SIMPLE, dear], replace(CHAT, max_tokens=10)) == 20
    assert quote([SIMPLE], CHAT) == quote([SIMPLE], replace(CHAT, max_tokens=5000)) == 1000
    both = replace(SIMPLE, price_prompt=10**6)
    assert quote([both], CHAT) == 1000  # prompt and answer share the context
    assert quote([replace(both, price_prompt=0, price_cached=3 * 10**6, price_completion=0)], CHAT) <= 3000


def test_a_short_prompt_is_not_quoted_as_a_whole_context():
    wide = replace(SIMPLE, context_length=100_000, price_prompt=10**6, price_completion=0)
    assert quote([wide], replace(CHAT, max_tokens=1)) < 2000


def test_inputs_of_embeddings_are_quoted_each():
    card = replace(SIMPLE, price_prompt=10**6)
    assert quote([card], EmbeddingRequest(("abc",))) == 35
    assert quote([card], EmbeddingRequest(("abc", "x" * 5000))) == 1035
    assert limited([card], EmbeddingRequest(("abc",)), 10) is None


def test_only_those_whom_the_wishes_leave_are_quoted():
    dear = replace(SIMPLE, price_completion=9 * 10**6)
    found = Offers(SIMPLE, dear).for_model("")
    assert eligible_cards(found, CHAT, Wishes(max_price_completion=10**6)) == [SIMPLE]
    assert eligible_cards(found, CHAT, Wishes(max_price_completion=1)) == [SIMPLE, dear]


def free_job(address: str = "203.0.113.9") -> ChatJob:
    return ChatJob("req_1", CARD.id, CHAT, 7, payer=f"{FREE}{address}")


async def test_a_free_allowance_is_each_addresss_own_and_refills():
    now = [0.0]
    purse = FreePurse(most=100, hourly=10, clock=lambda: now[0])
    assert await purse.hold(free_job(), Bounds(60, 60)) == 60
    assert await purse.hold(free_job("203.0.113.10"), Bounds(60, 60)) == 60
    with pytest.raises(InsufficientCredit) as found:
        await purse.hold(free_job(), Bounds(60, 60))
    assert found.value.retry_after_s == 2 * 3600
    assert found.value.facts == {"needed": 0.00006, "available": 0.00004}
    await purse.end(free_job(), 60, Outcome(failed=False, cost=20))
    assert await purse.hold(free_job(), Bounds(10, 200)) == 80
    await purse.end(free_job(), 80, Outcome(failed=True, cost=20))
    now[0] = 3600.0
    assert await purse.hold(free_job(), Bounds(10, 200)) == 90
    now[0] = 10**6
    assert await purse.hold(free_job(), Bounds(10, 200)) == 100


async def test_what_a_free_allowance_never_reaches_has_no_time_to_wait_for():
    purse = FreePurse(most=100, hourly=10, clock=lambda: 0.0)
    with pytest.raises(InsufficientCredit) as found:
        await purse.hold(free_job(), Bounds(101, 101))
    assert found.value.retry_after_s is None


async def test_clients_of_one_node_share_nothing_on_its_own_engine_and_take_turns(tmp_path):
    engine = ScriptedEngine()
    async with party(tmp_path, 1, engine=engine) as alone:
        for payer in ("", "first", "second"):
            await collect(alone.coordinator, replace(job(), request_id=f"req_{payer}", payer=payer))
    assert [each.payer.removeprefix(alone.peer_id) for each in engine.jobs] == ["", "/first", "/second"]
