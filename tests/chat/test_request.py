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

requests = st.builds(
    ChatRequest,
    st.lists(
        st.builds(Message, st.sampled_from(ROLES), st.text(max_size=30), st.text(max_size=8)), min_size=1, max_size=4
    ).map(tuple),
    st.none() | st.integers(1, 4096),
    st.lists(st.text(min_size=1, max_size=5), max_size=4).map(tuple),
    st.builds(Sampling, st.integers(0, 2_000_000), st.integers(0, 1_000_000)),
)


@given(requests)
def test_a_request_reads_back_from_its_canonical_form(request: ChatRequest) -> None:
    assert ChatRequest.from_fields(canonical.decode(canonical.encode(request.to_fields()))) == request


@given(requests, requests)
def test_different_requests_have_different_digests(one: ChatRequest, other: ChatRequest) -> None:
    assert (one.digest == other.digest) == (one == other)


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
        [*REQUEST.to_fields(), 1],
        [],
        None,
    ],
)
def test_a_request_out_of_range_is_refused(fields: object) -> None:
    with pytest.raises(BadSchema):
        ChatRequest.from_fields(fields)
