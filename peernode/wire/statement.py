"""The statement: a node's signed word on what it is, for whoever asks it with a nonce.

Fields in signing order: network, peer, exchange_key, version, models [id, digest]…, nonce, at_ms. ``exchange_key`` is
the X25519 key to seal requests with; it follows from the peer's own key. The nonce is the asker's: with it the word is
fresh. A report of confidential hardware is bound to a statement by the 64 bytes of ``report_data_of``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, signed_bytes, unseal
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity, exchange_key_of
from peernode.wire.own_word import seal_own

KIND = "statement"
MAX_NONCE_BYTES = 64
MAX_MODELS = 256
MAX_STATEMENT_BYTES = 128 * 1024
REPORT_DATA_BYTES = 64
_PERSON = b"peernode report"


@dataclass(frozen=True, slots=True)
class StatedModel:
    """A model by its name and the SHA-256 of its file."""

    id: str
    digest: bytes

    @classmethod
    def from_fields(cls, value: Value) -> StatedModel:
        read = FieldReader("stated model", value)
        made = cls(read.text("id", least=1), read.octets("digest", exactly=32))
        read.done()
        return made


@dataclass(frozen=True, slots=True)
class Statement:
    network: str
    peer: str
    exchange_key: bytes
    version: str
    models: tuple[StatedModel, ...]
    nonce: bytes
    at_ms: int

    def to_fields(self) -> list[Value]:
        models: list[Value] = [[model.id, model.digest] for model in self.models]
        return [self.network, self.peer, self.exchange_key, self.version, models, self.nonce, self.at_ms]

    @classmethod
    def from_fields(cls, value: Value) -> Statement:
        read = FieldReader(KIND, value)
        made = cls(
            network=read.text("network", least=1, most=64),
            peer=read.text("peer", most=64),
            exchange_key=read.octets("exchange_key", exactly=32),
            version=read.text("version", most=64),
            models=read.items("models", StatedModel.from_fields, most=MAX_MODELS),
            nonce=read.octets("nonce", most=MAX_NONCE_BYTES),
            at_ms=read.integer("at_ms"),
        )
        read.done()
        return made


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement whose signature was checked (or made) here."""

    statement: Statement
    envelope: Envelope

    @property
    def raw(self) -> bytes:
        return self.envelope.raw


def sign_statement(made: Statement, identity: Identity) -> SignedStatement:
    """Sign this node's own statement. Raises ValueError when it names another peer."""
    return SignedStatement(made, seal_own(KIND, made, identity))


def open_statement(raw: bytes) -> SignedStatement:
    """Decode, check the signature of the peer it names, and that the exchange key is the peer's. Raises a WireError."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_STATEMENT_BYTES)
    made = Statement.from_fields(fields)
    envelope.check_signed_by(made.peer)
    if made.exchange_key != exchange_key_of(made.peer):
        raise BadSchema("The exchange key is not the one of the peer's own key.", cause=made.peer)
    return SignedStatement(made, envelope)


def report_data_of(envelope: Envelope) -> bytes:
    """What a report of confidential hardware must hold to be about this statement: BLAKE2b-512 of its signed bytes."""
    return hashlib.blake2b(
        signed_bytes(envelope.kind, envelope.body), digest_size=REPORT_DATA_BYTES, person=_PERSON
    ).digest()
