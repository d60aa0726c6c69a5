"""A node's own signed word: a body that names a network and a peer, and counts only under that peer's signature.

Owns sealing and opening such bodies, for the ``advert`` and the ``renewal``. Leaves the fields to each kind, and the
form of what travels to ``envelope``.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, seal, unseal
from peernode.wire.errors import WrongNetwork
from peernode.wire.identity import Identity


class OwnWord(Protocol):
    """What a peer says of itself in one network."""

    @property
    def network(self) -> str: ...

    @property
    def peer(self) -> str: ...

    def to_fields(self) -> list[Value]: ...

    @classmethod
    def from_fields(cls, value: Value) -> Self: ...


Word = TypeVar("Word", bound=OwnWord)


def seal_own(kind: str, word: OwnWord, identity: Identity) -> Envelope:
    """Sign this node's own word. Raises ValueError when it names another peer."""
    if word.peer != identity.peer_id:
        raise ValueError(f"a node signs only its own {kind}")
    return seal(kind, word.to_fields(), identity)


def open_own(kind: str, shape: type[Word], raw: bytes, *, network: str, max_bytes: int) -> tuple[Envelope, Word]:
    """Decode a word from the wire, and check that it is of this network and signed by the peer it names.

    Raises a WireError.
    """
    envelope, fields = unseal(kind, raw, max_bytes=max_bytes)
    word = shape.from_fields(fields)
    if word.network != network:
        raise WrongNetwork(f"The {kind} is for another network.", cause=word.network)
    envelope.check_signed_by(word.peer)
    return envelope, word
