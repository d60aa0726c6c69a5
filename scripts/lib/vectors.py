"""The test vectors of docs/protocol.md: from fixed keys, the same bytes for ever.

``make_vectors`` gives what belongs into docs/vectors; run as a program it writes the files. In their JSON, bytes are
{"hex": …} and integers beyond 2^53 - 1 are {"int": "…"}, for not every JSON reader keeps those.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import base58
from log_vectors import checkpoint, merkle, proofs
from refused_vectors import refused
from vector_values import (
    ADVERT,
    CARD,
    COORDINATOR,
    DEPARTURE,
    EMBEDDING_REQUEST,
    FULL_REQUEST,
    IDS,
    OFFER,
    PLAIN_REQUEST,
    PROVIDER,
    STRANGER,
    TEXT,
    acknowledgement,
    countersignature,
    renewal,
    settlement,
    signed_receipt,
)

from peernode.wire import canonical
from peernode.wire.advert import sign_advert
from peernode.wire.envelope import signed_bytes, unseal
from peernode.wire.identity import Identity
from peernode.wire.job_frames import (
    AcceptFrame,
    AckFrame,
    BusyFrame,
    CancelFrame,
    CountersignFrame,
    EndFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    PrefillFrame,
    ReceiptFrame,
    TokensFrame,
    WaitFrame,
    encode_frame,
)
from peernode.wire.logprobs import Logprobs, TokenLogprob
from peernode.wire.offer import sign_offer
from peernode.wire.prices import Prices
from peernode.wire.receipt import text_digest

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "vectors"
SAFE_INT: Final = (1 << 53) - 1

# Names of the fields in signing order, as docs/protocol.md has them.
FIELDS: Final = {
    "advert": "network peer seq issued_ms lease_ms addresses version slots free_slots queued models receipts_log",
    "renewal": "network peer seq issued_ms lease_ms free_slots queued advert",
    "offer": "network request_id part coordinator provider model_digest request seed max_credits prices deadline_ms"
    " continue_from transformed",
    "receipt": "network request_id part coordinator provider model_id model_digest quantization template_digest sampler"
    " seed request_digest transformed prompt_tokens cached_tokens completion_tokens output_ids_digest text_digest"
    " finish_reason prices credits accepted_ms first_token_ms finished_ms seq previous",
    "checkpoint": "network peer size root at_ms",
    "countersignature": "network coordinator provider receipt_digest cumulative at_ms",
    "acknowledgement": "network request_id part coordinator provider offer_digest prompt_tokens cached_tokens tokens"
    " ids_digest text_digest at_ms",
    "settlement": "network creditor debtor settled amount reference at_ms",
}


def make_vectors() -> dict[str, Any]:
    """JSON values by file name."""
    return {
        "identity.json": [_identity(name, who) for name, who in _PEOPLE.items()],
        "canonical.json": [{"value": to_json(value), "hex": canonical.encode(value).hex()} for value in _VALUES],
        "digests.json": _digests(),
        "credits.json": _credits(),
        "advert.json": _signed("advert", "provider", sign_advert(ADVERT, PROVIDER).raw),
        "departure.json": _signed("advert", "provider", sign_advert(DEPARTURE, PROVIDER).raw),
        "renewal.json": _signed("renewal", "provider", renewal()),
        "offer.json": _signed("offer", "coordinator", sign_offer(OFFER, COORDINATOR)),
        "receipt.json": _signed("receipt", "provider", signed_receipt().raw),
        "countersignature.json": _signed("countersignature", "coordinator", countersignature()),
        "acknowledgement.json": _signed("acknowledgement", "coordinator", acknowledgement()),
        "settlement.json": _signed("settlement", "provider", settlement()),
        "checkpoint.json": _signed("checkpoint", "provider", checkpoint().raw),
        "merkle.json": merkle(),
        "proofs.json": proofs(),
        "job_frames.json": [_frame(speaker, frame) for speaker, frame in _frames()],
        "refused.json": refused(),
    }


def to_json(value: Any) -> Any:
    """A canonical value as JSON that every reader keeps whole."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, int) and abs(value) > SAFE_INT:
        return {"int": str(value)}
    return value


def from_json(value: Any) -> Any:
    """The other way."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if "hex" in value else int(value["int"])
    return [from_json(item) for item in value] if isinstance(value, list) else value


def as_text(vectors: Any) -> str:
    """The text of one file."""
    return json.dumps(vectors, indent=2, ensure_ascii=False) + "\n"


_PEOPLE: Final = {"provider": PROVIDER, "coordinator": COORDINATOR, "stranger": STRANGER}

_VALUES: Final[list[Any]] = [
    None, False, True,
    0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, SAFE_INT + 1, (1 << 64) - 1,
    -1, -32, -33, -128, -129, -32768, -32769, -(1 << 31), -(1 << 31) - 1, -(1 << 63),
    "", "a", "ü", "世界 🌍", "x" * 31, "x" * 32, "x" * 255, "x" * 256,
    b"", b"\x00", b"\xff" * 255, b"\xff" * 256,
    [], [[], [[]]], [1, "1", b"1", None, True], [0] * 15, [0] * 16,
    [[[[[[[[None]]]]]]]],
]  # fmt: skip


def _identity(name: str, who: Identity) -> dict[str, str]:
    raw = base58.b58decode(who.peer_id)
    return {
        "name": name,
        "seed": who.seed.hex(),
        "public_key": raw[6:].hex(),
        "peer_id_bytes": raw.hex(),
        "peer_id": who.peer_id,
    }


def _signed(kind: str, signer: str, raw: bytes) -> dict[str, Any]:
    envelope, fields = unseal(kind, raw)
    assert isinstance(fields, list)
    return {
        "kind": kind,
        "signer": signer,
        "fields": dict(zip(FIELDS[kind].split(), map(to_json, fields), strict=True)),
        "body": envelope.body.hex(),
        "signed_bytes": signed_bytes(kind, envelope.body).hex(),
        "signature": envelope.signature.hex(),
        "envelope": raw.hex(),
        "digest": envelope.digest.hex(),
    }


def _digests() -> list[dict[str, Any]]:
    def entry(what: str, value: Any) -> dict[str, Any]:
        raw = canonical.encode(value)
        return {"what": what, "value": to_json(value), "hex": raw.hex(), "digest": canonical.digest(raw).hex()}

    return [
        entry("request_digest of a plain chat request", PLAIN_REQUEST.to_fields()),
        entry("request_digest of the request in offer.json", FULL_REQUEST.to_fields()),
        entry("request_digest of a request for embeddings", EMBEDDING_REQUEST.to_fields()),
        entry("parameters digest of the sampling that nobody asked for", PLAIN_REQUEST.sampling.to_fields()),
        entry("parameters digest of the sampling in offer.json", FULL_REQUEST.sampling.to_fields()),
        entry("output_ids_digest in receipt.json", list(IDS)),
        entry("output_ids_digest of an answer without tokens", []),
        {"what": "text_digest in receipt.json", "text": TEXT, "digest": text_digest(TEXT).hex()},
        {"what": "text_digest of an empty answer", "text": "", "digest": text_digest("").hex()},
    ]


def _credits() -> list[dict[str, Any]]:
    most = (1 << 53) - 1
    cases = [
        ((0, 0, 0), (130, 100, 4), False),
        ((100_000, 25_000, 400_000), (130, 100, 4), False),
        ((100_000, 25_000, 400_000), (130, 100, 0), False),
        ((100_000, 25_000, 400_000), (130, 0, 0), True),
        ((1, 1, 1), (1, 0, 1), False),
        ((0, 0, 1_000_000), (5, 0, 7), False),
        ((0, 0, 1_000_001), (5, 0, 7), False),
        ((most, most, most), (2048, 1024, 2048), False),
    ]
    return [
        {
            "prices": list(prices),
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "completion_tokens": completion,
            "embedded": embedded,
            "credits": to_json(
                Prices(*prices).amount(
                    prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, embedded=embedded
                )
            ),
        }
        for prices, (prompt, cached, completion), embedded in cases
    ]


def _frames() -> list[tuple[str, JobFrame]]:
    likely = TokenLogprob(31, -105_361, b"Gr")
    return [
        ("coordinator", OfferFrame(sign_offer(OFFER, COORDINATOR))),
        ("provider", AcceptFrame(CARD.id, "hermes+think")),
        ("provider", BusyFrame("prices", 0, 3, 2500)),
        ("provider", TokensFrame(IDS, TEXT)),
        ("provider", TokensFrame((31,), "Gr", (Logprobs(likely, (likely, TokenLogprob(9, -2_302_585, b"\xc3"))),))),
        ("provider", FinishedFrame("stop", 130, 100, len(IDS))),
        ("provider", ReceiptFrame(signed_receipt().raw)),
        ("coordinator", CountersignFrame(countersignature())),
        ("provider", EndFrame()),
        ("provider", ErrorFrame("bad_request", "A stop string is empty.", "stop", "the first one")),
        ("coordinator", CancelFrame()),
        ("provider", PrefillFrame(130, 100)),
        ("coordinator", AckFrame(acknowledgement())),
        ("provider", WaitFrame("loading", 12_500)),
    ]


def _frame(speaker: str, frame: JobFrame) -> dict[str, Any]:
    payload = encode_frame(frame)
    return {
        "frame": type(frame).__name__.removesuffix("Frame").lower(),
        "from": speaker,
        "fields": to_json(canonical.decode(payload)),
        "payload": payload.hex(),
        "on_the_stream": (len(payload).to_bytes(4, "big") + payload).hex(),
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, vectors in make_vectors().items():
        (FOLDER / name).write_text(as_text(vectors), encoding="utf-8")


if __name__ == "__main__":
    main()
