"""Embeddings from real workers: unit vectors of the model's width, the same in any company, and typed refusals."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trio

from peernode.chat.embedding_request import EmbeddingRequest, Input, read_vectors
from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.job import ChatJob
from peernode.engine import Engine, LoraAdapter, ModelLoadFailed
from tests.engine.asking import Reply, ask, job
from tests.models import demo_model, write_tiny_embedder, write_tiny_lora, write_tiny_model

pytestmark = pytest.mark.real

Start = Callable[..., Awaitable[Engine]]
# Attention's kernels work in half precision, and what else is in the batch decides how they round.
ROUNDING = 1e-3


def wanting(*inputs: Input) -> ChatJob:
    return replace(job("x"), request=EmbeddingRequest(inputs))


async def embed(engine: Engine, *inputs: Input) -> np.ndarray:
    with trio.fail_after(60):
        reply = await ask(engine, wanting(*inputs))
    assert (reply.reason, reply.ids) == ("stop", [])
    assert reply.usage.completion_tokens == 0
    return np.array(read_vectors(reply.text, len(inputs)))


@pytest.fixture
def embedder(tmp_path: Path) -> Path:
    return write_tiny_embedder(tmp_path / "embedder.gguf")


async def test_an_embedding_models_vectors_are_units_of_its_width(ready_engine: Start, embedder: Path) -> None:
    engine = await ready_engine(embedder, threads=1)
    assert engine.facts is not None
    assert engine.facts.features == ("embeddings",)
    assert engine.facts.context_length == 128
    vectors = await embed(engine, "the cat", "a dog", "the cat")
    assert vectors.shape == (3, 32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert vectors[0] == pytest.approx(vectors[2], abs=ROUNDING)
    assert abs(vectors[0] @ vectors[1]) < 0.999


async def test_company_does_not_change_a_vector(ready_engine: Start, embedder: Path) -> None:
    engine = await ready_engine(embedder, threads=1)
    texts = [f"the cat {'x' * number}" for number in range(1, 80, 3)]
    together = await embed(engine, *texts)
    alone = np.concatenate([await embed(engine, text) for text in texts])
    assert together == pytest.approx(alone, abs=ROUNDING)


async def test_texts_and_their_tokens_make_the_same_vector(ready_engine: Start, embedder: Path) -> None:
    engine = await ready_engine(embedder, threads=1)
    reply = await ask(engine, wanting("the"))
    assert reply.usage.prompt_tokens == 3  # [CLS] the [SEP]
    the = 5 + 2 * len([number for number in range(33, 127) if not chr(number).isupper()])
    by_text, by_ids = await embed(engine, "the"), await embed(engine, (2, the, 3))
    assert by_text == pytest.approx(by_ids, abs=ROUNDING)


async def test_many_jobs_at_once_get_their_own_vectors(ready_engine: Start, embedder: Path) -> None:
    engine = await ready_engine(embedder, threads=1, slots=4, queue_limit=32)
    found: dict[int, np.ndarray] = {}

    async def one(number: int) -> None:
        found[number] = await embed(engine, *["the cat"] * number, f"dog {number}")

    async with trio.open_nursery() as asking:
        for number in range(1, 13):
            asking.start_soon(one, number)
    same = await embed(engine, "the cat")
    for number, vectors in found.items():
        assert vectors.shape == (number + 1, 32)
        assert vectors[0] == pytest.approx(same[0], abs=ROUNDING)
        assert vectors[-1] == pytest.approx((await embed(engine, f"dog {number}"))[0], abs=ROUNDING)


async def test_a_chat_model_can_be_asked_to_embed(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), embeddings=True, context=512)
    cat, kitten, stocks = await embed(
        engine, "The cat sat on the mat.", "A kitten rests on a rug.", "Stock markets fell sharply today."
    )
    assert len(cat) == 576
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-6)
    assert cat @ kitten > cat @ stocks
    assert cat @ kitten > kitten @ stocks


async def test_pooling_is_the_models_the_operators_or_the_mean(ready_engine: Start, tmp_path: Path) -> None:
    async def vector(pooling_key: int | None, **settings: object) -> np.ndarray:
        path = write_tiny_embedder(tmp_path / f"{pooling_key}.gguf", pooling=pooling_key)
        return (await embed(await ready_engine(path, threads=1, **settings), "the cat"))[0]

    mean, cls = await vector(1), await vector(2)
    assert abs(mean @ cls) < 0.999
    assert await vector(None) == pytest.approx(mean, abs=ROUNDING)
    assert await vector(1, pooling="cls") == pytest.approx(cls, abs=ROUNDING)


async def test_a_model_that_ranks_is_refused(ready_engine: Start, tmp_path: Path) -> None:
    path = write_tiny_embedder(tmp_path / "ranks.gguf", pooling=4)
    with pytest.raises(ModelLoadFailed):
        await ready_engine(path, threads=1)


async def test_an_adapter_changes_vectors_too(ready_engine: Start, tmp_path: Path) -> None:
    path, adapter = write_tiny_model(tmp_path / "tiny.gguf"), write_tiny_lora(tmp_path / "adapter.gguf")
    plain = await ready_engine(path, threads=1, embeddings=True)
    adapted = await ready_engine(path, threads=1, embeddings=True, lora=(LoraAdapter(adapter),))
    first, second = (await embed(plain, "Hello"))[0], (await embed(adapted, "Hello"))[0]
    assert len(first) == 64
    assert abs(first @ second) < 0.999


async def refused(engine: Engine, asked: ChatJob) -> Reply:
    with trio.fail_after(30):
        return await ask(engine, asked)


async def test_what_cannot_be_embedded_is_refused(ready_engine: Start, embedder: Path) -> None:
    engine = await ready_engine(embedder, threads=1)
    too_long = (await refused(engine, wanting("fine", "x" * 1000))).error
    assert isinstance(too_long, ContextTooLong)
    assert "input 1" in too_long.cause
    assert isinstance((await refused(engine, wanting((2,) * 129))).error, ContextTooLong)
    unknown = (await refused(engine, wanting((10**6,)))).error
    assert isinstance(unknown, BadRequest)
    assert unknown.param == "input"
    assert isinstance((await refused(engine, job("Hello"))).error, BadRequest)
    assert (await embed(engine, "still here")).shape == (1, 32)


async def test_a_chat_model_does_not_embed(ready_engine: Start, tmp_path: Path) -> None:
    engine = await ready_engine(write_tiny_model(tmp_path / "tiny.gguf"), threads=1)
    assert isinstance((await refused(engine, wanting("Hello"))).error, BadRequest)
    assert (await ask(engine, job("Hello"))).ids


async def test_a_job_that_is_cancelled_makes_way(ready_engine: Start, embedder: Path) -> None:
    engine = await ready_engine(embedder, threads=1, slots=1, queue_limit=1)
    async with engine.open(wanting(*["the cat sat there"] * 2000)) as stream:
        stream.cancel()
        with trio.fail_after(30):
            events = [event async for event in stream]
    assert Reply(events).reason in {"cancelled", "stop"}
    assert math.isclose(float(np.linalg.norm(await embed(engine, "the cat"))), 1, abs_tol=1e-6)
