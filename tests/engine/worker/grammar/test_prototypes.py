"""Each grammar is compiled once, however many ask at once, and what is kept is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from peernode.chat.errors import BadRequest
from peernode.chat.output_format import OutputFormat
from peernode.engine.worker.grammar.prototypes import Prototypes


class Matcher:
    """Stands for a compiled grammar; copies know what they are copies of."""

    def __init__(self, form) -> None:
        self.form = form

    def deep_copy(self):
        return Matcher(self)


class Builder:
    """Counts what it builds; ``gate`` holds it back."""

    def __init__(self) -> None:
        self.built: list[OutputFormat] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self, form):
        self.built.append(form)
        self.entered.set()
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        return Matcher(form)


def regex(number: int) -> OutputFormat:
    return OutputFormat("regex", f"a{number}")


def test_the_second_answer_gets_a_copy_of_the_same():
    builder = Builder()
    prototypes = Prototypes(builder)
    first, second = prototypes.copy(regex(1)), prototypes.copy(regex(1))
    assert first is not second
    assert first.form is second.form
    assert builder.built == [regex(1)]


def test_kinds_are_kept_apart():
    builder = Builder()
    prototypes = Prototypes(builder)
    prototypes.copy(OutputFormat("regex", "a"))
    prototypes.copy(OutputFormat("lark", "a"))
    assert len(builder.built) == 2


def test_two_who_ask_at_once_wait_for_one_build():
    builder = Builder()
    builder.gate.clear()
    prototypes = Prototypes(builder)
    with ThreadPoolExecutor(4) as pool:
        copies = [pool.submit(prototypes.copy, regex(1)) for _ in range(4)]
        assert builder.entered.wait(10)
        builder.gate.set()
        originals = {id(copy.result(10).form) for copy in copies}
    assert len(originals) == 1
    assert builder.built == [regex(1)]


def test_a_failure_reaches_everybody_and_is_not_kept():
    builder = Builder()
    builder.gate.clear()
    builder.error = BadRequest("no")
    prototypes = Prototypes(builder)
    with ThreadPoolExecutor(2) as pool:
        copies = [pool.submit(prototypes.copy, regex(1)) for _ in range(2)]
        assert builder.entered.wait(10)
        builder.gate.set()
        for copy in copies:
            with pytest.raises(BadRequest):
                copy.result(10)
    assert not len(prototypes)
    builder.error = None
    assert prototypes.copy(regex(1))


def test_the_one_not_asked_for_longest_is_forgotten():
    builder = Builder()
    prototypes = Prototypes(builder, most=2)
    for number in (1, 2, 1, 3, 1, 2):
        prototypes.copy(regex(number))
    assert builder.built == [regex(1), regex(2), regex(3), regex(2)]
    assert len(prototypes) == 2
