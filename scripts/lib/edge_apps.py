"""The edge's HTTP app over scripted answers, and the barest app that streams the same bytes: servers to measure.

Run as a program with PEERNODE or BARE it prints its URL and serves until its input closes. All streams get a token at
each beat of one clock, as the sequences of one batch do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
import trio
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from starlette.types import ASGIApp

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

PEERNODE, BARE = "peernode", "bare"
MODEL_ID = "demo"
BEAT_S = 0.005
WORD = " word"
_PROVIDER, _COORDINATOR = (Identity.from_seed(bytes([number] * 32)) for number in (1, 2))
_PRICES = Prices(1, 1, 1)


class Clock:
    """Wakes all streams at once, every ``BEAT_S``."""

    def __init__(self) -> None:
        self._beat = trio.Event()

    async def run(self) -> None:
        while True:
            await trio.sleep(BEAT_S)
            self._beat.set()
            self._beat = trio.Event()

    async def beat(self) -> None:
        await self._beat.wait()


class ScriptedAnswers:
    """JobRunner whose answers have as many tokens as the request allows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[AsyncIterator[JobEvent]]:
        yield self._events(job)

    async def _events(self, job: ChatJob) -> AsyncIterator[JobEvent]:
        count = job.request.max_tokens or 16
        yield Started(_PROVIDER.peer_id, MODEL_ID)
        for number in range(count):
            await self._clock.beat()
            yield Tokens(WORD, (number,))
        yield Finished("length", Usage(10, count, 0))
        yield _receipted(job.request_id, count)


class Shelf:
    """A catalog of one model, and no receipts."""

    def models(self) -> list[CatalogModel]:
        return [CatalogModel(MODEL_ID, (b"\1" * 32,), ("Q4_1",), 2048, 1, "llama", 1, _PRICES, first_seen_s=1)]

    def find(self, model_id: str) -> CatalogModel | None:
        return self.models()[0] if model_id == MODEL_ID else None


class NoReceipts:
    async def find(self, request_id: str) -> list[ReceiptRecord]:
        return []

    async def recent(self, limit: int) -> list[ReceiptRecord]:
        return []


def bare_app(clock: Clock) -> FastAPI:
    """What a framework does by itself: no names, no limits, no accounts, no tapes."""
    app = FastAPI()
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL_ID, "request_id": "1"}

    def chunk(**more: object) -> bytes:
        return b"data: " + json.dumps({**head, **more}).encode() + b"\n\n"

    def choice(text: str) -> list[dict[str, object]]:
        return [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}]

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        count = (await request.json())["max_tokens"]

        async def stream() -> AsyncIterator[bytes]:
            for _ in range(count):
                await clock.beat()
                yield chunk(choices=choice(WORD))
            yield chunk(choices=[], usage={"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count})
            yield b"data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def peernode_app(clock: Clock) -> ASGIApp:
    services = EdgeServices(
        runner=ScriptedAnswers(clock),
        catalog=Shelf(),
        receipts=NoReceipts(),
        ready=lambda: Readiness(True),
    )
    return build_app(services)


async def main(kind: str) -> None:
    clock = Clock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.run)
        if kind == PEERNODE:
            bind = await nursery.start(
                partial(serve_app, peernode_app(clock), parse_bind("127.0.0.1:0"), stop=trio.Event())
            )
            url = f"http://{bind}"
        else:
            config = Config()
            config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
            (url,) = await nursery.start(partial(hypercorn_serve, bare_app(clock), config, mode="asgi"))
        print(url, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


def _receipted(request_id: str, tokens: int) -> Receipted:
    receipt = Receipt(
        "main", request_id, 0, _COORDINATOR.peer_id, _PROVIDER.peer_id, MODEL_ID, b"\1" * 32, "Q4_1", b"\2" * 32,
        "gumbel/2", b"\3" * 32, 7, b"\4" * 32, False, 10, 0, tokens, b"\5" * 32, text_digest(WORD * tokens), "length",
        _PRICES, 1, 1, 2, 3, 1, NO_PREVIOUS,
    )  # fmt: skip
    signed = sign_receipt(receipt, _PROVIDER)
    made = Countersignature("main", _COORDINATOR.peer_id, _PROVIDER.peer_id, signed.digest, 1, 4)
    return Receipted(signed, sign_countersignature(made, _COORDINATOR))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the URL has the other one
    trio.run(main, sys.argv[1])
