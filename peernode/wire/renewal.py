"""The renewal: a node's word that its advert still stands, and how busy it is now.

A signed body like every other (``envelope``): what travels is the canonical list [body, signature], what is signed is
``peernode/renewal/1`` NUL body, by the key in ``peer``. Fields of the body in signing order:

1. ``network``    text, 1…64 characters
2. ``peer``       the originator's peer id
3. ``seq``        integer ≥ 1 out of the *same* growing sequence as the originator's adverts
4. ``issued_ms``  Unix time in milliseconds, by the originator's clock
5. ``lease_ms``   1…300 000: how long from ``issued_ms`` the advert stands now; replaces the lease in the advert
6. ``free_slots`` 0…65 536, and
7. ``queued``     0…1 048 576: the load now; they replace the same fields of the advert
8. ``advert``     16 bytes: the beginning of the BLAKE2b-256 of the signed bytes (``peernode/advert/1`` NUL body) of the
   advert that is renewed

It counts only together with the advert that it names, whose ``seq`` must be lower, and only if its own ``seq`` is
higher than every number known of this originator. Whoever does not hold that advert asks the neighbour for it. A
renewal cannot end a lease: a departure is an advert with ``lease_ms`` 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.advert import ADVERT_DIGEST_BYTES, MAX_LEASE_MS, MAX_QUEUED, MAX_SLOTS
from peernode.wire.canonical import Value
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity
from peernode.wire.own_word import open_own, seal_own

KIND = "renewal"
MAX_RENEWAL_BYTES = 512


@dataclass(frozen=True, slots=True)
class Renewal:
    """The advert with the short digest ``advert`` stands for ``lease_ms`` from ``issued_ms``, at this load."""

    network: str
    peer: str
    seq: int
    issued_ms: int
    lease_ms: int
    free_slots: int
    queued: int
    advert: bytes

    def to_fields(self) -> list[Value]:
        return [
            self.network,
            self.peer,
            self.seq,
            self.issued_ms,
            self.lease_ms,
            self.free_slots,
            self.queued,
            self.advert,
        ]

    @classmethod
    def from_fields(cls, value: Value) -> Renewal:
        read = FieldReader("renewal", value)
        renewal = cls(
            network=read.text("network", least=1, most=64),
            peer=read.text("peer", most=64),
            seq=read.integer("seq", least=1),
            issued_ms=read.integer("issued_ms"),
            lease_ms=read.integer("lease_ms", least=1, most=MAX_LEASE_MS),
            free_slots=read.integer("free_slots", most=MAX_SLOTS),
            queued=read.integer("queued", most=MAX_QUEUED),
            advert=read.octets("advert", exactly=ADVERT_DIGEST_BYTES),
        )
        read.done()
        return renewal


@dataclass(frozen=True, slots=True)
class SignedRenewal:
    """A renewal whose signature was checked (or made) here, and ``raw``, the bytes that travel."""

    renewal: Renewal
    raw: bytes


def sign_renewal(renewal: Renewal, identity: Identity) -> SignedRenewal:
    """Sign the renewal of this node's own advert. Raises ValueError when it names another peer."""
    return SignedRenewal(renewal, seal_own(KIND, renewal, identity).raw)


def open_renewal(raw: bytes, *, network: str) -> SignedRenewal:
    """Decode and check a renewal from the wire. Raises a WireError."""
    _, renewal = open_own(KIND, Renewal, raw, network=network, max_bytes=MAX_RENEWAL_BYTES)
    return SignedRenewal(renewal, raw)
