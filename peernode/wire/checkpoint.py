"""The checkpoint: a node's signed word on its log of receipts, at one size.

Fields in signing order: network, peer, size, root, at_ms. ``root`` is the Merkle root (``merkle``) of the first
``size`` receipts that the peer signed as a provider, in order of their ``seq``; an entry is a receipt's envelope as it
travels. ``at_ms`` is the signer's clock, for people: nothing is concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, unseal
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity
from peernode.wire.merkle import HASH_BYTES
from peernode.wire.own_word import seal_own

KIND = "checkpoint"
MAX_CHECKPOINT_BYTES = 512


@dataclass(frozen=True, slots=True)
class Checkpoint:
    network: str
    peer: str
    size: int
    root: bytes
    at_ms: int

    def to_fields(self) -> list[Value]:
        return [self.network, self.peer, self.size, self.root, self.at_ms]

    @classmethod
    def from_fields(cls, value: Value) -> Checkpoint:
        read = FieldReader("checkpoint", value)
        made = cls(
            network=read.text("network", least=1, most=64),
            peer=read.text("peer", most=64),
            size=read.integer("size", least=1),
            root=read.octets("root", exactly=HASH_BYTES),
            at_ms=read.integer("at_ms"),
        )
        read.done()
        return made


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint whose signature was checked (or made) here."""

    checkpoint: Checkpoint
    envelope: Envelope

    @property
    def raw(self) -> bytes:
        return self.envelope.raw


def sign_checkpoint(made: Checkpoint, identity: Identity) -> SignedCheckpoint:
    """Sign this node's own checkpoint. Raises ValueError when it names another peer."""
    return SignedCheckpoint(made, seal_own(KIND, made, identity))


def open_checkpoint(raw: bytes) -> SignedCheckpoint:
    """Decode and check the signature of the peer it names. Raises a WireError."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_CHECKPOINT_BYTES)
    made = Checkpoint.from_fields(fields)
    envelope.check_signed_by(made.peer)
    return SignedCheckpoint(made, envelope)
