"""Each sampling parameter has its visible effect on what the real model says."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from peernode.chat.errors import BadRequest
from peernode.chat.events import Tokens
from peernode.chat.job import ChatJob
from peernode.chat.sampling import Sampling
from peernode.engine import Engine
from peernode.wire.logprobs import Logprobs
from tests.engine.asking import Reply, ask, job
from tests.models import demo_model

pytestmark = pytest.mark.real

Start = Callable[..., Awaitable[Engine]]
SAID = "Tell me a story about a fox."


def sampled(said: str = SAID, *, max_tokens: int = 24, top_logprobs: int | None = None, **sampling: object) -> ChatJob:
    plain = job(said, max_tokens=max_tokens, seed=5)
    asked = Sampling.of(**{"temperature": 0.0, **sampling})
    return replace(plain, request=replace(plain.request, sampling=asked, top_logprobs=top_logprobs))


def logprobs_of(reply: Reply) -> list[Logprobs]:
    return [entry for event in reply.events if isinstance(event, Tokens) for entry in event.logprobs]


async def test_a_bias_bans_a_token_or_forces_it(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    free = await ask(engine, sampled(max_tokens=12))
    banned = free.ids[0]
    without = await ask(engine, sampled(max_tokens=12, logit_bias=dict.fromkeys(free.ids, -100)))
    assert not set(without.ids) & set(free.ids)
    forced = await ask(engine, sampled(max_tokens=6, temperature=1.0, logit_bias={banned: 100}))
    assert forced.ids == [banned] * 6


async def test_a_bias_for_a_token_that_is_not_there_is_refused(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    error = (await ask(engine, sampled(logit_bias={10**6: 1}))).error
    assert isinstance(error, BadRequest)
    assert error.param == "logit_bias"


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty", "repetition_penalty"])
async def test_penalties_make_the_answer_repeat_itself_less(ready_engine: Start, penalty: str) -> None:
    engine = await ready_engine(demo_model())
    free = await ask(engine, sampled(max_tokens=60))
    penalised = await ask(engine, sampled(max_tokens=60, **{penalty: 1.5}))
    assert repeats(penalised) < repeats(free) * 0.9


def repeats(reply: Reply) -> float:
    return 1 - len(set(reply.ids)) / len(reply.ids)


async def test_one_candidate_is_the_greedy_answer_by_whatever_cut(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    greedy = await ask(engine, sampled())
    hot = await ask(engine, sampled(temperature=2.0))
    assert hot.ids != greedy.ids
    for cut in ({"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}):
        assert (await ask(engine, sampled(temperature=2.0, **cut))).ids == greedy.ids


async def test_the_cuts_tame_a_hot_answer(ready_engine: Start) -> None:
    """What is drawn under a cut is never further down than the cut allows."""
    engine = await ready_engine(demo_model())
    for cut in ({"top_k": 5}, {"min_p": 0.2}, {"top_a": 0.5}):
        reply = await ask(engine, sampled(temperature=2.0, top_logprobs=5, **cut))
        for entry in logprobs_of(reply):
            likeliest = math.exp(entry.top[0].logprob)
            share = math.exp(entry.chosen.logprob)
            if "top_k" in cut:
                assert entry.chosen in entry.top
            elif "min_p" in cut:
                assert share >= 0.2 * likeliest * (1 - 1e-4)
            else:  # of the 256 candidates' distribution, whose probabilities are a little larger than the vocabulary's
                assert share >= 0.5 * likeliest**2 * (1 - 1e-4)


async def test_log_probabilities_of_a_greedy_answer_are_the_largest(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    plain = await ask(engine, sampled())
    told = await ask(engine, sampled(top_logprobs=20))
    assert (told.ids, told.text) == (plain.ids, plain.text)
    assert not logprobs_of(plain)
    entries = logprobs_of(told)
    assert [entry.chosen.id for entry in entries] == told.ids
    for entry in entries:
        assert entry.chosen == entry.top[0]
        assert len(entry.top) == 20
        logarithms = [alternative.logprob for alternative in entry.top]
        assert logarithms == sorted(logarithms, reverse=True)
        assert sum(map(math.exp, logarithms)) <= 1 + 1e-4
    said = b"".join(entry.chosen.piece for entry in entries).decode("utf-8", "ignore")
    assert said == told.text


async def test_the_same_seed_and_parameters_say_the_same_also_when_continued(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model())
    wanted = sampled(
        temperature=0.9, top_k=50, top_p=0.95, min_p=0.02, presence_penalty=0.5, frequency_penalty=0.3,
        repetition_penalty=1.1, top_logprobs=1,
    )  # fmt: skip
    whole = await ask(engine, wanted)
    assert (await ask(engine, wanted)).ids == whole.ids
    rest = await ask(engine, replace(wanted, continue_from=tuple(whole.ids[:10])))
    assert [*whole.ids[:10], *rest.ids] == whole.ids
    assert [entry.chosen.id for entry in logprobs_of(rest)] == rest.ids
