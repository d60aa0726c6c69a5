"""What was put into the store comes back, whatever else came; bytes stay below the limit, and salts stay apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.prefix_store import BLOCK_OVERHEAD, PrefixStore
from peernode.engine.worker.prefix_tree import common_length
from peernode.engine.worker.sequence import TokenArray

BLOCK = 4
BYTES_A_TOKEN = 10


def tokens_of(values: list[int]) -> TokenArray:
    return np.array(values, np.int32)


def blob(tokens: TokenArray) -> np.ndarray:
    """Ten bytes for each token, of which the first says which it is."""
    return np.repeat(tokens.astype(np.uint8), BYTES_A_TOKEN)


def keep(store: PrefixStore, salt: str, tokens: TokenArray) -> None:
    while (run := store.missing(salt, tokens)) is not None:
        begin, end = run
        assert begin % BLOCK == 0
        assert begin < end <= begin + BLOCK
        if not store.put(salt, tokens[:end], blob(tokens[begin:end])):
            return


def found(store: PrefixStore, salt: str, tokens: TokenArray) -> list[int]:
    """The stored beginning of ``tokens``, read from the data of its blocks."""
    at, read = 0, []
    for block in store.match(salt, tokens):
        assert block.begin == at
        at = block.end
        read += block.data[::BYTES_A_TOKEN][: block.end - block.begin].tolist()
    assert read == tokens[:at].tolist()
    return read


SEQUENCES = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.integers(1, 3), min_size=1, max_size=18)), min_size=1, max_size=25
)


@given(SEQUENCES)
def test_without_a_limit_the_longest_stored_prefix_is_found(sequences: list) -> None:
    store = PrefixStore(1 << 30, block_tokens=BLOCK)
    kept: list[tuple[str, TokenArray]] = []
    for salt, values in sequences:
        tokens = tokens_of(values)
        longest = max((common_length(one, tokens) for its_salt, one in kept if its_salt == salt), default=0)
        assert len(found(store, salt, tokens)) == longest
        keep(store, salt, tokens)
        kept.append((salt, tokens))
        assert store.missing(salt, tokens) is None
        assert found(store, salt, tokens) == values


@given(SEQUENCES, st.integers(0, 6 * (BLOCK_OVERHEAD + BLOCK * BYTES_A_TOKEN)))
def test_bytes_never_exceed_the_limit_and_what_is_found_is_right(sequences: list, limit: int) -> None:
    store = PrefixStore(limit, block_tokens=BLOCK)
    for salt, values in sequences:
        tokens = tokens_of(values)
        keep(store, salt, tokens)
        assert store.used <= limit
        assert store.used >= store.tokens * (BYTES_A_TOKEN + BLOCK_OVERHEAD // BLOCK)
        for its_salt in "ab":
            found(store, its_salt, tokens)


def test_what_was_not_used_for_the_longest_time_goes_first() -> None:
    store = PrefixStore(3 * (BLOCK * BYTES_A_TOKEN + BLOCK_OVERHEAD), block_tokens=BLOCK)
    first, second, third = ([value] * BLOCK for value in (1, 2, 3))
    for values in (first, second, third):
        keep(store, "", tokens_of(values))
    assert found(store, "", tokens_of(first)) == first
    keep(store, "", tokens_of([4] * BLOCK))
    assert found(store, "", tokens_of(second)) == []
    assert found(store, "", tokens_of(first)) == first


def test_sequences_with_one_beginning_share_its_bytes() -> None:
    store = PrefixStore(1 << 20, block_tokens=BLOCK)
    scaffold = [1, 2, 3, 4] * 3
    for tail in (5, 6, 7):
        keep(store, "", tokens_of([*scaffold, tail]))
    assert store.tokens == len(scaffold) + 3
