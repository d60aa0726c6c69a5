"""Proofs about logs, as bytes that anyone can check offline: what they say, and that it follows.

A proof is the canonical list ["peernode-proof/1", kind, …]:

* ``inclusion``: index, path, checkpoint, receipt: the receipt is entry ``index`` of its provider's log
* ``consistency``: path, older, newer: between these two checkpoints the log only grew
* ``equivocation``: first, second: two signed words on one log that cannot both be true, each [kind, envelope]

A path is its hashes, joined. Everything in a proof is either signed or bound by the hashes, and there is one encoding
of it, so a proof in which anything was changed is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from peernode.wire import canonical
from peernode.wire.advert import MAX_ADVERT_BYTES
from peernode.wire.canonical import Value
from peernode.wire.checkpoint import MAX_CHECKPOINT_BYTES, SignedCheckpoint, open_checkpoint
from peernode.wire.errors import BadProof, BadSchema
from peernode.wire.fields import FieldReader
from peernode.wire.log_head import LogHead, contradiction, open_head
from peernode.wire.merkle import HASH_BYTES, MAX_PATH, check_consistency, check_inclusion, leaf_hash
from peernode.wire.receipt import MAX_RECEIPT_BYTES, SignedReceipt, open_receipt

FORMAT = "peernode-proof/1"
MAX_PROOF_BYTES = 2 * MAX_ADVERT_BYTES + 1024
INCLUSION, CONSISTENCY, EQUIVOCATION = "inclusion", "consistency", "equivocation"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """``receipt`` is in the log of its provider, as ``checkpoint`` has it."""

    receipt: SignedReceipt
    checkpoint: SignedCheckpoint
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        receipt, made = self.receipt.receipt, self.checkpoint.checkpoint
        if (receipt.network, receipt.provider) != (made.network, made.peer):
            raise BadProof("The checkpoint is of another log than the receipt's.", cause=made.peer)
        check_inclusion(leaf_hash(self.receipt.raw), receipt.seq - 1, made.size, self.path, made.root)

    @property
    def raw(self) -> bytes:
        index = self.receipt.receipt.seq - 1
        fields: list[Value] = [index, b"".join(self.path), self.checkpoint.raw, self.receipt.raw]
        return canonical.encode([FORMAT, INCLUSION, *fields])


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """The log of ``older`` is the beginning of that of ``newer``."""

    older: SignedCheckpoint
    newer: SignedCheckpoint
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        old, new = self.older.checkpoint, self.newer.checkpoint
        if (old.network, old.peer) != (new.network, new.peer):
            raise BadProof("The two checkpoints are of two logs.", cause=f"{old.peer} and {new.peer}")
        if old.size == new.size:
            raise BadProof("A log did not grow between two checkpoints of one size.")
        check_consistency(old.size, new.size, self.path, old.root, new.root)

    @property
    def raw(self) -> bytes:
        return canonical.encode([FORMAT, CONSISTENCY, b"".join(self.path), self.older.raw, self.newer.raw])


@dataclass(frozen=True, slots=True)
class EquivocationProof:
    """One peer signed both, and they cannot both be true; they are ordered, so that there is one proof of it."""

    first: LogHead
    second: LogHead

    def __post_init__(self) -> None:
        if not contradiction(self.first, self.second):
            raise BadProof("The two words on the log can both be true.")
        if _rank(self.first) >= _rank(self.second):
            raise BadProof("The two words on the log are not in order.")

    @classmethod
    def of(cls, one: LogHead, other: LogHead) -> EquivocationProof:
        """Raises BadProof when they do not contradict each other."""
        return cls(*sorted((one, other), key=_rank))

    @property
    def peer(self) -> str:
        return self.first.peer

    @property
    def reason(self) -> str:
        return contradiction(self.first, self.second)

    @property
    def raw(self) -> bytes:
        pair: list[Value] = [[head.kind, head.raw] for head in (self.first, self.second)]
        return canonical.encode([FORMAT, EQUIVOCATION, *pair])


Proof: TypeAlias = InclusionProof | ConsistencyProof | EquivocationProof


def is_proof(raw: bytes) -> bool:
    """Whether bytes begin as a proof does, good or bad."""
    return canonical.encode(FORMAT) == raw[1 : 2 + len(FORMAT)]


def open_proof(raw: bytes) -> Proof:
    """Decode a proof, check every signature in it, and that it proves what it says. Raises a WireError."""
    read = FieldReader("proof", canonical.decode(raw, max_bytes=MAX_PROOF_BYTES))
    if read.text("format") != FORMAT:
        raise BadSchema("The proof has another format.", cause=f"not {FORMAT}")
    kind = read.text("kind", most=16)
    proof: Proof
    if kind == INCLUSION:
        index, path = read.integer("index"), _path(read)
        checkpoint = open_checkpoint(read.octets("checkpoint", most=MAX_CHECKPOINT_BYTES))
        receipt = open_receipt(read.octets("receipt", most=MAX_RECEIPT_BYTES))
        if index != receipt.receipt.seq - 1:
            raise BadProof("The proof is of another place in the log than the receipt's.", cause=str(index))
        proof = InclusionProof(receipt, checkpoint, path)
    elif kind == CONSISTENCY:
        path = _path(read)
        older = open_checkpoint(read.octets("older", most=MAX_CHECKPOINT_BYTES))
        proof = ConsistencyProof(older, open_checkpoint(read.octets("newer", most=MAX_CHECKPOINT_BYTES)), path)
    elif kind == EQUIVOCATION:
        proof = EquivocationProof(_head(read.nested("first")), _head(read.nested("second")))
    else:
        raise BadSchema("The proof is of an unknown kind.", cause=kind)
    read.done()
    return proof


def _path(read: FieldReader) -> tuple[bytes, ...]:
    joined = read.octets("path", most=MAX_PATH * HASH_BYTES)
    if len(joined) % HASH_BYTES:
        raise BadSchema("The path of a proof is hashes of 32 bytes.", cause=f"{len(joined)} bytes")
    return tuple(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES))


def _head(value: Value) -> LogHead:
    read = FieldReader("word on a log", value)
    kind, raw = read.text("kind", most=16), read.octets("envelope", most=MAX_ADVERT_BYTES)
    read.done()
    return open_head(kind, raw)


def _rank(head: LogHead) -> tuple[int, bytes]:
    return head.seq, head.raw
