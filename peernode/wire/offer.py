"""The offer: a coordinator asks a named provider to run one part of one job, on stated terms.

Fields in signing order: network, request_id, part, coordinator, provider, model_digest, request, seed, max_credits,
prices[prompt, cached, completion], deadline_ms, continue_from[token ids], transformed. ``deadline_ms`` is a duration
from the arrival of the offer, so that clocks need not agree. ``request`` is the canonical chat request, opaque here.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.bounds import MAX_OFFER_BYTES
from peernode.wire.canonical import Value
from peernode.wire.envelope import seal, unseal
from peernode.wire.errors import WrongNetwork
from peernode.wire.fields import FieldReader, as_token_id
from peernode.wire.identity import Identity
from peernode.wire.prices import Prices

KIND = "offer"
MAX_DEADLINE_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Offer:
    """Terms of one part of a job; ``seed`` is the coordinator's 63-bit choice.

    ``transformed``: the request is not what the coordinator's client sent, but shorter, since that did not fit.
    """

    network: str
    request_id: str
    part: int
    coordinator: str
    provider: str
    model_digest: bytes
    request: Value
    seed: int
    max_credits: int
    prices: Prices
    deadline_ms: int
    continue_from: tuple[int, ...] = ()
    transformed: bool = False

    def to_fields(self) -> list[Value]:
        return [
            self.network,
            self.request_id,
            self.part,
            self.coordinator,
            self.provider,
            self.model_digest,
            self.request,
            self.seed,
            self.max_credits,
            self.prices.to_fields(),
            self.deadline_ms,
            list(self.continue_from),
            self.transformed,
        ]

    @classmethod
    def from_fields(cls, value: Value) -> Offer:
        read = FieldReader("offer", value)
        offer = cls(
            network=read.text("network", least=1, most=64),
            request_id=read.text("request_id", least=1, most=64),
            part=read.integer("part", most=1 << 16),
            coordinator=read.text("coordinator", most=64),
            provider=read.text("provider", most=64),
            model_digest=read.octets("model_digest", exactly=32),
            request=read.nested("request"),
            seed=read.integer("seed"),
            max_credits=read.integer("max_credits"),
            prices=Prices.from_fields(read.nested("prices")),
            deadline_ms=read.integer("deadline_ms", most=MAX_DEADLINE_MS),
            continue_from=read.items("continue_from", as_token_id, most=1 << 17),
            transformed=read.boolean("transformed"),
        )
        read.done()
        return offer


def sign_offer(offer: Offer, identity: Identity) -> bytes:
    """The bytes that travel. Raises ValueError when another coordinator is named."""
    if offer.coordinator != identity.peer_id:
        raise ValueError("a coordinator signs only its own offers")
    return seal(KIND, offer.to_fields(), identity).raw


def open_offer(raw: bytes, *, network: str) -> Offer:
    """Decode and check an offer from the wire. Raises a WireError."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_OFFER_BYTES)
    offer = Offer.from_fields(fields)
    if offer.network != network:
        raise WrongNetwork("The offer is for another network.", cause=offer.network)
    envelope.check_signed_by(offer.coordinator)
    return offer
