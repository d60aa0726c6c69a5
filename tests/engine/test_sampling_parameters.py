"""Every sampling parameter does what its documentation says: against a plain reference, and one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peernode.chat.sampling import Sampling
from peernode.engine.worker.candidates import largest, survivors
from peernode.engine.worker.logprobs import LogprobReporter
from peernode.engine.worker.penalties import Adjustments
from peernode.engine.worker.sampler import Sampler, SamplerParameters, choose, gumbel
from peernode.wire.logprobs import LEAST_MICRO
from tests.engine.sampler_reference import adjusted, candidates, chosen

VOCABULARY = 40
tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=30)
# Logits on a grid: two that are equal are equal everywhere, and two that are not are well apart.
logit_rows = st.lists(st.integers(-64, 64).map(lambda n: n / 4), min_size=VOCABULARY, max_size=VOCABULARY)
penalties = st.integers(-20, 20).map(lambda n: n / 10)
samplings = st.builds(
    Sampling.of,
    temperature=st.sampled_from([0.0, 0.3, 0.8, 1.0, 2.0]),
    top_p=st.sampled_from([0.0, 0.13, 0.51, 0.87, 1.0]),
    top_k=st.sampled_from([0, 1, 3, 17, 500]),
    min_p=st.sampled_from([0.0, 0.021, 0.17, 1.0]),
    top_a=st.sampled_from([0.0, 0.11, 0.37, 1.0]),
    frequency_penalty=penalties,
    presence_penalty=penalties,
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.1, 2.0]),
    logit_bias=st.dictionaries(st.integers(0, VOCABULARY - 1), st.integers(-100, 100).map(float), max_size=4),
)


def row(*logits: float) -> np.ndarray:
    return np.array(logits, np.float32)


def after_adjustments(
    sampling: Sampling, logits: np.ndarray, *, prompt: tuple[int, ...] = (), earlier: tuple[int, ...] = ()
):
    adjustments = Adjustments.of(sampling, prompt=prompt, earlier=earlier)
    return logits if adjustments is None else adjustments.applied(logits)


@given(logit_rows, samplings, tokens, tokens)
def test_penalties_and_bias_are_those_of_the_reference(
    logits: list[float], sampling: Sampling, prompt: list[int], answer: list[int]
) -> None:
    ours = after_adjustments(sampling, row(*logits), prompt=tuple(prompt), earlier=tuple(answer))
    assert ours.dtype == np.float32
    assert ours.tolist() == adjusted(logits, sampling, prompt, answer)


@settings(max_examples=200)
@given(logit_rows, samplings, tokens, tokens, st.integers(0, 2**63 - 1))
def test_choices_are_those_of_the_reference(
    logits: list[float], sampling: Sampling, prompt: list[int], answer: list[int], seed: int
) -> None:
    changed = adjusted(logits, sampling, prompt, answer)
    weights = np.exp(np.sort(np.array(changed, np.float64))[::-1] - float(max(changed)))
    # Where a cut falls on a token's very edge, the last bit of a sum decides; that is nobody's promise.
    assume(not np.isclose(np.cumsum(weights) / weights.sum(), sampling.top_p, atol=1e-9).any() or sampling.top_p == 1)
    sampler = Sampler.of(sampling, seed, prompt=prompt, earlier=answer)
    position = len(answer)
    assert sampler.choose(row(*logits), position).token == chosen(changed, sampling, seed, position)


@given(logit_rows, samplings, tokens, st.integers(0, 2**63 - 1), st.integers(0, 12))
def test_a_continued_answer_is_chosen_as_the_uninterrupted_one(
    logits: list[float], sampling: Sampling, answer: list[int], seed: int, cut: int
) -> None:
    rows = [np.roll(row(*logits), shift) for shift in range(12)]
    whole = Sampler.of(sampling, seed, prompt=(1, 2), earlier=answer)
    said = [whole.choose(each, len(answer) + at).token for at, each in enumerate(rows)]
    rest = Sampler.of(sampling, seed, prompt=(1, 2), earlier=[*answer, *said[:cut]])
    later = [rest.choose(rows[at], len(answer) + at).token for at in range(cut, len(rows))]
    assert [*said[:cut], *later] == said


@given(logit_rows, samplings, tokens, st.permutations(range(VOCABULARY)))
def test_neither_the_order_of_the_past_nor_of_the_vocabulary_matters_to_penalties(
    logits: list[float], sampling: Sampling, answer: list[int], order: list[int]
) -> None:
    ours = after_adjustments(sampling, row(*logits), prompt=(1, 2), earlier=tuple(answer))
    backwards = after_adjustments(sampling, row(*logits), prompt=(2, 1, 1), earlier=tuple(reversed(answer)))
    assert ours.tolist() == backwards.tolist()
    place = {token: at for at, token in enumerate(order)}
    moved = Sampling.of(
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        repetition_penalty=sampling.repetition_penalty,
        logit_bias={place[token]: bias for token, bias in sampling.bias.items()},
    )
    shuffled = after_adjustments(
        moved, row(*logits)[order], prompt=(place[1], place[2]), earlier=tuple(place[t] for t in answer)
    )
    assert shuffled.tolist() == ours[order].tolist()


def test_the_models_logits_are_left_alone() -> None:
    logits = row(1.0, 2.0, 3.0)
    Sampler.of(Sampling.of(logit_bias={0: 50}, presence_penalty=1), 1).choose(logits, 0)
    assert logits.tolist() == [1.0, 2.0, 3.0]


def test_defaults_ask_for_no_work() -> None:
    assert Adjustments.of(Sampling(), prompt=(1, 2), earlier=(3,)) is None
    assert not SamplerParameters(1.0, 1.0, 1).cuts


def test_a_long_past_is_remembered_in_full() -> None:
    logits = np.zeros(2000, np.float32)
    adjustments = Adjustments(presence=1.0)
    for token in range(1500):
        adjustments.remember(token)
    applied = adjustments.applied(logits)
    assert applied[:1500].tolist() == [-1.0] * 1500
    assert not applied[1500:].any()


@pytest.mark.parametrize(
    ("sampling", "left"),
    [
        (Sampling.of(), [0, 1, 2, 3]),
        (Sampling.of(top_k=2), [0, 1]),
        (Sampling.of(top_p=0.6), [0, 1]),
        (Sampling.of(min_p=0.4), [0, 1]),  # 0.4 x 0.5 is above the third's 0.15
        (Sampling.of(min_p=0.29), [0, 1, 2]),
        (Sampling.of(top_a=0.9), [0, 1]),  # 0.9 x 0.5^2 = 0.225
        (Sampling.of(top_a=0.5), [0, 1, 2]),  # 0.125
        (Sampling.of(top_a=1.0, top_k=1), [0]),
        (Sampling.of(top_k=3, top_p=0.84), [0, 1]),  # of the three that top-k left, the first two hold 0.842
    ],
)
def test_each_cut_leaves_what_its_definition_says(sampling: Sampling, left: list[int]) -> None:
    logits = np.log(row(0.5, 0.3, 0.15, 0.05))
    ids = largest(logits)[: sampling.top_k or None]
    keep = survivors(logits[ids].astype(np.float64), top_p=sampling.top_p, min_p=sampling.min_p, top_a=sampling.top_a)
    assert ids[:keep].tolist() == left == candidates(list(logits), sampling)
    drawn = {Sampler.of(sampling, 7).choose(logits, position).token for position in range(400)}
    assert drawn == set(left)


@given(logit_rows, st.integers(0, 2**63 - 1))
def test_top_k_of_one_is_greedy_whatever_the_temperature(logits: list[float], seed: int) -> None:
    hot = SamplerParameters(2.0, 1.0, seed, top_k=1)
    assert choose(row(*logits), hot, 3) == choose(row(*logits), SamplerParameters(0.0, 1.0, 0), 3)


def test_noise_is_the_same_whoever_else_is_a_candidate() -> None:
    few, many = gumbel(5, 2, np.array([30, 10])), gumbel(5, 2, np.arange(40))
    assert few.tolist() == [many[30], many[10]]


@given(logit_rows, st.integers(0, 20))
def test_log_probabilities_are_the_log_softmax_of_the_raw_logits(logits: list[float], alternatives: int) -> None:
    pieces = [bytes([65 + token]) for token in range(VOCABULARY)]
    told = LogprobReporter(pieces, alternatives).report(row(*logits), 3)
    normal = math.log(sum(math.exp(logit - max(logits)) for logit in logits)) + max(logits)
    assert told.chosen.id == 3
    assert told.chosen.piece == b"D"
    assert told.chosen.logprob == pytest.approx(min(0.0, logits[3] - normal), abs=2e-6)
    likeliest = sorted(range(VOCABULARY), key=lambda token: (-logits[token], token))[:alternatives]
    assert [entry.id for entry in told.top] == likeliest
    assert sum(math.exp(entry.logprob) for entry in told.top) <= 1 + 1e-4


def test_a_token_that_could_not_come_has_a_floor_for_a_logarithm() -> None:
    assert LogprobReporter([b"a", b"b"], 0).report(row(0.0, -np.inf), 1).chosen.micro == LEAST_MICRO


def test_log_probabilities_do_not_see_bias_penalties_or_temperature() -> None:
    logits, reporter = row(1.0, 2.0, 3.0), LogprobReporter([b"a", b"b", b"c"], 3)
    plain = Sampler.of(Sampling.of(temperature=0), 1, reporter=reporter).choose(logits, 0)
    forced = Sampler.of(Sampling.of(temperature=2, logit_bias={0: 100}), 1, reporter=reporter).choose(logits, 0)
    assert (plain.token, forced.token) == (2, 0)
    assert forced.logprobs[0].top == plain.logprobs[0].top
    assert forced.logprobs[0].chosen == plain.logprobs[0].top[2]
