"""The sampler draws from the right distribution, and draws the same again from the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from peernode.engine.worker.candidates import MAX_CANDIDATES
from peernode.engine.worker.sampler import NonFiniteLogits, SamplerParameters, choose, gumbel

DRAWS = 20_000
KNOWN_NOISE = [0.720072, 0.225314, -0.456144]
KNOWN_CHOICES = [830, 944, 910, 980, 948, 992]


def softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(5).normal(0, 2, 50_001).astype(np.float32)


def draw(logits: np.ndarray, *, temperature: float, top_p: float = 1.0) -> Counter[int]:
    parameters = SamplerParameters(temperature, top_p, seed=11)
    return Counter(choose(logits, parameters, position) for position in range(DRAWS))


def test_draws_follow_the_tempered_softmax() -> None:
    logits = np.array([2.0, 1.0, 0.0, -1.0, 0.5], np.float32)
    drawn = draw(logits, temperature=0.7)
    expected = softmax(logits / 0.7) * DRAWS
    chi_square = sum((drawn[token] - expected[token]) ** 2 / expected[token] for token in range(len(logits)))
    assert chi_square < 18.5  # 99.9 % of honest samplers, four degrees of freedom


def test_top_p_cuts_by_the_untempered_distribution() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05])).astype(np.float32)
    assert set(draw(logits, temperature=2.0, top_p=0.75)) == {0, 1}
    assert set(draw(logits, temperature=2.0, top_p=0.85)) == {0, 1, 2}
    assert set(draw(logits, temperature=2.0, top_p=0.0)) == {0}


def test_temperature_zero_takes_the_largest(logits: np.ndarray) -> None:
    assert choose(logits, SamplerParameters(0.0, 1.0, 1), 0) == int(logits.argmax())


def test_only_the_largest_candidates_are_ever_drawn(logits: np.ndarray) -> None:
    largest = set(np.argsort(-logits)[:MAX_CANDIDATES].tolist())
    drawn = {choose(logits, SamplerParameters(2.0, 1.0, 3), position) for position in range(2000)}
    assert drawn <= largest
    assert len(drawn) > 100


def test_noise_belongs_to_seed_position_and_token_alone() -> None:
    ids = np.array([7, 3, 40_000])
    noise = gumbel(9, 4, ids)
    assert np.array_equal(gumbel(9, 4, ids[::-1]), noise[::-1])
    assert not np.array_equal(gumbel(10, 4, ids), noise)
    assert not np.array_equal(gumbel(9, 5, ids), noise)


def test_the_same_seed_chooses_the_same_whatever_the_far_tail_is(logits: np.ndarray) -> None:
    parameters = SamplerParameters(0.8, 0.95, seed=2**63 - 1)
    longer = np.concatenate([logits, np.full(999, -50.0, np.float32)])
    for position in range(50):
        assert choose(logits, parameters, position) == choose(longer, parameters, position)


def test_known_choices_stay_known() -> None:
    """Guards the noise of sampler version gumbel/2: a change here breaks every audit of older receipts."""
    logits = np.linspace(-2, 2, 1000).astype(np.float32)
    parameters = SamplerParameters(1.0, 1.0, seed=42)
    assert np.round(gumbel(42, 0, np.arange(3)), 6).tolist() == KNOWN_NOISE
    assert [choose(logits, parameters, position) for position in range(6)] == KNOWN_CHOICES


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_logits_are_an_error_and_not_a_token(bad: float) -> None:
    with pytest.raises(NonFiniteLogits):
        choose(np.array([0.0, bad, 1.0], np.float32), SamplerParameters(0.0, 1.0, 0), 0)
