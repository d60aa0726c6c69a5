"""The canonical request: one form, one digest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.request import ROLES, ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.wire import canonical
from peernode.wire.errors import BadSchema
from tests.samples import REQUEST

MILLION = 1_000_000
penalties = st.integers(-2 * MILLION, 2 * MILLION)
samplings = st.builds(
    Sampling,
    st.integers(0, 2 * MILLION),
    st.integers(0, MILLION),
    st.integers(0, 2**31 - 1),
    st.integers(0, MILLION),
    st.integers(0, MILLION),
    penalties,
    penalties,
    st.integers(1, 2 * MILLION),
    st.dictionaries(st.integers(0, 2**31 - 1), st.integers(-100 * MILLION, 100 * MILLION).filter(bool), max_size=4).map(
        lambda biases: tuple(sorted(biases.items()))
    ),
)
WRONG_SAMPLINGS = [
    Sampling(top_k=-1),
    Sampling(min_p_micro=MILLION + 1),
    Sampling(top_a_micro=-1),
    Sampling(frequency_penalty_micro=2 * MILLION + 1),
    Sampling(presence_penalty_micro=-2 * MILLION - 1),
    Sampling(repetition_penalty_micro=0),
    Sampling(repetition_penalty_micro=2 * MILLION + 1),
    Sampling(logit_bias=((5, 100 * MILLION + 1),)),
    Sampling(logit_bias=((5, 0),)),
    Sampling(logit_bias=((-1, 1),)),
    Sampling(logit_bias=((6, 1), (5, 1))),
    Sampling(logit_bias=((5, 1), (5, 2))),
    Sampling(logit_bias=tuple((token, 1) for token in range(301))),
]
requests = st.builds(
    ChatRequest,
    st.lists(
        st.builds(Message, st.sampled_from(ROLES), st.text(max_size=30), st.text(max_size=8)), min_size=1, max_size=4
    ).map(tuple),
    st.none() | st.integers(1, 4096),
    st.lists(st.text(min_size=1, max_size=5), max_size=4).map(tuple),
    samplings,
    st.none() | st.integers(0, 20),
)


@given(requests)
def test_a_request_reads_back_from_its_canonical_form(request: ChatRequest) -> None:
    assert ChatRequest.from_fields(canonical.decode(canonical.encode(request.to_fields()))) == request


@given(requests, requests)
def test_different_requests_have_different_digests(one: ChatRequest, other: ChatRequest) -> None:
    assert (one.digest == other.digest) == (one == other)


@given(samplings)
def test_parameters_survive_the_way_over_fractions(sampling: Sampling) -> None:
    """What the client wrote as decimals is, in millionths, exactly what both sides digest."""
    assert sampling == Sampling.of(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        top_a=sampling.top_a,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        repetition_penalty=sampling.repetition_penalty,
        logit_bias=sampling.bias,
    )


def test_fractions_are_held_as_millionths() -> None:
    assert Sampling.of(temperature=0.7, top_p=0.95) == Sampling(700_000, 950_000)
    assert Sampling.of(temperature=0.1 + 0.2) == Sampling.of(temperature=0.3)


@pytest.mark.parametrize(
    "fields",
    [
        replace(REQUEST, messages=()).to_fields(),
        replace(REQUEST, messages=(Message("wizard", "hi"),)).to_fields(),
        replace(REQUEST, stop=("",)).to_fields(),
        replace(REQUEST, stop=("a",) * 5).to_fields(),
        replace(REQUEST, max_tokens=0).to_fields(),
        replace(REQUEST, sampling=Sampling(2_000_001)).to_fields(),
        *(replace(REQUEST, sampling=wrong).to_fields() for wrong in WRONG_SAMPLINGS),
        replace(REQUEST, top_logprobs=21).to_fields(),
        replace(REQUEST, top_logprobs=-1).to_fields(),
        replace(REQUEST, top_logprobs=True).to_fields(),
        [*REQUEST.to_fields(), 1],
        [],
        None,
    ],
)
def test_a_request_out_of_range_is_refused(fields: object) -> None:
    with pytest.raises(BadSchema):
        ChatRequest.from_fields(fields)
