"""The acknowledgement: a coordinator's signed word on how much of one part of a job it has so far.

Fields in signing order are those of ``Acknowledgement``, top to bottom. ``tokens`` counts the output ids of this part
alone, the digests are those that a receipt for exactly this much would have, and ``prompt_tokens`` and
``cached_tokens`` are what the provider said of its prompt. A newer one replaces an older one, and only grows.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, seal, unseal
from peernode.wire.errors import WrongNetwork
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity

KIND = "acknowledgement"
MAX_ACKNOWLEDGEMENT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """``offer_digest`` is the BLAKE2b-256 of the offer's whole envelope, as it travelled."""

    network: str
    request_id: str
    part: int
    coordinator: str
    provider: str
    offer_digest: bytes
    prompt_tokens: int
    cached_tokens: int
    tokens: int
    ids_digest: bytes
    text_digest: bytes
    at_ms: int

    def to_fields(self) -> list[Value]:
        return list(astuple(self))

    @classmethod
    def from_fields(cls, value: Value) -> Acknowledgement:
        read = FieldReader("acknowledgement", value)
        made = cls(
            network=read.text("network", least=1, most=64),
            request_id=read.text("request_id", least=1, most=64),
            part=read.integer("part", most=1 << 16),
            coordinator=read.text("coordinator", most=64),
            provider=read.text("provider", most=64),
            offer_digest=read.octets("offer_digest", exactly=32),
            prompt_tokens=read.integer("prompt_tokens"),
            cached_tokens=read.integer("cached_tokens"),
            tokens=read.integer("tokens"),
            ids_digest=read.octets("ids_digest", exactly=32),
            text_digest=read.octets("text_digest", exactly=32),
            at_ms=read.integer("at_ms"),
        )
        read.done()
        return made


@dataclass(frozen=True, slots=True)
class SignedAcknowledgement:
    """An acknowledgement and the envelope it travels in; the signature was checked (or made) here."""

    body: Acknowledgement
    envelope: Envelope

    @property
    def raw(self) -> bytes:
        return self.envelope.raw


def sign_acknowledgement(body: Acknowledgement, identity: Identity) -> SignedAcknowledgement:
    """Raises ValueError when another coordinator is named."""
    if body.coordinator != identity.peer_id:
        raise ValueError("a coordinator acknowledges only in its own name")
    return SignedAcknowledgement(body, seal(KIND, body.to_fields(), identity))


def open_acknowledgement(raw: bytes, *, network: str) -> SignedAcknowledgement:
    """Decode and check the coordinator's signature. Raises a WireError."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_ACKNOWLEDGEMENT_BYTES)
    body = Acknowledgement.from_fields(fields)
    if body.network != network:
        raise WrongNetwork("The acknowledgement is for another network.", cause=body.network)
    envelope.check_signed_by(body.coordinator)
    return SignedAcknowledgement(body, envelope)


def offer_digest(raw_offer: bytes) -> bytes:
    """Names an offer by its envelope, as it travelled."""
    return canonical.digest(raw_offer)
