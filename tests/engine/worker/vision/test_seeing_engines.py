"""Images through real engine processes over random models that see: what they change, what they leave alone, and what
bad ones end in."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import trio
from PIL import Image as Pillow

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.events import Tokens
from peernode.chat.job import ChatJob
from peernode.chat.message import Image, Message
from peernode.chat.request import ChatRequest
from peernode.chat.sampling import Sampling
from peernode.engine import Engine
from tests.engine.asking import Reply, ask, job
from tests.engine.worker.vision.images import BLUE, RED, file_of, looking
from tests.models import write_tiny_model
from tests.projectors import KINDS, write_seeing_model

pytestmark = pytest.mark.real

Start = Callable[..., Awaitable[Engine]]
CELLS = {"mlp": 16, "gemma3": 4, "qwen2vl_merger": 9}


def logprobs_of(reply: Reply) -> list:
    return [entry for event in reply.events if isinstance(event, Tokens) for entry in event.logprobs]


async def seeing_engine(start: Start, directory: Path, kind: str, *, side: int = 32, **settings) -> Engine:
    model, projector = write_seeing_model(directory, kind, side=side)
    return await start(model, projector=projector, **settings)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_said_depends_on_the_image_and_on_nothing_else(ready_engine: Start, tmp_path, kind):
    engine = await seeing_engine(ready_engine, tmp_path, kind)
    red, again, blue, blind = [
        await ask(engine, asked) for asked in (looking(RED), looking(RED), looking(BLUE), looking())
    ]
    assert len(red.ids) >= 1
    assert again.ids == red.ids
    assert logprobs_of(again) == logprobs_of(red)
    assert logprobs_of(blue) != logprobs_of(red)
    assert red.usage.prompt_tokens >= blind.usage.prompt_tokens + CELLS[kind]
    assert red.usage.prompt_tokens == blue.usage.prompt_tokens
    assert engine.facts is not None
    assert "vision" in engine.facts.features


@pytest.mark.parametrize(("kind", "side"), [*((kind, 32) for kind in KINDS), ("mlp", 96), ("gemma3", 192)], ids=str)
async def test_a_neighbour_s_text_is_the_same_token_for_token(ready_engine: Start, tmp_path, kind, side):
    """With the larger sides an image has 144 cells: more than the kernels compute at once, and gemma3's go whole."""
    engine = await seeing_engine(ready_engine, tmp_path, kind, side=side, slots=4)
    text = job("Tell me of the sea.", max_tokens=120)
    alone = await ask(engine, text)
    beside: list[Reply] = []

    async def look(number: int) -> None:
        colour = (40 * number, 255 - 40 * number, 128)
        beside.append(await ask(engine, looking(file_of(colour, 40 + number, 90), RED, max_tokens=20)))

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(look, number)
        in_company = await ask(engine, text)
    assert len(beside) == 6
    assert all(reply.ids for reply in beside)
    assert len(alone.ids) > 20
    assert in_company.ids == alone.ids


@pytest.mark.parametrize("kind", KINDS)
async def test_a_begun_answer_about_an_image_is_continued(ready_engine: Start, tmp_path, kind):
    engine = await seeing_engine(ready_engine, tmp_path, kind)
    whole = await ask(engine, looking(RED, max_tokens=24))
    assert len(whole.ids) > 8
    rest = await ask(engine, looking(RED, max_tokens=24, continue_from=tuple(whole.ids[:7])))
    assert whole.ids[:7] + rest.ids == whole.ids


@pytest.mark.parametrize("kind", KINDS)
async def test_a_prompt_with_an_image_is_shared_like_any_other(ready_engine: Start, tmp_path, kind):
    engine = await seeing_engine(ready_engine, tmp_path, kind)
    first = await ask(engine, looking(RED, BLUE, said="Compare them, please."))
    second = await ask(engine, looking(RED, BLUE, said="Compare them quickly."))
    other = await ask(engine, looking(RED, RED, said="Compare them, please."))
    assert first.usage.cached_tokens == 0
    assert 2 * CELLS[kind] < second.usage.cached_tokens < second.usage.prompt_tokens
    assert CELLS[kind] < other.usage.cached_tokens < second.usage.cached_tokens


async def test_where_the_images_stand_matters(ready_engine: Start, tmp_path):
    engine = await seeing_engine(ready_engine, tmp_path, "mlp")

    async def said_of(*places: tuple[int, bytes]) -> list:
        message = Message("user", "one two", images=tuple(Image(at, data) for at, data in places))
        request = ChatRequest((message,), 4, (), Sampling.of(temperature=0.0), top_logprobs=5)
        return logprobs_of(await ask(engine, ChatJob("req_test", "test-model", request, 1)))

    answers = [
        await said_of((0, RED), (7, BLUE)),
        await said_of((0, BLUE), (7, RED)),
        await said_of((4, RED), (4, BLUE)),
        await said_of((4, BLUE), (4, RED)),
    ]
    assert all(one != other for at, one in enumerate(answers) for other in answers[:at])


def bomb() -> bytes:
    buffer = io.BytesIO()
    Pillow.new("1", (16_000, 16_000)).save(buffer, "PNG")
    return buffer.getvalue()


def noise(form: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, form)
    return buffer.getvalue()


async def test_bad_files_are_refused_by_name_and_the_engine_lives(ready_engine: Start, tmp_path):
    engine = await seeing_engine(ready_engine, tmp_path, "mlp")
    pid = engine.worker_pid
    halves = [data[: len(data) // 2] for data in map(noise, ("PNG", "JPEG", "GIF", "WEBP"))]
    bad = [*halves, bomb(), b"\0", b"<svg/>", b"\xff\xd8\xff", RED[:20] + b"\x7f\xff\xff\xff" * 2 + RED[28:]]
    for data in bad:
        error = (await ask(engine, looking(RED, data))).error
        assert isinstance(error, BadRequest)
        assert error.param == "messages"
        assert error.sentence.startswith("Image 2 ")
    assert (await ask(engine, looking(RED))).ids
    assert engine.worker_pid == pid


async def test_what_an_engine_cannot_hold_is_refused(ready_engine: Start, tmp_path):
    engine = await seeing_engine(ready_engine, tmp_path, "mlp", context=64)
    error = (await ask(engine, looking(*[RED] * 5, said=""))).error
    assert isinstance(error, ContextTooLong)
    assert error.param == "messages"


async def test_a_model_that_reads_only_text_says_so(ready_engine: Start, tmp_path):
    engine = await ready_engine(write_tiny_model(tmp_path / "tiny.gguf"))
    error = (await ask(engine, looking(RED))).error
    assert isinstance(error, BadRequest)
    assert "only text" in error.sentence
    assert engine.facts is not None
    assert "vision" not in engine.facts.features


async def test_nobody_can_write_a_placeholder_of_an_image(ready_engine: Start, tmp_path):
    engine = await seeing_engine(ready_engine, tmp_path, "mlp")
    for said in ("<__media__>", "\ue002:0\ue003", "<image>"):
        reply = await ask(engine, looking(said=said))
        assert reply.usage.prompt_tokens < CELLS["mlp"] + 60
