"""An engine that says what the test tells it to, and two or more market parties on a real mesh over loopback."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from peernode.chat.contract import StreamContract
from peernode.chat.errors import JobError
from peernode.chat.events import Failed, Finished, JobEvent, Started, Tokens, Usage
from peernode.chat.job import ChatJob, JobRunner
from peernode.chat.request import ChatRequest
from peernode.engine import EngineLoad, ModelFacts
from peernode.ledger import ReceiptStore
from peernode.ledger.log import ReceiptLog
from peernode.market.advertising import LEASE_MS
from peernode.market.candidates import Candidates
from peernode.market.coordinator import Coordinator
from peernode.market.desk import Ordered, ReceiptDesk
from peernode.market.experience import Experience
from peernode.market.local import LocalRunner
from peernode.market.log_audit import LogAnswers
from peernode.market.models import OwnModel, OwnModels
from peernode.market.provider import Provider
from peernode.market.recovery.peers import DirectoryPeers
from peernode.market.recovery.recovery import GIVE_UP_S, Recovery
from peernode.market.recovery.service import ReceiptService
from peernode.market.remote import RemoteRunner
from peernode.market.routing import Candidate
from peernode.market.service import JobService
from peernode.market.streaming import Producer
from peernode.mesh import FrameStream, Mesh
from peernode.node.credit import NodeCredit
from peernode.node.credit_config import CreditConfig
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity
from peernode.wire.job_frames import PROTOCOL
from peernode.wire.logprobs import Logprobs, TokenLogprob
from peernode.wire.receipt_frames import PROTOCOL as RECEIPTS_PROTOCOL
from tests.samples import CARD, PRICES, REQUEST

NETWORK = "test"
PROMPT_TOKENS = 30
FACTS = ModelFacts(
    id=CARD.id,
    path=Path("tiny.gguf"),
    digest=CARD.digest,
    architecture=CARD.architecture,
    parameters=CARD.parameters,
    quantization=CARD.quantization,
    context_length=CARD.context_length,
    template_digest=b"t" * 32,
    sampler_version="gumbel/1",
    size_bytes=1,
    features=("vision",),
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class ScriptedStream:
    """Started, the engine's pieces behind ``earlier`` ones, then Finished; waits at ``pause_at`` until cancelled."""

    def __init__(self, engine: ScriptedEngine, top_logprobs: int | None, earlier: int = 0) -> None:
        self._engine = engine
        self._top_logprobs = top_logprobs
        self._next = -1
        self._earlier = earlier
        self._cancelled = trio.Event()

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> JobEvent:
        await trio.lowlevel.checkpoint()
        engine, place = self._engine, self._next
        if place == engine.pause_at:
            engine.paused.set()
            await self._cancelled.wait()
        self._next += 1  # behind the last await: a cancelled call has taken nothing
        if place < 0:
            self._next = self._earlier
            return Failed(engine.refusal) if engine.refusal else Started("", CARD.id, engine.markup)
        if place == engine.crash_at:
            return Failed(engine.crash)
        if self._cancelled.is_set() or place >= len(engine.pieces):
            engine.freed.set()
            return Finished(
                "cancelled" if self._cancelled.is_set() else "stop",
                Usage(PROMPT_TOKENS + self._earlier, place - self._earlier),
            )
        return Tokens(engine.pieces[place], (place,), self._logprobs(place))

    def _logprobs(self, place: int) -> tuple[Logprobs, ...]:
        if self._top_logprobs is None:
            return ()
        entries = [TokenLogprob(place + at, -100_000 * (at + 1), b"x") for at in range(self._top_logprobs + 1)]
        return (Logprobs(entries[0], tuple(entries[: self._top_logprobs])),)

    @property
    def prefill(self) -> Usage | None:
        return Usage(PROMPT_TOKENS + self._earlier, 0)

    def cancel(self) -> None:
        self._cancelled.set()


class ScriptedEngine:
    """A ModelEngine. One token id per piece, numbered from 0."""

    def __init__(self, pieces: Sequence[str] = ("one ", "two ", "three")) -> None:
        self.facts: ModelFacts | None = FACTS
        self.takes_jobs = True
        self.pieces = list(pieces)
        self.markup = ""
        self.requests: list[ChatRequest] = []
        self.jobs: list[ChatJob] = []
        self.refusal: JobError | None = None
        self.pause_at: int | None = None
        self.crash_at: int | None = None
        self.crash: JobError = JobError("unset")
        self.paused = trio.Event()
        self.freed = trio.Event()

    def load(self) -> EngineLoad:
        return EngineLoad(8, 8, 0, 0, 8192, 50.0, 400.0, 0)

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[ScriptedStream]:
        self.requests.append(job.request)
        self.jobs.append(job)
        yield ScriptedStream(self, job.request.top_logprobs, len(job.continue_from))


@dataclass
class Party:
    """One node's market parts on a real mesh, and its ledger."""

    identity: Identity
    mesh: Mesh
    store: ReceiptStore
    engine: ScriptedEngine | None
    provider: Provider
    coordinator: Coordinator
    candidates: Candidates
    credit: NodeCredit | None = None
    receipts: ReceiptService = field(init=False)
    recovery: Recovery = field(init=False)

    @property
    def peer_id(self) -> str:
        return self.identity.peer_id

    async def advertise(self) -> None:
        """Say once what is offered here; enough for a test that is shorter than a lease."""
        models = (replace(CARD, features=self.engine.facts.features),) if self.engine and self.engine.facts else ()
        at = now_ms()
        advert = Advert(NETWORK, self.peer_id, at, at, LEASE_MS, tuple(self.mesh.addresses()), "0", 8, 8, 0, models)
        await self.mesh.publish(sign_advert(advert, self.identity))

    async def until_known(self, *peers: Party) -> None:
        """Until the adverts of all of them are in this one's directory."""
        picture = self.mesh.directory.snapshot()
        while not all(peer.peer_id in picture.adverts for peer in peers):
            picture = await self.mesh.directory.wait_change(picture.version)


@asynccontextmanager
async def party(
    folder: Path,
    number: int,
    *,
    engine: ScriptedEngine | None = None,
    join: Sequence[str] = (),
    service: Callable[[FrameStream], Awaitable[None]] | None = None,
    credit: CreditConfig | None = None,
    recovers: bool = False,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[Party]:
    """A running party; ``service`` replaces the honest provider's side of job conversations.

    Without ``credit`` it gives everybody as much as they like. Only one that ``recovers`` asks by itself for receipts
    of parts that broke off.
    """
    identity = Identity.from_seed(bytes([number]) * 32)
    store = ReceiptStore.open(folder / f"{number}.db", own=identity.peer_id)
    mesh = Mesh(
        identity=identity,
        network=NETWORK,
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=join,
        clock_ms=now_ms,
        rng=random.Random(number),
    )
    models = OwnModels([OwnModel(engine, PRICES)] if engine and service is None else [])
    lent = None
    if credit is not None:
        lent = NodeCredit(
            credit, identity=identity, network=NETWORK, database=store.database, mesh=mesh, clock_ms=now_ms
        )
    provider = Provider(
        identity=identity,
        network=NETWORK,
        models=models,
        store=store,
        clock_ms=now_ms,
        credit=lent.lines if lent else None,
    )
    jobs = JobService(provider=provider, store=store, clock_ms=now_ms)
    mesh.handle(PROTOCOL, service or jobs.handle)
    candidates = Candidates(
        peer_id=identity.peer_id,
        directory=mesh.directory,
        own=models,
        accepting=lambda: not provider.draining,
        experience=Experience(rng=random.Random(number), repute=lent.repute if lent else None),
    )
    told = {"took": lent.lines.took, "refused": lent.repute.failed} if lent else {}
    desk = ReceiptDesk(identity=identity, store=store, clock_ms=now_ms, **told)

    def runner_for(candidate: Candidate, ordered: Ordered) -> Producer:
        if candidate.local:
            return LocalRunner(provider=provider, desk=desk, ordered=ordered)
        return RemoteRunner(identity=identity, mesh=mesh, desk=desk, ordered=ordered)

    coordinator = Coordinator(
        identity=identity, network=NETWORK, candidates=candidates, runner_for=runner_for, rng=random.Random(number)
    )
    made = Party(identity, mesh, store, engine, provider, coordinator, candidates, lent)
    receipts = ReceiptService(
        mesh=mesh,
        store=store,
        ordered=desk.parts,
        provided=jobs.parts,
        keep=jobs.keep,
        answer_log=LogAnswers(ReceiptLog(store.database)).answer,
    )
    mesh.handle(RECEIPTS_PROTOCOL, receipts.handle)
    made.receipts = receipts
    made.recovery = Recovery(
        receipts, DirectoryPeers(mesh.directory), rng=random.Random(number), clock_ms=now_ms, give_up_s=give_up_s
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        if lent:
            nursery.start_soon(lent.run)
        if recovers:
            nursery.start_soon(made.recovery.run)
        await made.advertise()
        yield made
        nursery.cancel_scope.cancel()
    store.close()


@asynccontextmanager
async def pair(
    folder: Path, engine: ScriptedEngine, *, service: Callable[[FrameStream], Awaitable[None]] | None = None
) -> AsyncIterator[tuple[Party, Party]]:
    """(coordinator without a model, provider), each knowing the other."""
    async with (
        party(folder, 1, engine=engine, service=service) as provider,
        party(folder, 2, join=provider.mesh.addresses()) as edge,
    ):
        await edge.until_known(provider)
        yield edge, provider


def job(number: int = 0, *, first_token_s: float = 20.0, total_s: float = 60.0) -> ChatJob:
    return ChatJob(f"req_{number}", CARD.id, REQUEST, seed=42, first_token_s=first_token_s, total_s=total_s)


async def collect(runner: JobRunner, wanted: ChatJob) -> list[JobEvent]:
    """All events of a job, held to the contract."""
    contract = StreamContract()
    seen: list[JobEvent] = []
    async with runner.open(wanted) as events:
        async for event in events:
            contract.observe(event)
            seen.append(event)
    contract.close()
    return seen
