"""Jobs on an ``Engine`` with its real worker process, without HTTP: decode rates with the time of every token."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from peernode.chat.events import Failed, Finished, Tokens, Usage
from peernode.chat.job import ChatJob
from peernode.chat.request import ChatRequest, Message, Sampling
from peernode.engine import Engine, EngineSettings

_numbers = itertools.count()


@dataclasses.dataclass
class EngineAnswer:
    """One answer; a stamp (``time.perf_counter`` seconds, number of tokens) for each event with tokens."""

    sent: float
    stamps: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    text: str = ""
    usage: Usage = dataclasses.field(default_factory=lambda: Usage(0, 0))

    @property
    def first_s(self) -> float:
        return self.stamps[0][0] - self.sent

    @property
    def rate(self) -> float:
        """Tokens per second after the first event."""
        return sum(size for _, size in self.stamps[1:]) / (self.stamps[-1][0] - self.stamps[0][0])


@asynccontextmanager
async def running_engine(path: Path, **settings: Any) -> AsyncIterator[Engine]:
    """Started and ready; ``settings`` are those of EngineSettings."""
    engine = Engine("bench", path, EngineSettings(**settings))
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await engine.wait_ready()
        yield engine
        nursery.cancel_scope.cancel()


async def ask(engine: Engine, prompt: str, tokens: int, *, temperature: float = 0.0, seed: int = 0) -> EngineAnswer:
    request = ChatRequest((Message("user", prompt),), tokens, (), Sampling.of(temperature=temperature))
    answer = EngineAnswer(time.perf_counter())
    async with engine.open(ChatJob(f"bench-{next(_numbers)}", "bench", request, seed=seed)) as stream:
        async for event in stream:
            if isinstance(event, Tokens):
                answer.stamps.append((time.perf_counter(), len(event.ids)))
                answer.text += event.text
            elif isinstance(event, Finished):
                answer.usage = event.usage
            elif isinstance(event, Failed):
                raise event.error
    return answer


async def ask_together(engine: Engine, prompts: Sequence[str], tokens: int) -> list[EngineAnswer]:
    answers: list[EngineAnswer] = []

    async def one(prompt: str) -> None:
        answers.append(await ask(engine, prompt, tokens))

    async with trio.open_nursery() as nursery:
        for prompt in prompts:
            nursery.start_soon(one, prompt)
    return answers


def decode_rate(answers: Sequence[EngineAnswer]) -> float:
    """Tokens per second of all together while all of them ran: from the last first token to the first end."""
    began = max(answer.stamps[0][0] for answer in answers)
    ended = min(answer.stamps[-1][0] for answer in answers)
    count = sum(size for answer in answers for at, size in answer.stamps if began < at <= ended)
    return count / (ended - began) if ended > began else 0.0
