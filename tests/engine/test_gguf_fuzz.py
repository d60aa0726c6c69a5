"""Mutations of a valid model: the validator refuses with its one typed error or accepts, fast and in little memory."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peernode.engine import ModelLoadFailed
from peernode.engine.model_parts import inspect_model
from tests.models import write_tiny_model

CASES = int(os.environ.get("PEERNODE_FUZZ_CASES", "400"))
LONGEST_S = 1.0
MOST_BYTES = 50 << 20
HUGE = [0, 1, 2, 255, 1 << 16, 1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]


@functools.cache
def valid() -> bytes:
    """Not a fixture: Hypothesis would print all of it with a failing case."""
    with tempfile.TemporaryDirectory() as directory:
        return write_tiny_model(Path(directory) / "tiny.gguf").read_bytes()


@functools.cache
def header_end() -> int:
    return valid().rindex(b"ffn_down.weight") + 64


@st.composite
def mutation(draw: st.DrawFn) -> tuple:
    kind = draw(st.sampled_from(["flip", "number", "splice", "cut", "insert", "grow"]))
    at = draw(st.floats(0, 1))
    if kind == "flip":
        return kind, at, draw(st.integers(1, 255))
    if kind == "number":
        return kind, at, struct.pack(draw(st.sampled_from(["<Q", ">Q"])), draw(st.sampled_from(HUGE)))
    if kind == "splice":
        return kind, at, draw(st.floats(0, 1)), draw(st.integers(1, 64))
    if kind == "insert":
        return kind, at, draw(st.binary(min_size=1, max_size=32))
    return kind, at, draw(st.integers(1, 4096))


def mutated(mutations: list[tuple]) -> bytes:
    data, end = bytearray(valid()), header_end()
    for kind, where, *rest in mutations:
        data = data or bytearray(1)
        at = min(int(where * end), len(data) - 1)
        match kind:
            case "flip":
                data[at] ^= rest[0]
            case "number":
                data[at : at + 8] = rest[0]
            case "splice":
                start = int(rest[0] * end)
                data[at : at + rest[1]] = data[start : start + rest[1]]
            case "insert":
                data[at:at] = rest[0]
            case "cut":
                del data[max(at, 1) :]
            case "grow":
                data += bytes(rest[0])
    return bytes(data)


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutations=st.lists(mutation(), min_size=1, max_size=4))
def test_no_mutation_gets_more_than_a_refusal(tmp_path: Path, mutations: list[tuple]) -> None:
    path = tmp_path / "mutated.gguf"
    path.write_bytes(mutated(mutations))
    began = time.thread_time()
    try:
        inspect_model(path)
    except ModelLoadFailed as err:
        assert err.sentence
        assert err.cause
        assert len(str(err)) < 2000
    assert time.thread_time() - began < LONGEST_S


@settings(max_examples=CASES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutations=st.lists(mutation(), min_size=1, max_size=4))
def test_no_mutation_costs_much_memory(tmp_path: Path, mutations: list[tuple]) -> None:
    path = tmp_path / "mutated.gguf"
    path.write_bytes(mutated(mutations))
    tracemalloc.start()
    try:
        inspect_model(path)
    except ModelLoadFailed:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES


def test_a_sparse_giant_costs_no_more_than_its_header(tmp_path: Path) -> None:
    """A terabyte of nothing whose counts are all plausible for its size."""
    path = tmp_path / "giant.gguf"
    head = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1) + struct.pack("<Q1sIIQ", 1, b"x", 9, 8, 1 << 21)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(1 << 40)
    began = time.thread_time()
    with pytest.raises(ModelLoadFailed):
        inspect_model(path)
    assert time.thread_time() - began < LONGEST_S
