"""Bytes that no node may take, each with the code of the error and the reason: a part of ``vectors``."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgpack
from log_vectors import refused_proofs
from vector_values import (
    ADVERT,
    CARD,
    COORDINATOR,
    NETWORK,
    OFFER,
    PROVIDER,
    RECEIPT,
    STRANGER,
    countersignature,
    renewal,
    settlement,
    signed_receipt,
)

from peernode.wire import canonical
from peernode.wire.advert import sign_advert
from peernode.wire.envelope import seal, signed_bytes, unseal
from peernode.wire.identity import Identity, peer_id_of
from peernode.wire.offer import sign_offer

Case = tuple[str, bytes, str, str]
_ORDER = (1 << 252) + 27742317777372353535851937790883648493


def refused() -> list[dict[str, Any]]:
    """Each: what it is read as (for which network), the bytes, the code, and why."""
    cases = [*_encodings(), *_envelopes(), *_fields(), *_signatures(), *_frames(), *refused_proofs()]
    return [
        {"read_as": kind, "network": NETWORK, "code": code, "why": why, "hex": raw.hex()}
        for kind, raw, code, why in cases
    ]


def _encodings() -> Iterator[Case]:
    for hexes, why in (
        ("", "nothing at all"),
        ("cc05", "5 in two bytes"),
        ("d005", "5 in a signed form"),
        ("cd00ff", "255 in three bytes"),
        ("cf00000000ffffffff", "2^32 - 1 in nine bytes"),
        ("d1ff80", "-128 in three bytes"),
        ("d90161", "a short text in the form for longer ones"),
        ("c5000100", "one byte in the form for longer ones"),
        ("dc000100", "a short list in the form for longer ones"),
        ("80", "an empty map"),
        ("9181a16101", "a map in a list"),
        ("ca3f800000", "a float of 32 bits"),
        ("cb3ff0000000000000", "a float of 64 bits"),
        ("d40100", "an extension type"),
        ("c70025", "an extension type without data"),
        ("91c70025", "an extension type without data in a list"),
        ("c1", "a byte that msgpack never uses"),
        ("0000", "trailing bytes"),
        ("9201", "a list that ends early"),
        ("dd7fffffff", "a list that claims 2^31 - 1 values"),
        ("c6ffffffff", "bytes that claim 4 GiB"),
        ("a1ff", "text that is not UTF-8"),
        ("a2c080", "text in overlong UTF-8"),
        ("a3eda080", "half of a surrogate pair in text"),
        ("91" * 9 + "c0", "a value inside nine lists"),
    ):
        yield "canonical", bytes.fromhex(hexes), "not_canonical", why


def _envelopes() -> Iterator[Case]:
    raw = sign_advert(ADVERT, PROVIDER).raw
    sealed, _ = unseal("advert", raw)
    yield "advert", raw + b"\0", "not_canonical", "trailing bytes after the envelope"
    yield "advert", raw[:-1], "not_canonical", "an envelope that ends early"
    yield "advert", _signed_raw("advert", sealed.body + b"\0"), "not_canonical", "trailing bytes after the body, signed"
    wide = b"\xdc\x00\x0c" + sealed.body[1:]
    yield "advert", _signed_raw("advert", wide), "not_canonical", "a signed body whose list is in a longer form"
    as_map = msgpack.packb({"network": NETWORK, "peer": PROVIDER.peer_id})
    yield "advert", _signed_raw("advert", as_map), "not_canonical", "a signed body that is a map"
    fields = ADVERT.to_fields()
    fields[2] = float(ADVERT.seq)  # type: ignore[call-overload]
    yield "advert", _signed_raw("advert", msgpack.packb(fields)), "not_canonical", "a signed body with a float"
    yield "advert", _signed_raw("advert", canonical.encode("advert")), "bad_schema", "a signed body that is no list"
    short = canonical.encode([sealed.body, sealed.signature[:-1]])
    yield "advert", short, "bad_schema", "a signature of 63 bytes"
    three = canonical.encode([sealed.body, sealed.signature, None])
    yield "advert", three, "bad_schema", "an envelope of three"


def _fields() -> Iterator[Case]:
    def advert(why: str, **changes: Any) -> Case:
        return "advert", seal("advert", replace(ADVERT, **changes).to_fields(), PROVIDER).raw, "bad_schema", why

    fields = RECEIPT.to_fields()
    yield "receipt", seal("receipt", fields[:-1], PROVIDER).raw, "bad_schema", "a field too few"
    yield "receipt", seal("receipt", [*fields, 0], PROVIDER).raw, "bad_schema", "a field too many"
    yield advert("number 0", seq=0)
    yield advert("a negative load", queued=-1)
    yield advert("a lease of more than five minutes", lease_ms=300_001)
    yield advert("17 addresses", addresses=ADVERT.addresses[:1] * 17)
    yield advert("a model id twice", models=(CARD, CARD))
    yield advert("a model without a context", models=(replace(CARD, context_length=0),))
    yield advert("a version of 65 characters", version="v" * 65)
    yield advert("an integer of 64 bits", seq=1 << 63)
    flags = [*fields]
    flags[12] = 0
    yield "receipt", seal("receipt", flags, PROVIDER).raw, "bad_schema", "0 in place of false"
    counts = [*fields]
    counts[13] = True
    yield "receipt", seal("receipt", counts, PROVIDER).raw, "bad_schema", "true in place of a number"
    note = list(unseal("settlement", settlement())[1])  # type: ignore[arg-type]
    more = [*note[:4], 1_500_001, *note[5:]]
    yield "settlement", seal("settlement", more, PROVIDER).raw, "bad_schema", "a note over more than all notes together"
    nothing = [*note[:4], 0, *note[5:]]
    yield "settlement", seal("settlement", nothing, PROVIDER).raw, "bad_schema", "a settlement of nothing"
    itself = [note[0], note[1], note[1], *note[3:]]
    yield "settlement", seal("settlement", itself, PROVIDER).raw, "bad_schema", "a creditor that is its own debtor"
    elsewhere = sign_advert(replace(ADVERT, network="other"), PROVIDER).raw
    yield "advert", elsewhere, "wrong_network", "signed for another network"
    yield "offer", sign_offer(replace(OFFER, network="other"), COORDINATOR), "wrong_network", "for another network"


def _signatures() -> Iterator[Case]:
    raw = sign_advert(ADVERT, PROVIDER).raw
    yield "advert", _flip(raw, -1), "bad_signature", "one bit of the signature changed"
    changed = canonical.encode(replace(ADVERT, free_slots=8).to_fields())
    sealed, _ = unseal("advert", raw)
    yield "advert", canonical.encode([changed, sealed.signature]), "bad_signature", "one field changed after signing"
    yield "advert", seal("advert", ADVERT.to_fields(), STRANGER).raw, "bad_signature", "signed by somebody else"
    yield "advert", seal("receipt", ADVERT.to_fields(), PROVIDER).raw, "bad_signature", "signed as a receipt"
    bare = canonical.encode([sealed.body, PROVIDER.sign(sealed.body)])
    yield "advert", bare, "bad_signature", "signed without the tag in front of the body"
    scalar = int.from_bytes(sealed.signature[32:], "little") + _ORDER
    bent = sealed.signature[:32] + scalar.to_bytes(32, "little")
    yield "advert", canonical.encode([sealed.body, bent]), "bad_signature", "a signature whose scalar is not reduced"
    weak = peer_id_of(b"\x01" + bytes(31))
    body = canonical.encode(replace(ADVERT, peer=weak).to_fields())
    null = canonical.encode([body, b"\x01" + bytes(63)])
    yield "advert", null, "bad_signature", "a key of small order, which verifies what nobody signed"
    yield _of_peer("an RSA peer id", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    yield _of_peer("a peer id with a space after it", PROVIDER.peer_id + " ")
    yield _of_peer("a peer id in CID form", "bafzaajaiaejca" + "a" * 44)
    receipt = signed_receipt().raw
    yield "receipt", seal("receipt", RECEIPT.to_fields(), COORDINATOR).raw, "bad_signature", "signed by the coordinator"
    yield "receipt", _flip(receipt, len(receipt) // 2), "bad_signature", "one bit of a digest changed"
    yield "renewal", _flip(renewal(), -1), "bad_signature", "one bit of the signature changed"
    as_advert = seal("advert", unseal("renewal", renewal())[1], PROVIDER).raw
    yield "renewal", as_advert, "bad_signature", "a renewal signed as an advert"
    yield "countersignature", _flip(countersignature(), -1), "bad_signature", "one bit of the signature changed"
    yield "settlement", _flip(settlement(), -1), "bad_signature", "one bit of the signature changed"
    by_debtor = seal("settlement", unseal("settlement", settlement())[1], COORDINATOR).raw
    yield "settlement", by_debtor, "bad_signature", "a settlement note signed by its debtor"


def _frames() -> Iterator[Case]:
    for value, why in (
        ([11], "a type that does not exist"),
        ([], "no type"),
        ([8, 0], "end with a field"),
        ([2, ""], "accept without its markup"),
        ([4, [-1], "", []], "a negative token id"),
        ([4, [1 << 31], "", []], "a token id of 32 bits"),
        ([4, [1, 2], "ab", [[[1, 0, b"a"], []]]], "one log-probability for two ids"),
        ([4, [1], "a", [[[2, 0, b"a"], []]]], "the log-probability of another id"),
        ([4, [1], "a", [[[1, 1, b"a"], []]]], "a probability above one"),
        ([4, list(range(4097)), "", []], "4097 ids"),
    ):
        yield "job frame", canonical.encode(value), "bad_schema", why
    floats = b"\x95\x05\xa4stop" + b"\xcb" + struct.pack(">d", 130.0) + b"\x64\x04"
    yield "job frame", floats, "not_canonical", "tokens counted with a float"


def _signed_raw(kind: str, body: bytes, who: Identity = PROVIDER) -> bytes:
    return canonical.encode([body, who.sign(signed_bytes(kind, body))])


def _of_peer(why: str, peer: str) -> Case:
    return "advert", seal("advert", replace(ADVERT, peer=peer).to_fields(), PROVIDER).raw, "bad_peer_id", why


def _flip(raw: bytes, place: int) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= 1
    return bytes(changed)
