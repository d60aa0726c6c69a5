"""The real model answers: alone, in company, continued, stopped and refused."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog
import trio

from peernode.chat.contract import StreamContract
from peernode.chat.errors import ContextTooLong, ProviderBusy
from peernode.chat.events import Finished, Tokens
from peernode.engine import Engine
from peernode.engine.worker.sampler import SAMPLER_VERSION
from tests.engine.asking import Reply, ask, job, read
from tests.models import DEMO_MODEL_SHA256, demo_model, write_tiny_model

pytestmark = pytest.mark.real

Start = Callable[..., Awaitable[Engine]]


async def ask_all(engine: Engine, jobs: list) -> list[Reply]:
    replies: dict[int, Reply] = {}

    async def one(number: int) -> None:
        replies[number] = await ask(engine, jobs[number])

    async with trio.open_nursery() as nursery:
        for number in range(len(jobs)):
            nursery.start_soon(one, number)
    return [replies[number] for number in range(len(jobs))]


async def test_it_answers_and_knows_what_it_is(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    reply = await ask(engine, job("Name the capital city of France.", max_tokens=32))
    assert "Paris" in reply.text
    assert (reply.reason, reply.usage.completion_tokens) == ("stop", len(reply.ids))
    facts = engine.facts
    assert facts is not None
    assert facts.digest.hex() == DEMO_MODEL_SHA256
    assert (facts.architecture, facts.quantization, facts.context_length) == ("llama", "Q4_1", 1024)
    assert facts.sampler_version == SAMPLER_VERSION
    assert engine.load().decode_tps > 0


async def test_eight_jobs_interleave_and_all_finish(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), slots=8)
    order: list[int] = []

    async def one(number: int) -> None:
        async with engine.open(job(f"Tell me a story about the number {number}.", max_tokens=12)) as stream:
            contract = StreamContract(receipted=False)
            async for event in stream:
                contract.observe(event)
                if isinstance(event, Tokens):
                    order.append(number)
            contract.close()

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(one, number)
    turns = sum(a != b for a, b in itertools.pairwise(order))
    assert set(order) == set(range(8))
    assert turns > len(order) // 2
    assert (engine.load().free_slots, engine.load().kv_used) == (8, 0)


@pytest.mark.parametrize(("temperature", "long", "at_least"), [(0.0, 0, 8), (0.8, 0, 8), (0.8, 40, 7)])
async def test_company_does_not_change_what_a_seed_says(
    ready_engine: Start, temperature: float, long: int, at_least: int
) -> None:
    """On a CPU a row's logits depend neither on its batch nor on shared cells (see ``context.EXACT_ROWS``)."""
    engine = await ready_engine(demo_model(), slots=8)
    words = ["apple river stone " * long, ""]
    jobs = [
        job(f"{words[n % 4 > 0]}Tell me of number {n}.", max_tokens=24, temperature=temperature, seed=n)
        for n in range(8)
    ]
    together = await ask_all(engine, jobs)
    alone = [await ask(engine, asked) for asked in jobs]
    same = sum(one.ids == other.ids for one, other in zip(together, alone, strict=True))
    assert same >= at_least


async def test_a_continued_answer_goes_on_where_it_was(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    asked = {"said": "Count from one to twenty in words.", "temperature": 0.7, "seed": 99}
    whole = await ask(engine, job(**asked, max_tokens=24))
    first = tuple(whole.ids[:10])
    rest = await ask(engine, job(**asked, max_tokens=24, continue_from=first))
    assert [*first, *rest.ids] == whole.ids
    assert whole.text.endswith(rest.text)
    assert rest.usage.completion_tokens == len(whole.ids) - 10
    assert rest.reason == whole.reason


async def test_an_answer_that_has_filled_the_context_ends_by_its_length_when_it_is_continued(
    ready_engine: Start, tmp_path: Path
) -> None:
    engine = await ready_engine(write_tiny_model(tmp_path / "tiny.gguf"), context=64)
    whole = await ask(engine, job("Hello", max_tokens=None, temperature=1.0))
    if whole.reason != "length":  # random weights may end an answer by themselves
        whole = await ask(engine, job("Hello", max_tokens=None, temperature=1.0, seed=2))
    assert whole.reason == "length"
    ids, usage = tuple(whole.ids), whole.usage
    assert usage.prompt_tokens + usage.completion_tokens == 64
    rest = await ask(engine, job("Hello", max_tokens=None, temperature=1.0, continue_from=ids))
    assert (rest.reason, rest.ids) == ("length", [])
    rest = await ask(engine, job("Hello", max_tokens=None, temperature=1.0, continue_from=ids[:-1]))
    assert (rest.reason, len(rest.ids)) == ("length", 1)
    beyond = await ask(engine, job("Hello", max_tokens=None, temperature=1.0, continue_from=(*ids, ids[0])))
    assert isinstance(beyond.error, ContextTooLong)


async def test_a_stop_string_across_tokens_is_never_said(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    free = await ask(engine, job("What is the capital of France?", max_tokens=32))
    stop = free.text[5:12]
    reply = await ask(engine, job("What is the capital of France?", max_tokens=32, stop=(stop,)))
    assert reply.text == free.text[: free.text.index(stop)]
    assert reply.reason == "stop"


async def test_control_tokens_in_what_people_say_stay_text(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    plain = await ask(engine, job("a<|im_end|>b", max_tokens=1))
    shorter = await ask(engine, job("ab", max_tokens=1))
    assert plain.usage.prompt_tokens > shorter.usage.prompt_tokens + 3


async def test_a_prompt_beyond_the_context_is_refused(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    assert isinstance((await ask(engine, job("word " * 2000))).error, ContextTooLong)
    assert isinstance((await ask(engine, job("word " * 200_000))).error, ContextTooLong)
    assert (await ask(engine, job("Hello", max_tokens=2))).reason == "length"


async def test_nothing_that_is_said_gets_into_the_log(ready_engine: Start) -> None:
    with structlog.testing.capture_logs() as entries:
        engine = await ready_engine(demo_model())
        reply = await ask(engine, job("Repeat this word: xylophonist.", max_tokens=12))
        await ask(engine, job("xylophonist " * 2000))
    assert entries
    assert "xylophonist" not in str(entries)
    assert reply.text.strip() not in str(entries)


async def test_text_that_is_no_text_is_refused(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    assert (await ask(engine, job("\ud800"))).error.code == "bad_request"


async def test_a_full_queue_says_busy_and_serves_the_others(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), slots=1, queue_limit=2)
    replies = await ask_all(engine, [job("Say something.", max_tokens=8) for _ in range(5)])
    busy = [reply for reply in replies if not isinstance(reply.events[-1], Finished)]
    assert len(busy) == 2
    assert all(isinstance(reply.error, ProviderBusy) for reply in busy)


async def test_cancelling_gracefully_reports_exactly_what_was_said(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    async with engine.open(job("Tell me a very long story.", max_tokens=500)) as stream:
        said = 0
        cancelled_at: int | None = None
        contract = StreamContract(receipted=False)
        async for event in stream:
            contract.observe(event)
            if isinstance(event, Tokens):
                said += len(event.ids)
            if said >= 5 and cancelled_at is None:
                cancelled_at = engine.load().steps
                stream.cancel()
        contract.close()
    assert isinstance(event, Finished)
    assert (event.reason, event.usage.completion_tokens) == ("cancelled", said)
    assert stream.freed_at_step is not None
    assert cancelled_at is not None
    assert 0 <= stream.freed_at_step - cancelled_at <= 8  # test_loop proves one step; here the owner may be late
    assert engine.load().free_slots == engine.load().slots


async def test_leaving_the_stream_frees_the_slot_for_the_next(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), slots=1, queue_limit=0)
    version = engine.version
    async with engine.open(job("Tell me a very long story.", max_tokens=900)) as stream:
        async for event in stream:
            if isinstance(event, Tokens):
                break
    with trio.fail_after(10):
        while engine.load().free_slots == 0:
            version = await engine.wait_change(version)
    assert (await ask(engine, job("Hello", max_tokens=2))).reason == "length"


async def test_what_was_not_limited_ends_by_the_default(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), default_max_tokens=7)
    reply = await ask(engine, job("Tell me a very long story.", max_tokens=None))
    assert (reply.reason, len(reply.ids)) == ("length", 7)


async def test_a_stream_is_read_to_its_end_only_once(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    async with engine.open(job("Hello", max_tokens=2)) as stream:
        await read(stream)
        assert [event async for event in stream] == []


async def test_a_prefix_that_left_the_models_memory_comes_back_as_it_was(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), context=1024, kv_tokens=1024, slots=2)
    long = job("Once there was a fox. " * 80 + "What was there?", max_tokens=24)
    first = await ask(engine, long)
    for number in range(3):
        await ask(engine, job(f"Count from {number}. " * 40, max_tokens=24))
    assert engine.load().stored > first.usage.prompt_tokens
    again = await ask(engine, long)
    assert again.ids == first.ids
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 2
    assert engine.load().reused >= again.usage.cached_tokens


async def test_without_memory_for_prefixes_only_what_is_resident_is_shared(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), context=1024, kv_tokens=1024, slots=2, prefix_cache_mib=0)
    long = job("Once there was a fox. " * 80 + "What was there?", max_tokens=24)
    first = await ask(engine, long)
    await ask(engine, job("Count sheep. " * 200, max_tokens=24))
    assert engine.load().stored == 0
    again = await ask(engine, long)
    assert again.usage.cached_tokens < 64 < first.usage.prompt_tokens
