"""What was put into the store comes back, whatever else came; bytes stay below the limit, and salts stay apart."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker import prefix_store
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


def test_many_prompts_with_one_beginning_do_not_make_each_other_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(one: TokenArray, other: TokenArray) -> int:
        nonlocal compared
        compared += 1
        return common_length(one, other)

    monkeypatch.setattr(prefix_store, "common_length", counted)
    store = PrefixStore(1 << 30)
    prompts = [tokens_of([7, 7, first, second, 9]) for first in range(30) for second in range(30)]
    for tokens in prompts:
        keep_whole(store, tokens)
    assert store.tokens == 5 * len(prompts)
    for tokens in prompts:
        compared = 0
        (block,) = store.match("", tokens)
        assert (block.begin, block.end) == (0, 5)
        assert compared <= 2


def keep_whole(store: PrefixStore, tokens: TokenArray) -> None:
    assert store.missing("", tokens) == (0, len(tokens))
    assert store.put("", tokens, blob(tokens))


# Blocks of all sizes come and go; each has a salt of its own, which costs most beside the data.
_CHURN = """
import random, sys
import numpy as np
from pathlib import Path
from peernode.engine.worker.host_memory import kept_bytes
from peernode.engine.worker.prefix_store import PrefixStore

def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Anonymous:")).split()[1]) << 10

rng, store = random.Random(1), PrefixStore(int(sys.argv[1]) << 20)
at_first = anonymous()
for number in range(int(sys.argv[3])):
    tokens = np.array([rng.randrange(50_000) for _ in range(rng.randrange(10, 250))], np.int32)
    data = kept_bytes(len(tokens) * int(sys.argv[2]))
    data[:] = 1
    store.put(f"{number:064x}", tokens, data)
print(anonymous() - at_first, store.used)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("limit_mib", "token_bytes", "blocks"), [(96, 22_000, 600), (6, 1, 4000)])
def test_what_is_kept_takes_no_more_memory_than_it_says(limit_mib: int, token_bytes: int, blocks: int) -> None:
    """Large pieces leave no gaps between them, and small ones cost no more than is reckoned for each."""
    command = [sys.executable, "-c", _CHURN, *map(str, (limit_mib, token_bytes, blocks))]
    taken, used = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert used <= limit_mib << 20
    assert taken <= used + (3 << 20)
