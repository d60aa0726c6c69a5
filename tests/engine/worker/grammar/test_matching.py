"""One answer held to its form: masks, forced tokens, drafts, the end, and what happens when something is wrong."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from peernode.chat.output_format import OutputFormat
from peernode.engine.worker.constraint import Constraint, ConstraintBroken
from peernode.engine.worker.grammar.matching import GrammarConstraint

# The library reads the vocabulary through a function that llama-cpp-python has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:llama_token_get_attr:DeprecationWarning")


def regex(speaker, pattern: str) -> GrammarConstraint:
    return speaker.grammars.constrain(OutputFormat("regex", pattern))


def fixed(speaker, value) -> GrammarConstraint:
    return speaker.grammars.constrain(OutputFormat("json_schema", json.dumps({"const": value}, ensure_ascii=False)))


def test_it_is_a_constraint(tiny):
    constraint: Constraint = regex(tiny, "a")
    assert constraint.forced()


def test_the_mask_leaves_logits_of_what_may_come_and_nothing_else(demo):
    logits = np.random.default_rng(1).normal(size=demo.vocabulary.size).astype(np.float32)
    before = logits.copy()
    masked = regex(demo, "[0-9]+").mask(logits)
    assert np.array_equal(logits, before)
    pieces = demo.vocabulary.pieces
    may = np.flatnonzero(np.isfinite(masked))
    digits = [token for token, piece in enumerate(pieces) if piece and piece.isdigit() and piece.isascii()]
    assert may.tolist() == digits
    assert np.array_equal(masked[may], logits[may])
    assert masked.dtype == np.float32


def test_every_end_is_allowed_where_the_answer_may_end(demo):
    ends = demo.vocabulary.end_ids
    assert len(ends) > 1
    constraint = regex(demo, "ab?c?")
    (token,) = demo.tokenise("a")
    constraint.accept(token)
    masked = constraint.mask(np.zeros(demo.vocabulary.size, np.float32))
    assert all(masked[end] == 0 for end in ends)
    for end in ends:
        assert constraint.allowed([end]) == 1
        assert constraint.allowed([end, end]) == 1
    constraint.accept(max(ends))
    assert constraint.forced() == []


def test_only_the_end_can_follow_a_whole_answer_and_it_is_forced(demo):
    constraint = regex(demo, "yes")
    for token in constraint.forced():
        constraint.accept(token)
    assert constraint.forced() == [2]
    masked = constraint.mask(np.zeros(demo.vocabulary.size, np.float32))
    assert set(np.flatnonzero(masked == 0).tolist()) == set(demo.vocabulary.end_ids)
    assert constraint.allowed([2]) == 1
    assert constraint.allowed(demo.tokenise("y")) == 0
    constraint.accept(2)
    assert constraint.allowed([2]) == 0


@pytest.mark.parametrize(
    "value", ["hello there", {"kind": "weather report", "parts": [1, 2, {"größe": "東京 🙂"}]}, [None, True, "a b"]]
)
def test_forced_tokens_are_those_that_the_tokeniser_makes(demo, value):
    constraint = fixed(demo, value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    ids = []
    while (forced := constraint.forced()) and forced[0] not in demo.vocabulary.end_ids:
        for token in forced:
            assert constraint.allowed([token]) == 1
            constraint.accept(token)
        ids += forced
    assert demo.text(ids) == text
    assert ids == demo.tokenise(text)


def test_forced_tokens_are_given_until_they_are_accepted(demo):
    constraint = fixed(demo, "one two three")
    forced = constraint.forced()
    assert len(forced) > 2
    assert constraint.forced() == forced
    constraint.accept(forced[0])
    assert constraint.forced() == forced[1:]
    forced[0] = -1  # the caller's list is the caller's
    assert constraint.forced()[0] != -1


def test_another_way_to_write_what_is_forced_is_followed(tiny, demo):
    """What is forced is one spelling; a draft or a continued answer may have another, as long as the text is right."""
    constraint = fixed(demo, "one two three")
    for letter in '"on':
        (token,) = demo.tokenise(letter)
        constraint.accept(token)
    rest = demo.text(constraint.forced())
    assert rest.startswith("e")


def test_without_jumps_nothing_is_forced(demo):
    with ThreadPoolExecutor(1) as helper:
        matcher = demo.grammars._prototypes.copy(OutputFormat("regex", "yes"))
        constraint = GrammarConstraint(
            matcher, vocabulary=demo.vocabulary.size, end_ids=[2, 0, 4], helper=helper, jump_ahead=False
        )
        said = []
        while not said or said[-1] not in (0, 2, 4):
            assert constraint.forced() == []
            said.append(int(constraint.mask(np.zeros(demo.vocabulary.size, np.float32)).argmax()))
            constraint.accept(said[-1])
        assert demo.text(said[:-1]) == "yes"


def test_a_draft_is_measured_and_changes_nothing(demo):
    constraint = regex(demo, "[a-z ]{1,40}!?")
    masked = constraint.mask(np.zeros(demo.vocabulary.size, np.float32))
    good, bad = demo.tokenise("the quick brown fox"), demo.tokenise("THE")
    assert constraint.allowed(good) == len(good)
    assert constraint.allowed([*good[:2], *bad]) == 2
    assert constraint.allowed(bad) == 0
    assert constraint.allowed([]) == 0
    assert constraint.allowed([*good, 2]) == len(good) + 1
    assert np.array_equal(constraint.mask(np.zeros(demo.vocabulary.size, np.float32)), masked)


def test_a_token_that_is_forbidden_breaks_it_with_a_reason(demo):
    constraint = regex(demo, "[0-9]{3}")
    (letter,) = demo.tokenise("a")
    with pytest.raises(ConstraintBroken) as broken:
        constraint.accept(letter)
    assert str(broken.value)
    assert "\n" not in str(broken.value)
    for use in (
        lambda: constraint.accept(letter),
        lambda: constraint.allowed([letter]),
        lambda: constraint.mask(np.zeros(demo.vocabulary.size, np.float32)),
    ):
        with pytest.raises(ConstraintBroken):
            use()


def test_an_end_that_comes_too_early_breaks_it(demo):
    with pytest.raises(ConstraintBroken):
        regex(demo, "[0-9]{3}").accept(2)


class Held:
    """A helper whose work starts when ``gate`` is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.asked: list[Future] = []

    def submit(self, work):
        self.asked.append(self._pool.submit(self._held, work))
        return self.asked[-1]

    def _held(self, work):
        assert self.gate.wait(10)
        return work()

    def close(self) -> None:
        self.gate.set()
        self._pool.shutdown()


@pytest.fixture
def held():
    made = Held()
    yield made
    made.close()


def of(speaker, helper, pattern: str) -> GrammarConstraint:
    matcher = speaker.grammars._prototypes.copy(OutputFormat("regex", pattern))
    return GrammarConstraint(matcher, vocabulary=speaker.vocabulary.size, end_ids=[2, 0, 4], helper=helper)


def test_the_mask_is_made_elsewhere_from_the_moment_of_acceptance(demo, held):
    constraint = of(demo, held, "[a-z]{9}")
    assert len(held.asked) == 1
    held.gate.set()
    constraint.accept(demo.tokenise("a")[0])
    assert len(held.asked) == 2
    constraint.mask(np.zeros(demo.vocabulary.size, np.float32))
    constraint.mask(np.zeros(demo.vocabulary.size, np.float32))
    assert len(held.asked) == 2


def test_whoever_uses_it_waits_for_the_mask_under_way(demo, held):
    constraint = of(demo, held, "[a-z]{9}")
    done = threading.Event()

    def use():
        constraint.accept(demo.tokenise("a")[0])
        done.set()

    thread = threading.Thread(target=use)
    thread.start()
    assert not done.wait(0.05)
    held.gate.set()
    assert done.wait(10)
    thread.join()


def test_one_may_be_dropped_while_its_mask_is_made(demo, held):
    constraint = of(demo, held, "[a-z]{9}")
    (asked,) = held.asked
    del constraint
    held.gate.set()
    assert asked.result(10).shape == (demo.vocabulary.size,)


def test_a_mask_that_does_not_come_breaks_it(demo, held, monkeypatch):
    monkeypatch.setattr("peernode.engine.worker.grammar.matching._SECONDS", 0.05)
    constraint = of(demo, held, "[a-z]{9}")
    with pytest.raises(ConstraintBroken, match="too long"):
        constraint.mask(np.zeros(demo.vocabulary.size, np.float32))
    with pytest.raises(ConstraintBroken, match="too long"):
        constraint.accept(demo.tokenise("a")[0])


def test_two_answers_of_one_form_do_not_meet(demo):
    """Interleaved step by step, as a batch does it."""
    rng = np.random.default_rng(5)
    pair = [regex(demo, "[a-z]{3}(x[0-9]{4}|y[A-Z]{4})") for _ in range(8)]
    said: list[list[int]] = [[] for _ in pair]
    open_ones = set(range(len(pair)))
    blank = np.zeros(demo.vocabulary.size, np.float32)
    while open_ones:
        for number in sorted(open_ones):
            forced = pair[number].forced()
            token = forced[0] if forced else int(rng.choice(np.flatnonzero(pair[number].mask(blank) == 0)))
            pair[number].accept(token)
            if token in demo.vocabulary.end_ids:
                open_ones.discard(number)
            else:
                said[number].append(token)
    texts = [demo.text(ids) for ids in said]
    assert len(set(texts)) == len(texts)
    assert all(len(text) == 8 for text in texts)
