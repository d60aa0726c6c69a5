"""The advert: what a node says of itself, as a lease that only it can extend or end.

Fields in signing order: network, peer, seq, issued_ms, lease_ms, addresses[], version, slots, free_slots, queued,
models[id, digest, architecture, parameters, quantization, context_length, features[], price_prompt, price_cached,
price_completion, decode_tps, prefill_tps], receipts_log[size, root]. Prices: micro-credits per million tokens.
Rates: tokens per second. ``lease_ms`` 0 is the originator's own departure. An advert is made anew when what it says has
changed; as long as it only goes on, and for the load of the moment, there is the ``renewal``.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.envelope import unseal
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader, as_text
from peernode.wire.identity import Identity
from peernode.wire.own_word import open_own, seal_own

KIND = "advert"
MAX_ADVERT_BYTES = 64 * 1024
MAX_ADDRESSES = 16
MAX_MODELS = 64
MAX_LEASE_MS = 300_000
MAX_SLOTS = 1 << 16
MAX_QUEUED = 1 << 20
# The beginning of the digest of an advert, by which renewals name it.
ADVERT_DIGEST_BYTES = 16
EMPTY_LOG_ROOT = b""
# The feature of a model that makes embeddings, and does not chat.
EMBEDDINGS = "embeddings"
# Not loaded now: the first job waits for that.
LOADABLE = "loadable"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One loaded model as its owner advertises it. ``digest`` is the SHA-256 of the GGUF file(s)."""

    id: str
    digest: bytes
    architecture: str
    parameters: int
    quantization: str
    context_length: int
    features: tuple[str, ...] = ()
    price_prompt: int = 0
    price_cached: int = 0
    price_completion: int = 0
    decode_tps: int = 0
    prefill_tps: int = 0

    def to_fields(self) -> list[Value]:
        return [
            self.id,
            self.digest,
            self.architecture,
            self.parameters,
            self.quantization,
            self.context_length,
            list(self.features),
            self.price_prompt,
            self.price_cached,
            self.price_completion,
            self.decode_tps,
            self.prefill_tps,
        ]

    @classmethod
    def from_fields(cls, value: Value) -> ModelCard:
        read = FieldReader("model card", value)
        card = cls(
            id=read.text("id", least=1),
            digest=read.octets("digest", exactly=32),
            architecture=read.text("architecture", most=64),
            parameters=read.integer("parameters"),
            quantization=read.text("quantization", most=64),
            context_length=read.integer("context_length", least=1),
            features=read.items("features", as_text, most=32),
            price_prompt=read.integer("price_prompt"),
            price_cached=read.integer("price_cached"),
            price_completion=read.integer("price_completion"),
            decode_tps=read.integer("decode_tps"),
            prefill_tps=read.integer("prefill_tps"),
        )
        read.done()
        return card


@dataclass(frozen=True, slots=True)
class Advert:
    """One node's word about itself, numbered by ``seq`` and good for ``lease_ms`` from ``issued_ms`` (Unix time)."""

    network: str
    peer: str
    seq: int
    issued_ms: int
    lease_ms: int
    addresses: tuple[str, ...]
    version: str
    slots: int
    free_slots: int
    queued: int
    models: tuple[ModelCard, ...] = ()
    receipts_log_size: int = 0
    receipts_log_root: bytes = EMPTY_LOG_ROOT

    @property
    def is_departure(self) -> bool:
        return self.lease_ms == 0

    def to_fields(self) -> list[Value]:
        return [
            self.network,
            self.peer,
            self.seq,
            self.issued_ms,
            self.lease_ms,
            list(self.addresses),
            self.version,
            self.slots,
            self.free_slots,
            self.queued,
            [model.to_fields() for model in self.models],
            [self.receipts_log_size, self.receipts_log_root],
        ]

    @classmethod
    def from_fields(cls, value: Value) -> Advert:
        read = FieldReader("advert", value)
        network = read.text("network", least=1, most=64)
        peer = read.text("peer", most=64)
        seq = read.integer("seq", least=1)
        issued_ms = read.integer("issued_ms")
        lease_ms = read.integer("lease_ms", most=MAX_LEASE_MS)
        addresses = read.items("addresses", as_text, most=MAX_ADDRESSES)
        version = read.text("version", most=64)
        slots = read.integer("slots", most=MAX_SLOTS)
        free_slots = read.integer("free_slots", most=MAX_SLOTS)
        queued = read.integer("queued", most=MAX_QUEUED)
        models = read.items("models", ModelCard.from_fields, most=MAX_MODELS)
        log = FieldReader("receipts log", read.nested("receipts_log"))
        size, root = log.integer("size"), log.octets("root", most=32)
        log.done()
        read.done()
        if len({model.id for model in models}) != len(models):
            raise BadSchema("An advert names one model id twice.")
        return cls(
            network, peer, seq, issued_ms, lease_ms, addresses, version, slots, free_slots, queued, models, size, root
        )


@dataclass(frozen=True, slots=True)
class SignedAdvert:
    """An advert whose signature was checked (or made) here, and ``raw``, the bytes that travel.

    ``digest``: the first 16 bytes of the BLAKE2b-256 of its signed bytes.
    """

    advert: Advert
    raw: bytes
    digest: bytes


def claimed(raw: bytes) -> tuple[str, int]:
    """The originator and the number that a signed advert or renewal claims, *unverified*. Raises a WireError."""
    _, fields = unseal(KIND, raw, max_bytes=MAX_ADVERT_BYTES)
    read = FieldReader("signed word", fields)
    read.nested("network")
    return read.text("peer", most=64), read.integer("seq", least=1)


def sign_advert(advert: Advert, identity: Identity) -> SignedAdvert:
    """Sign this node's own advert. Raises ValueError when it names another peer."""
    envelope = seal_own(KIND, advert, identity)
    return SignedAdvert(advert, envelope.raw, envelope.digest[:ADVERT_DIGEST_BYTES])


def open_advert(raw: bytes, *, network: str) -> SignedAdvert:
    """Decode and check an advert from the wire. Raises a WireError."""
    envelope, advert = open_own(KIND, Advert, raw, network=network, max_bytes=MAX_ADVERT_BYTES)
    return SignedAdvert(advert, raw, envelope.digest[:ADVERT_DIGEST_BYTES])
