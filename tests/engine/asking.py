"""Asking an engine: jobs in few words, and answers whose stream is checked against the contract."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.contract import StreamContract
from peernode.chat.errors import JobError
from peernode.chat.events import Failed, Finished, JobEvent, Tokens, Usage
from peernode.chat.job import ChatJob
from peernode.chat.request import ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.engine import Engine, EngineStream


@dataclass
class Reply:
    """Everything a stream said, in order."""

    events: list[JobEvent]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Tokens))

    @property
    def ids(self) -> list[int]:
        return [token for event in self.events if isinstance(event, Tokens) for token in event.ids]

    @property
    def reason(self) -> str:
        assert isinstance(self.events[-1], Finished), self.events[-1]
        return self.events[-1].reason

    @property
    def usage(self) -> Usage:
        assert isinstance(self.events[-1], Finished), self.events[-1]
        return self.events[-1].usage

    @property
    def error(self) -> JobError:
        assert isinstance(self.events[-1], Failed), self.events[-1]
        return self.events[-1].error


def job(
    said: str,
    *,
    max_tokens: int | None = 16,
    temperature: float = 0.0,
    seed: int = 1,
    stop: tuple[str, ...] = (),
    continue_from: tuple[int, ...] = (),
) -> ChatJob:
    request = ChatRequest((Message("user", said),), max_tokens, stop, Sampling.of(temperature=temperature))
    return ChatJob("req_test", "test-model", request, seed, continue_from=continue_from)


async def read(stream: EngineStream) -> Reply:
    """The rest of a stream."""
    contract = StreamContract(receipted=False)
    events = []
    async for event in stream:
        contract.observe(event)
        events.append(event)
    contract.close()
    return Reply(events)


async def ask(engine: Engine, asked: ChatJob) -> Reply:
    async with engine.open(asked) as stream:
        return await read(stream)
