"""Whatever thousands of jobs ask for, none is lost, none gets another's words, and all memory comes back.

Most jobs know what they must hear: a bias or a grammar leaves the model no choice. The others are asked more than
once, and must hear the same again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from peernode.chat.output_format import OutputFormat
from peernode.chat.request import ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.engine.settings import EngineSettings
from tests.engine.worker_driver import Told, WorkerDriver
from tests.models import demo_model, write_tiny_model

SLOTS = 8
AT_ONCE = 16
KV = 4096
_SHARED = "The quick brown fox jumps over the lazy dog. " * 4
_HUGE = {"type": "object", "properties": {f"p{at}": {"multipleOf": 99991 + at} for at in range(9)}}


@dataclass(frozen=True)
class Case:
    """A job, how to hear that it went well, and when to hang up (after so many chunks; None: never)."""

    request: ChatRequest
    kind: str
    wanted: str
    letter: str
    seed: int
    payer: str
    hang_up: int | None


@st.composite
def cases(draw: st.DrawFn, *, letters: dict[str, int], most: int) -> Case:
    kind = draw(st.sampled_from(["bias", "bias", "stop", "free", "free", "const", "regex", "long", "schema"]))
    words = draw(st.text(max_size=60))
    if draw(st.booleans()):
        words = _SHARED + words
    tokens = draw(st.integers(1, most))
    sampling, stop, form, wanted = Sampling.of(), (), OutputFormat(), ""
    logprobs = draw(st.sampled_from([None, None, 0, 2]))
    letter, token = draw(st.sampled_from(sorted(letters.items())))
    seed = draw(st.integers(0, 3))
    if kind in {"bias", "stop"}:
        sampling = Sampling.of(temperature=draw(st.sampled_from([0.0, 1.0])), logit_bias={token: 100.0})
        wanted = letter * tokens
        if kind == "stop":
            length = draw(st.integers(1, 6))
            stop = (letter * length,)
            wanted = "" if length <= tokens else wanted
    elif kind == "const":
        # Small vocabularies cannot write every character; all of these have what it takes.
        wanted = json.dumps(draw(st.text(st.sampled_from('ab é"\\Ж漢🙂{}[]:,'), max_size=12)))
        schema = json.dumps({"const": json.loads(wanted)}, ensure_ascii=False, separators=(",", ":"))
        form, tokens = OutputFormat("json_schema", schema), 200
    elif kind == "regex":
        wanted = f"[{letter}x-z]{{{tokens}}}é"
        form, tokens = OutputFormat("regex", wanted), 200
    elif kind == "free":
        # Few enough that many are asked more than once.
        words, tokens, logprobs = draw(st.sampled_from([_SHARED, "é🙂", "tea"])), most, None
    elif kind == "long":
        words = _SHARED * 200
    elif kind == "schema":
        form = OutputFormat("json_schema", json.dumps(_HUGE, separators=(",", ":"), sort_keys=True))
    request = ChatRequest((Message("user", words),), tokens, stop, sampling, logprobs, format=form)
    hang_up = draw(st.one_of(st.none(), st.none(), st.integers(0, 5)))
    return Case(request, kind, wanted, letter, seed, draw(st.sampled_from(["", "ann", "bob"])), hang_up)


@dataclass
class Heard:
    """What jobs without a forced answer have heard, and how often one that asked again heard something else."""

    texts: dict[tuple[ChatRequest, int], str] = field(default_factory=dict)
    again: int = 0
    otherwise: int = 0

    def add(self, case: Case, text: str) -> None:
        asked = (case.request, case.seed)
        if asked in self.texts:
            self.again += 1
            self.otherwise += self.texts[asked] != text
        else:
            self.texts[asked] = text


def went_well(case: Case, told: Told, heard: Heard) -> None:
    if case.kind in {"long", "schema"}:
        if told.end != "cancelled":
            assert told.refusal == ("context_length_exceeded" if case.kind == "long" else "bad_request"), told
        return
    assert not told.refusal or (case.hang_up is not None and not told.ids), told
    assert "\ufffd" not in told.text or case.kind == "free"
    whole = told.end in {"stop", "length"}
    assert whole or (case.hang_up is not None), told
    if case.kind in {"bias", "stop"}:
        if whole:
            assert told.text == case.wanted, told
        else:
            assert set(told.text) <= {case.letter}, told
    elif case.kind == "const" and whole:
        assert json.loads(told.text) == json.loads(case.wanted)
    elif case.kind == "regex" and whole:
        assert re.fullmatch(case.wanted, told.text)
    elif case.kind == "free" and whole:
        heard.add(case, told.text)


def serve(worker: WorkerDriver, batch: list[Case], heard: Heard) -> None:
    """Run all of ``batch``, at most ``AT_ONCE`` together, and look at everything that came."""
    waiting = list(batch)
    running: dict[int, Case] = {}
    hung_up: set[int] = set()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            case = waiting.pop()
            running[worker.submit(case.request, seed=case.seed, payer=case.payer)] = case
        for job, case in list(running.items()):
            told = worker.told[job]
            if case.hang_up is not None and told.chunks >= case.hang_up and job not in hung_up:
                worker.cancel(job)
                hung_up.add(job)
        worker.read()
        for job, case in list(running.items()):
            if worker.told[job].over:
                went_well(case, worker.told.pop(job), heard)
                del running[job]
    assert not worker.told
    assert (worker.last.free_slots, worker.last.queued, worker.last.kv_used) == (SLOTS, 0, 0)
    assert worker.last.kv_cached <= KV


def options(examples: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    # No shrinking: all examples share one worker, and what failed once has disturbed it.
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=checks,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )


class Crowd:
    """One worker for all examples of a test, and what its jobs have heard so far."""

    def __init__(self, worker: WorkerDriver) -> None:
        self.worker = worker
        self.heard = Heard()
        self.served = 0
        self.memory: list[int] = []

    def serve(self, batch: list[Case]) -> None:
        serve(self.worker, batch, self.heard)
        self.served += len(batch)
        if self.served % 1000 < len(batch):
            self.memory.append(self.worker.memory)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Crowd]:
    order = EngineSettings(slots=SLOTS, context=1024, kv_tokens=KV, queue_limit=64, prefix_cache_mib=4)
    with WorkerDriver(write_tiny_model(tmp_path / "tiny.gguf", heads=2), order) as worker:
        yield Crowd(worker)


@pytest.fixture
def real() -> Iterator[Crowd]:
    with WorkerDriver(demo_model(), EngineSettings(slots=SLOTS, context=1024, kv_tokens=KV, queue_limit=64)) as worker:
        yield Crowd(worker)


# Ids of letters: the tiny model's vocabulary is three special tokens and the bytes in order of their stand-ins.
TINY = {letter: 3 + ord(letter) for letter in "abcdefgh"}
SMOL = {"a": 81, "b": 82, "c": 83}


@pytest.mark.real
def test_ten_thousand_jobs_on_one_worker(tiny: Crowd) -> None:
    @options(500)
    @given(st.lists(cases(letters=TINY, most=12), min_size=20, max_size=20))
    def run(batch: list[Case]) -> None:
        tiny.serve(batch)

    run()
    assert tiny.served >= 10_000
    # Random weights blow up what is left of the order of sums, so a few answers part ways; a mix-up would part all.
    assert tiny.heard.again > 500
    assert tiny.heard.otherwise <= 0.05 * tiny.heard.again, (tiny.heard.otherwise, tiny.heard.again)
    # The first thousand fill caches; after that nothing may pile up.
    assert tiny.memory[-1] - tiny.memory[1] < 16 << 20, tiny.memory


@pytest.mark.real
def test_five_hundred_jobs_on_the_real_model(real: Crowd) -> None:
    @options(25)
    @given(st.lists(cases(letters=SMOL, most=6), min_size=20, max_size=20))
    def run(batch: list[Case]) -> None:
        real.serve(batch)

    run()
    assert real.served >= 500
