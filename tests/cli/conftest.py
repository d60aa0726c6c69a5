"""A running node as commands see one: the real admin app on a real port, over a scripted runner, in a thread."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import structlog
import trio

from peernode.chat.events import Failed, Finished, Receipted, Started, Tokens, Usage
from peernode.edge.admin import build_admin_app
from peernode.edge.bind import Bind, parse_bind
from peernode.edge.credit_routes import credit_router
from peernode.edge.errors import UnknownPeer
from peernode.edge.serve import serve_app
from peernode.edge.services import CatalogModel, EdgeServices, Readiness
from peernode.ledger import ReceiptStore
from peernode.node.home import AdminAccess, Home
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.prices import Prices
from peernode.wire.receipt import NO_PREVIOUS, Receipt, sign_receipt
from tests.cli.lender import Lender

PROVIDER = Identity.from_seed(bytes(range(32)))
COORDINATOR = Identity.from_seed(bytes(range(1, 33)))
PRICES = Prices(100_000, 25_000, 400_000)
TOKEN = "t" * 43


def make_receipted(request_id: str, **changes: object) -> Receipted:
    receipt = Receipt(
        "main", request_id, 0, COORDINATOR.peer_id, PROVIDER.peer_id, "org/tiny", b"\1" * 32, "Q4_1", b"\2" * 32,
        "gumbel/1", b"\3" * 32, 7, b"\4" * 32, False, 10, 4, 2, b"\5" * 32, b"\6" * 32, "stop", PRICES,
        2, 1_700_000_000_000, 1_700_000_000_100, 1_700_000_000_200, 1, NO_PREVIOUS,
    )  # fmt: skip
    signed = sign_receipt(replace(receipt, **changes), PROVIDER)
    made = Countersignature("main", COORDINATOR.peer_id, PROVIDER.peer_id, signed.digest, 2, 1_700_000_000_300)
    return Receipted(signed, sign_countersignature(made, COORDINATOR))


class Operator:
    def status(self):
        return {
            "peer_id": PROVIDER.peer_id,
            "addresses": ["/ip4/127.0.0.1/tcp/1"],
            "http": None,
            "models": ["org/tiny"],
            "peers": 1,
            "version": "0.1.0",
        }

    def models(self):
        prices = {"prompt": 100_000, "cached": 25_000, "completion": 400_000}
        provider = {"peer_id": PROVIDER.peer_id, "quantization": "Q4_1", "context_length": 2048, "prices": prices}
        cheaper = {**provider, "quantization": "Q8_0", "prices": {**prices, "prompt": 90_000}}
        return [{"id": "org/tiny", "here": True, "nodes_available": 2, "providers": [provider, cheaper]}]

    def metrics(self):
        return "peernode_engine_steps_total 3.0\n"

    def peers(self):
        return [
            {
                "peer_id": COORDINATOR.peer_id,
                "connected": True,
                "path": "direct",
                "direction": "outbound",
                "address": "/ip4/127.0.0.1/tcp/2",
                "rtt_ms": 0.81,
                "models": ["org/tiny"],
                "slots": 4,
                "free_slots": 3,
                "lease_age_s": 1.5,
                "lease_left_s": 13.5,
                "suspect": False,
                "version": "0.1.0",
            },
            {
                "peer_id": PROVIDER.peer_id,
                "connected": False,
                "models": [],
                "skew_ms": -12_300,
                "banned": {"reason": "bad gossip", "left_s": 41.7},
                "two_logs": "forked",
                "credit": "used up",
            },
        ]

    def route(self, model, request, wishes):
        terms = dict.fromkeys(
            ("expected_s", "first_token_s", "round_trip_s", "queue_s", "prefill_s", "decode_s", "load_s", "toll_s"),
            0.0125,
        )
        considered = {
            "provider": PROVIDER.peer_id,
            "model": "org/tiny",
            **terms,
            "reliability": 0.5,
            "hit_tokens": len(request.messages[0].content),
            "credits": 7,
            "healthy": True,
        }
        left_out = {"provider": COORDINATOR.peer_id, "model": "org/tiny", "reason": f"sort {wishes.sort}"}
        found = [] if model == "nobody" else [considered]
        return {"model": model, "candidates": found, "excluded": [] if model == "nobody" else [left_out]}

    async def ping(self, peer, count):
        if peer != COORDINATOR.peer_id:
            raise UnknownPeer("This node knows no such peer.", cause=peer, remedy="See `peernode peers`.")
        came = [1.5, None, 2.5][:count] if count > 1 else [None]
        answered = [each for each in came if each is not None]
        return {
            "peer_id": peer,
            "path": "direct",
            "address": "/ip4/127.0.0.1/tcp/2",
            "sent": len(came),
            "lost": len(came) - len(answered),
            "loss": 1 - len(answered) / len(came),
            "rtt_ms": came,
            "min_ms": min(answered, default=None),
            "median_ms": 2.0 if answered else None,
            "max_ms": max(answered, default=None),
        }


@dataclass
class RunningNode:
    """Answers with ``texts``; hangs after them if ``hang``; fails with ``error`` if there is one."""

    home: Home
    texts: list[str] = field(default_factory=lambda: ["Hel", "lo"])
    hang: bool = False
    error: Exception | None = None
    jobs: list = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    known: bool = True

    @asynccontextmanager
    async def open(self, job):
        self.jobs.append(job)
        try:
            yield self._events(job)
        except trio.Cancelled:
            self.cancelled.set()
            raise

    async def _events(self, job):
        yield Started(PROVIDER.peer_id, "org/tiny")
        for index, text in enumerate(self.texts):
            yield Tokens(text, (index,))
        if self.hang:
            await trio.sleep_forever()
        if self.error:
            yield Failed(self.error)
            return
        yield Finished("stop", Usage(10, len(self.texts), 4))
        yield make_receipted(job.request_id)

    def models(self):
        model = CatalogModel("org/tiny", (b"\1" * 32,), ("Q4_1",), 2048, 1, "llama", 1, PRICES)
        return [model] if self.known else []

    def find(self, model_id):
        return next(iter(self.models()), None)


@pytest.fixture(autouse=True)
def quiet():
    """The node of these tests shares a process with the command, whose output must be the command's alone."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def home(tmp_path) -> Home:
    found = Home(tmp_path / "home")
    found.prepare()
    return found


@pytest.fixture
def node(home) -> Iterator[RunningNode]:
    running = RunningNode(home)
    services = EdgeServices(running, running, receipts=None, ready=lambda: Readiness(True))
    ready, ends = threading.Event(), {}

    async def main() -> None:
        stop = ends["stop"] = trio.Event()
        ends["token"] = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:

            async def run(task_status):
                app = build_admin_app(services, Operator(), TOKEN, further=[credit_router(Lender())])
                where = parse_bind("127.0.0.1:0")
                await serve_app(app, where, stop=stop, grace_s=0.2, name="admin", task_status=task_status)

            bind: Bind = await nursery.start(run)
            home.write_admin(AdminAccess(f"http://{bind}", TOKEN, os.getpid()))
            ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert ready.wait(10)
    yield running
    ends["token"].run_sync_soon(ends["stop"].set)
    thread.join(10)


@pytest.fixture
def ledger(home) -> Iterator[ReceiptStore]:
    store = ReceiptStore.open(home.ledger_file, own=COORDINATOR.peer_id)
    yield store
    store.close()


@pytest.fixture
def put(ledger):
    """Records a countersigned receipt in the home's ledger, as its coordinator would."""

    def record(request_id: str, **changes: object) -> Receipted:
        event = make_receipted(request_id, **changes)
        ledger.countersign(event.receipt, lambda _total: event.countersignature, now_ms=1_700_000_000_300)
        return event

    return record


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def peernode(home, monkeypatch, capsys):
    """Runs a command as its users do, in this process: ``peernode("status")`` in the test's home."""
    from peernode.cli import main

    monkeypatch.setenv("PEERNODE_HOME", str(home.path))
    monkeypatch.delenv("PEERNODE_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["peernode", *(str(arg) for arg in args)])
        with pytest.raises(SystemExit) as found:
            main()
        got = capsys.readouterr()
        code = found.value.code
        return Outcome(0 if code is None else int(code), got.out, got.err)

    return run
