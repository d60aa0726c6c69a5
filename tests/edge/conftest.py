"""A real server on loopback over scripted services: what every test of the edge stands on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
import pytest
import trio

from peernode.chat.events import Finished, JobEvent, Receipted, Started, Tokens, Usage
from peernode.chat.job import ChatJob
from peernode.edge.app import build_app
from peernode.edge.bind import parse_bind
from peernode.edge.serve import serve_app
from peernode.edge.services import CatalogModel, EdgeServices, Readiness
from peernode.ledger import ReceiptRecord
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.prices import Prices
from peernode.wire.receipt import NO_PREVIOUS, Receipt, sign_receipt, text_digest

PROVIDER = Identity.from_seed(bytes(range(32)))
COORDINATOR = Identity.from_seed(bytes(range(1, 33)))
PRICES = Prices(100_000, 25_000, 400_000)
MODEL = CatalogModel("org/tiny", (b"\1" * 32,), ("Q4_1",), 2048, 135_000_000, "llama", 2, PRICES, first_seen_s=1000)
BODY = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}]}


def make_receipt(request_id: str, *, part: int = 0, **changes: object) -> Receipt:
    amount = PRICES.amount(prompt_tokens=10, cached_tokens=4, completion_tokens=2)
    receipt = Receipt(
        "main", request_id, part, COORDINATOR.peer_id, PROVIDER.peer_id, "org/tiny", b"\1" * 32, "Q4_1", b"\2" * 32,
        "gumbel/1", b"\3" * 32, 7, b"\4" * 32, False, 10, 4, 2, b"\5" * 32, text_digest("Hello"), "stop", PRICES,
        amount, 1_700_000_000_000, 1_700_000_000_100, 1_700_000_000_200, 1, NO_PREVIOUS,
    )  # fmt: skip
    return replace(receipt, **changes)


def make_receipted(request_id: str, **changes: object) -> Receipted:
    signed = sign_receipt(make_receipt(request_id, **changes), PROVIDER)
    made = Countersignature(
        "main", COORDINATOR.peer_id, PROVIDER.peer_id, signed.digest, signed.receipt.credits, 1_700_000_000_300
    )
    return Receipted(signed, sign_countersignature(made, COORDINATOR))


def make_record(request_id: str, **changes: object) -> ReceiptRecord:
    event = make_receipted(request_id, **changes)
    part = event.receipt.receipt.part
    return ReceiptRecord(request_id, part, "coordinator", event.receipt, event.countersignature, "", 1_700_000_000_300)


def RECEIPT(job: ChatJob) -> JobEvent:  # a step of a script
    """The receipt of the job that runs."""
    return make_receipted(job.request_id)


Step = JobEvent | Exception | trio.Event | Callable[[ChatJob], JobEvent]


class ScriptedRunner:
    """Yields its steps in order; waits at a trio.Event, raises an exception, calls a function with the job."""

    def __init__(self) -> None:
        self.play("Hel", "lo")
        self.jobs: list[ChatJob] = []
        self.cancelled = trio.Event()
        self.closed = trio.Event()

    def play(self, *texts: str, end: Sequence[Step] | None = None) -> None:
        tokens = [Tokens(text, (index,)) for index, text in enumerate(texts)]
        finished = Finished("stop", Usage(10, len(texts), 4))
        self.steps: list[Step] = [
            Started(PROVIDER.peer_id, "org/tiny"),
            *tokens,
            *([finished, RECEIPT] if end is None else end),
        ]

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[AsyncIterator[JobEvent]]:
        self.jobs.append(job)
        try:
            yield self._events(job)
        except trio.Cancelled:
            self.cancelled.set()
            raise
        finally:
            self.closed.set()

    async def _events(self, job: ChatJob) -> AsyncIterator[JobEvent]:
        for step in self.steps:
            if isinstance(step, trio.Event):
                await step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                yield step(job) if callable(step) else step


class Shelf:
    """Catalog and receipt lookup in memory."""

    def __init__(self) -> None:
        self.held: dict[str, list[ReceiptRecord]] = {}
        self.readiness = Readiness(True)

    def models(self) -> list[CatalogModel]:
        return [MODEL]

    def find(self, model_id: str) -> CatalogModel | None:
        return MODEL if model_id == MODEL.id else None

    def receipts(self) -> Shelf.Receipts:
        return Shelf.Receipts(self.held)

    @dataclass
    class Receipts:
        held: dict[str, list[ReceiptRecord]]

        async def find(self, request_id: str) -> list[ReceiptRecord]:
            return self.held.get(request_id, [])

        async def recent(self, limit: int) -> list[ReceiptRecord]:
            return [record for records in self.held.values() for record in records][::-1][:limit]


@dataclass
class EdgeUnderTest:
    base: str
    client: httpx.AsyncClient
    runner: ScriptedRunner
    shelf: Shelf
    services: EdgeServices
    stop: trio.Event

    async def hang_up(self, ask: Callable[[], Awaitable[object]], *, jobs: int = 1) -> None:
        """Ask, and leave once ``jobs`` jobs have come of it."""
        with trio.fail_after(60):
            async with trio.open_nursery() as asking:
                asking.start_soon(ask)
                while len(self.runner.jobs) < jobs:
                    await trio.lowlevel.checkpoint()
                asking.cancel_scope.cancel()

    async def chat(self, **changes: object) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json={**BODY, **changes})


@pytest.fixture
def services() -> tuple[EdgeServices, ScriptedRunner, Shelf]:
    runner, shelf = ScriptedRunner(), Shelf()
    made = EdgeServices(
        runner=runner,
        catalog=shelf,
        receipts=shelf.receipts(),
        ready=lambda: shelf.readiness,
        new_seed=lambda: 42,
        clock=lambda: 1234.5,
    )
    return made, runner, shelf


@pytest.fixture
async def edge(
    nursery: trio.Nursery, services: tuple[EdgeServices, ScriptedRunner, Shelf]
) -> AsyncIterator[EdgeUnderTest]:
    made, runner, shelf = services
    stop = trio.Event()

    async def run(task_status: trio.TaskStatus[object]) -> None:
        await serve_app(build_app(made), parse_bind("127.0.0.1:0"), stop=stop, grace_s=0.2, task_status=task_status)

    bind = await nursery.start(run)
    base = f"http://{bind}"
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        yield EdgeUnderTest(base, client, runner, shelf, made, stop)
    stop.set()


@pytest.fixture
def record() -> Callable[..., ReceiptRecord]:
    return make_record


@pytest.fixture
def receipted() -> Callable[..., Receipted]:
    return make_receipted
