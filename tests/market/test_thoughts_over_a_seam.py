"""A thinking model's answer whose provider is lost inside its thoughts, at their end or behind them: one answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peernode.chat.errors import ProviderFailed
from peernode.chat.events import Failed, Finished, JobEvent, Started, Tokens
from peernode.edge.openai.completion import AnswerHead
from peernode.edge.openai.stream import StreamWriter
from tests.market.scripted import ScriptedEngine, collect
from tests.market.test_failover import job, network
from tests.samples import REQUEST

PIECES = ("<think>", "First ", "this, ", "then <b", "> that", "\n</thi", "nk>", "\n\n", "So ", "it <", "is.")
THOUGHT, SAID = "First this, then <b> that", "So it <is."


def thinking(crash_at: int | None = None) -> ScriptedEngine:
    engine = ScriptedEngine(PIECES)
    engine.markup = "think"
    engine.crash_at, engine.crash = crash_at, ProviderFailed("dead")
    return engine


def shown(events: list[JobEvent]) -> tuple[str, str]:
    """(reasoning_content, content) of the stream that an OpenAI client is sent."""
    writer = StreamWriter(AnswerHead(("req_0",), 0, "m", (REQUEST,)), include_usage=False)
    raw = b""
    for event in events:
        match event:
            case Started():
                writer.started(0, event)
            case Tokens():
                raw += writer.tokens(0, event)
            case Finished():
                raw += writer.finished(0, event)
            case Failed(error=error):
                raw += writer.failed(0, error)
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in raw.decode().splitlines() if line]
    return tuple(  # type: ignore[return-value]
        "".join(delta.get(name) or "" for delta in deltas) for name in ("reasoning_content", "content")
    )


async def test_an_unbroken_answer_has_its_thoughts_apart(tmp_path: Path) -> None:
    async with network(tmp_path, [thinking()]) as (edge, _):
        assert shown(await collect(edge.coordinator, job())) == (THOUGHT, SAID)


@pytest.mark.parametrize("crash_at", [1, 4, 6, 7, 8, 10])
async def test_thoughts_go_on_as_thoughts_and_words_as_words(tmp_path: Path, crash_at: int) -> None:
    async with network(tmp_path, [thinking(crash_at), thinking()]) as (edge, (_, second)):
        events = await collect(edge.coordinator, job())
        assert shown(events) == (THOUGHT, SAID)
        assert second.engine is not None
        assert [len(asked.continue_from) for asked in second.engine.jobs] == [crash_at]


async def test_an_answer_that_is_given_up_shows_the_thoughts_that_there_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peernode.market.dispatch.HEIRS_S", 0.0)
    async with network(tmp_path, [thinking(3)]) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert isinstance(events[-1], Failed)
        assert shown(events) == ("First this, ", "")
