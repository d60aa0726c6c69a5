"""Token frames: the first at once, later ones at most 20 ms late, none lost or reordered."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.events import Tokens
from peernode.market.batching import INTERVAL_S, TokenBatch
from peernode.wire.job_frames import (
    MAX_FRAME_BYTES,
    MAX_TOKENS_PER_FRAME,
    TokensFrame,
    decode_frame,
    encode_frame,
)
from peernode.wire.logprobs import MAX_ALTERNATIVES, MAX_PIECE_BYTES, Logprobs, TokenLogprob


def test_the_first_token_is_due_at_once_and_the_next_after_the_interval() -> None:
    batch = TokenBatch()
    assert batch.due == math.inf
    batch.add(Tokens("a", (1,)), now=10.0)
    assert batch.due == 10.0
    assert batch.take(now=10.0) == Tokens("a", (1,))
    batch.add(Tokens("b", (2,)), now=10.005)
    batch.add(Tokens("c", (3,)), now=10.010)
    assert batch.due == 10.0 + INTERVAL_S
    assert batch.take(now=10.02) == Tokens("bc", (2, 3))
    batch.add(Tokens("d", (4,)), now=11.0)
    assert batch.due == 11.0


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=40))
def test_no_token_is_lost_or_waits_longer_than_the_interval(gaps: list[float]) -> None:
    batch, now, sent, arrived = TokenBatch(), 0.0, [], []
    for number, gap in enumerate(gaps):
        if batch.due <= now + gap:
            taken_at = batch.due
            tokens = batch.take(now=taken_at)
            assert tokens is not None
            assert all(taken_at - arrived[index] <= INTERVAL_S + 1e-9 for index in tokens.ids)
            sent.extend(tokens.ids)
        now += gap
        arrived.append(now)
        batch.add(Tokens("x", (number,)), now=now)
    rest = batch.take(now=batch.due)
    assert rest is not None
    assert [*sent, *rest.ids] == list(range(len(gaps)))


def test_a_batch_that_has_grown_large_does_not_wait() -> None:
    batch = TokenBatch()
    batch.add(Tokens("a", (1,)), now=10.0)
    batch.take(now=10.0)
    alternatives = tuple(TokenLogprob(token, -1, b"x" * MAX_PIECE_BYTES) for token in range(MAX_ALTERNATIVES))
    entry = Logprobs(alternatives[0], alternatives)
    added = 0
    while batch.due != 10.001:
        batch.add(Tokens("b", (0,), (entry,)), now=10.001)
        added += 1
    assert added > 1
    tokens = batch.take(now=10.001)
    assert tokens is not None
    frame = TokensFrame(tokens.ids, tokens.text, tokens.logprobs)
    assert len(encode_frame(frame)) < MAX_FRAME_BYTES // 2
    assert decode_frame(encode_frame(frame)) == frame
    for _ in range(MAX_TOKENS_PER_FRAME // 8):
        batch.add(Tokens("", (1,)), now=10.002)
    assert batch.due == 10.002
