"""The receipt: a provider's signed statement of one part of one job.

Fields in signing order are those of ``Receipt``, top to bottom; times are Unix milliseconds on the provider's clock,
digests BLAKE2b-256 (the model's: SHA-256 of the GGUF), credits micro-credits, prices micro-credits per million tokens.
``seq`` and ``previous`` chain all receipts of one provider; the first has seq 1 and 32 zero bytes before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, seal, unseal
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity
from peernode.wire.prices import Prices

KIND = "receipt"
MAX_RECEIPT_BYTES = 16 * 1024
NO_PREVIOUS = bytes(32)
# The part broke off, and the receipt covers exactly what the coordinator acknowledged of it.
LOST = "lost"
FINISH_REASONS = frozenset({"stop", "length", "cancelled", "error", LOST})

EMBEDDING_METHOD = "embeddings/"


def is_embedded(sampler_version: str, finish_reason: str) -> bool:
    """Whether a job's answer is embeddings, and whole: then its text holds them, and it has no tokens."""
    return sampler_version.startswith(EMBEDDING_METHOD) and finish_reason == "stop"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was asked, by whom, what ran, what came out, and what it costs."""

    network: str
    request_id: str
    part: int
    coordinator: str
    provider: str
    model_id: str
    model_digest: bytes
    quantization: str
    template_digest: bytes
    sampler_version: str
    sampler_digest: bytes
    seed: int
    request_digest: bytes
    transformed: bool
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    output_ids_digest: bytes
    text_digest: bytes
    finish_reason: str
    prices: Prices
    credits: int
    accepted_ms: int
    first_token_ms: int
    finished_ms: int
    seq: int
    previous: bytes

    def to_fields(self) -> list[Value]:
        return [
            self.network,
            self.request_id,
            self.part,
            self.coordinator,
            self.provider,
            self.model_id,
            self.model_digest,
            self.quantization,
            self.template_digest,
            [self.sampler_version, self.sampler_digest],
            self.seed,
            self.request_digest,
            self.transformed,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.output_ids_digest,
            self.text_digest,
            self.finish_reason,
            self.prices.to_fields(),
            self.credits,
            self.accepted_ms,
            self.first_token_ms,
            self.finished_ms,
            self.seq,
            self.previous,
        ]

    @classmethod
    def from_fields(cls, value: Value) -> Receipt:
        read = FieldReader("receipt", value)
        head = (
            read.text("network", least=1, most=64),
            read.text("request_id", least=1, most=64),
            read.integer("part", most=1 << 16),
            read.text("coordinator", most=64),
            read.text("provider", most=64),
            read.text("model_id", least=1),
            read.octets("model_digest", exactly=32),
            read.text("quantization", most=64),
            read.octets("template_digest", exactly=32),
        )
        sampler = FieldReader("sampler", read.nested("sampler"))
        version, parameters = sampler.text("version", most=64), sampler.octets("parameters digest", exactly=32)
        sampler.done()
        receipt = cls(
            *head,
            sampler_version=version,
            sampler_digest=parameters,
            seed=read.integer("seed"),
            request_digest=read.octets("request_digest", exactly=32),
            transformed=read.boolean("transformed"),
            prompt_tokens=read.integer("prompt_tokens"),
            cached_tokens=read.integer("cached_tokens"),
            completion_tokens=read.integer("completion_tokens"),
            output_ids_digest=read.octets("output_ids_digest", exactly=32),
            text_digest=read.octets("text_digest", exactly=32),
            finish_reason=read.text("finish_reason", most=32),
            prices=Prices.from_fields(read.nested("prices")),
            credits=read.integer("credits"),
            accepted_ms=read.integer("accepted_ms"),
            first_token_ms=read.integer("first_token_ms"),
            finished_ms=read.integer("finished_ms"),
            seq=read.integer("seq", least=1),
            previous=read.octets("previous", exactly=32),
        )
        read.done()
        return receipt


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt and the envelope it travels in; the signature was checked (or made) here."""

    receipt: Receipt
    envelope: Envelope

    @property
    def raw(self) -> bytes:
        return self.envelope.raw

    @property
    def digest(self) -> bytes:
        """Names this receipt in countersignatures and in the next receipt's ``previous``."""
        return self.envelope.digest


def sign_receipt(receipt: Receipt, identity: Identity) -> SignedReceipt:
    """Raises ValueError when the receipt names another provider."""
    if receipt.provider != identity.peer_id:
        raise ValueError("a provider signs only its own receipts")
    return SignedReceipt(receipt, seal(KIND, receipt.to_fields(), identity))


def open_receipt(raw: bytes) -> SignedReceipt:
    """Decode a receipt and check the provider's signature. Raises a WireError. Terms are checked by the market."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_RECEIPT_BYTES)
    receipt = Receipt.from_fields(fields)
    envelope.check_signed_by(receipt.provider)
    return SignedReceipt(receipt, envelope)


def ids_digest(ids: tuple[int, ...] | list[int]) -> bytes:
    """Digest of the output token ids, in order."""
    return canonical.digest(canonical.encode(list(ids)))


def text_digest(text: str) -> bytes:
    """Digest of the answer's text as UTF-8."""
    return canonical.digest(text.encode("utf-8"))
