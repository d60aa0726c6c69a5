"""What a peer once signed of its log: a checkpoint, or an advert, which says the same in its last field.

Owns when two of them cannot both be true. A log only grows, so under one key there is one root for each size, and no
later advert (their numbers order them, on no clock) may state a smaller log. An advert with size 0 says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.advert import KIND as ADVERT_KIND
from peernode.wire.advert import MAX_ADVERT_BYTES, Advert, SignedAdvert
from peernode.wire.checkpoint import KIND as CHECKPOINT_KIND
from peernode.wire.checkpoint import SignedCheckpoint, open_checkpoint
from peernode.wire.envelope import unseal
from peernode.wire.errors import BadSchema
from peernode.wire.merkle import HASH_BYTES


@dataclass(frozen=True, slots=True)
class LogHead:
    """Size and root of a peer's log as signed in ``raw``, which is of ``kind``. ``seq`` is the advert's, else 0."""

    network: str
    peer: str
    size: int
    root: bytes
    seq: int
    kind: str
    raw: bytes


def head_of_advert(signed: SignedAdvert) -> LogHead | None:
    """None when the advert says nothing of a log."""
    advert = signed.advert
    if advert.receipts_log_size == 0 or len(advert.receipts_log_root) != HASH_BYTES:
        return None
    return LogHead(
        advert.network,
        advert.peer,
        advert.receipts_log_size,
        advert.receipts_log_root,
        advert.seq,
        ADVERT_KIND,
        signed.raw,
    )


def head_of_checkpoint(signed: SignedCheckpoint) -> LogHead:
    made = signed.checkpoint
    return LogHead(made.network, made.peer, made.size, made.root, 0, CHECKPOINT_KIND, signed.raw)


def open_head(kind: str, raw: bytes) -> LogHead:
    """Decode what was signed and check the signature. Raises a WireError."""
    if kind == CHECKPOINT_KIND:
        return head_of_checkpoint(open_checkpoint(raw))
    if kind != ADVERT_KIND:
        raise BadSchema("Nothing of this kind speaks of a log.", cause=kind[:64])
    envelope, fields = unseal(ADVERT_KIND, raw, max_bytes=MAX_ADVERT_BYTES)
    advert = Advert.from_fields(fields)
    envelope.check_signed_by(advert.peer)
    head = head_of_advert(SignedAdvert(advert, raw, b""))
    if head is None:
        raise BadSchema("The advert says nothing of a log.")
    return head


def contradiction(first: LogHead, second: LogHead) -> str:
    """Why one peer cannot have meant both, in the words of an operator; empty when it can."""
    if (first.network, first.peer) != (second.network, second.peer):
        return ""
    if first.size == second.size and first.root != second.root:
        return f"two logs of {first.size} receipts"
    if first.kind == second.kind == ADVERT_KIND:
        older, newer = sorted((first, second), key=lambda head: head.seq)
        if older.seq < newer.seq and older.size > newer.size:
            return f"its log shrank from {older.size} to {newer.size} receipts"
    return ""
