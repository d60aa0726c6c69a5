"""The countersignature: the coordinator takes on what a receipt says, and the new total it owes that provider.

Fields in signing order: network, coordinator, provider, receipt_digest, cumulative, at_ms. ``cumulative`` is the sum of
micro-credits of all receipts this coordinator ever countersigned for this provider, this one included; it only grows.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, seal, unseal
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity

KIND = "countersignature"
MAX_COUNTERSIGNATURE_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Countersignature:
    network: str
    coordinator: str
    provider: str
    receipt_digest: bytes
    cumulative: int
    at_ms: int

    def to_fields(self) -> list[Value]:
        return [self.network, self.coordinator, self.provider, self.receipt_digest, self.cumulative, self.at_ms]

    @classmethod
    def from_fields(cls, value: Value) -> Countersignature:
        read = FieldReader("countersignature", value)
        made = cls(
            network=read.text("network", least=1, most=64),
            coordinator=read.text("coordinator", most=64),
            provider=read.text("provider", most=64),
            receipt_digest=read.octets("receipt_digest", exactly=32),
            cumulative=read.integer("cumulative"),
            at_ms=read.integer("at_ms"),
        )
        read.done()
        return made


@dataclass(frozen=True, slots=True)
class SignedCountersignature:
    countersignature: Countersignature
    envelope: Envelope

    @property
    def raw(self) -> bytes:
        return self.envelope.raw


def sign_countersignature(made: Countersignature, identity: Identity) -> SignedCountersignature:
    """Raises ValueError when another coordinator is named."""
    if made.coordinator != identity.peer_id:
        raise ValueError("a coordinator countersigns only in its own name")
    return SignedCountersignature(made, seal(KIND, made.to_fields(), identity))


def open_countersignature(raw: bytes) -> SignedCountersignature:
    """Decode and check the coordinator's signature. Raises a WireError."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_COUNTERSIGNATURE_BYTES)
    made = Countersignature.from_fields(fields)
    envelope.check_signed_by(made.coordinator)
    return SignedCountersignature(made, envelope)
