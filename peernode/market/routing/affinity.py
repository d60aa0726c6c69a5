"""Who probably has which prompt prefixes in its cache: whoever was sent them, by chained hashes of blocks.

A block stands for itself and all before it, so a walk from the first block ends where the common prefix ends. Bounded
and forgetful: a provider forgets, too. The hashes are keyed for each node, so that a table tells nobody what was asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.job_request import JobRequest
from peernode.market.routing.demand import CHARACTERS_PER_TOKEN
from peernode.wire import canonical

BLOCK_BYTES = 256
BLOCK_TOKENS = BLOCK_BYTES // CHARACTERS_PER_TOKEN
MAX_BLOCKS_OF_A_PROMPT = 1024
MAX_BLOCKS = 1 << 18
MAX_HOLDERS = 16
FORGOTTEN_AFTER_S = 900.0
_HASH_BYTES = 12


def blocks_of(request: JobRequest, digest: bytes, *, salt: bytes = b"") -> tuple[bytes, ...]:
    """The chained hashes of a request's full blocks, for the model with this digest."""
    if isinstance(request, EmbeddingRequest):
        return ()
    # Templates put tools before messages, wherever the request has them.
    parts = [tool.to_fields() for tool in request.tools] if request.calls_tools else []
    text = b"".join(canonical.encode(part) for part in parts)
    text += b"".join(canonical.encode(message.to_fields()) for message in request.messages)
    chained = hashlib.blake2b(digest, digest_size=_HASH_BYTES, key=salt).digest()
    blocks = []
    for start in range(0, min(len(text) // BLOCK_BYTES, MAX_BLOCKS_OF_A_PROMPT) * BLOCK_BYTES, BLOCK_BYTES):
        chained = hashlib.blake2b(chained + text[start : start + BLOCK_BYTES], digest_size=_HASH_BYTES).digest()
        blocks.append(chained)
    return tuple(blocks)


class Affinity:
    """Remembers which peers were sent which blocks, and when."""

    def __init__(self, *, most: int = MAX_BLOCKS) -> None:
        self._most = most
        self._holders: OrderedDict[bytes, dict[str, float]] = OrderedDict()

    def sent(self, peer: str, blocks: Sequence[bytes], now: float) -> None:
        """This peer computes these blocks, or has them."""
        # The end first: when the table is full, the end of a prompt is forgotten before its beginning.
        for block in reversed(blocks):
            holders = self._holders.setdefault(block, {})
            holders.pop(peer, None)
            holders[peer] = now
            if len(holders) > MAX_HOLDERS:
                del holders[next(iter(holders))]
            self._holders.move_to_end(block)
        while len(self._holders) > self._most:
            self._holders.popitem(last=False)

    def hits(self, blocks: Sequence[bytes], now: float) -> Mapping[str, int]:
        """How many blocks from the first on each peer probably has; peers without any are not named."""
        found: dict[str, int] = {}
        oldest = now - FORGOTTEN_AFTER_S
        for place, block in enumerate(blocks, start=1):
            holders = self._holders.get(block)
            if not holders:
                break
            for peer, at in holders.items():
                if at >= oldest:  # who has a block has those before it, even where others pushed it off the list
                    found[peer] = place
        return found

    def forget(self, peer: str, blocks: Iterable[bytes]) -> None:
        """The peer did not have them after all."""
        for block in blocks:
            if (holders := self._holders.get(block)) is not None:
                holders.pop(peer, None)

    def __len__(self) -> int:
        return len(self._holders)
