"""Adverts, offers, receipts and countersignatures: round trips, and refusal of any byte that was changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.wire import canonical
from peernode.wire.acknowledgement import open_acknowledgement, sign_acknowledgement
from peernode.wire.advert import KIND as ADVERT
from peernode.wire.advert import open_advert, sign_advert
from peernode.wire.countersignature import open_countersignature
from peernode.wire.envelope import seal, unseal
from peernode.wire.errors import BadSchema, BadSignature, WireError, WrongNetwork
from peernode.wire.offer import open_offer, sign_offer
from peernode.wire.receipt import KIND as RECEIPT
from peernode.wire.receipt import open_receipt
from peernode.wire.settlement_note import open_settlement_note, sign_settlement_note
from tests.samples import (
    COORDINATOR,
    PROVIDER,
    STRANGER,
    acknowledgement,
    advert,
    countersigned,
    offer,
    receipt,
    settlement_note,
    signed_receipt,
)

ADVERT_RAW = sign_advert(advert(), PROVIDER).raw
OFFER_RAW = sign_offer(offer(), COORDINATOR)
RECEIPT_RAW = signed_receipt().raw
COUNTERSIGNATURE_RAW = countersigned(signed_receipt()).raw
ACKNOWLEDGEMENT_RAW = sign_acknowledgement(acknowledgement(), COORDINATOR).raw
SETTLEMENT_RAW = sign_settlement_note(settlement_note(), PROVIDER).raw

KINDS: list[tuple[bytes, Callable[[bytes], object]]] = [
    (ADVERT_RAW, lambda raw: open_advert(raw, network="test")),
    (OFFER_RAW, lambda raw: open_offer(raw, network="test")),
    (RECEIPT_RAW, open_receipt),
    (COUNTERSIGNATURE_RAW, open_countersignature),
    (SETTLEMENT_RAW, lambda raw: open_settlement_note(raw, network="test")),
    (ACKNOWLEDGEMENT_RAW, lambda raw: open_acknowledgement(raw, network="test")),
]


def test_round_trips() -> None:
    assert open_advert(ADVERT_RAW, network="test").advert == advert()
    assert open_offer(OFFER_RAW, network="test") == offer()
    assert open_acknowledgement(ACKNOWLEDGEMENT_RAW, network="test").body == acknowledgement()
    assert open_settlement_note(SETTLEMENT_RAW, network="test").note == settlement_note()
    assert open_receipt(RECEIPT_RAW).receipt == receipt()
    assert open_countersignature(COUNTERSIGNATURE_RAW) == countersigned(signed_receipt())


@pytest.mark.parametrize(("raw", "reopen"), KINDS)
def test_every_flipped_byte_is_refused(raw: bytes, reopen: Callable[[bytes], object]) -> None:
    for place in range(len(raw)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(raw)
            changed[place] ^= mask
            with pytest.raises(WireError):
                reopen(bytes(changed))


@settings(max_examples=400)
@given(st.sampled_from(KINDS), st.data())
def test_cut_stretched_and_spliced_bytes_are_refused(
    kind: tuple[bytes, Callable[[bytes], object]], data: st.DataObject
) -> None:
    raw, reopen = kind
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, len(raw)))
    changed = raw[:start] + data.draw(st.binary(max_size=20)) + raw[end:]
    if changed == raw:
        return
    with pytest.raises(WireError):
        reopen(changed)


def test_a_body_signed_by_another_key_is_refused() -> None:
    forged = seal(RECEIPT, receipt().to_fields(), STRANGER).raw
    with pytest.raises(BadSignature):
        open_receipt(forged)


def test_a_signature_does_not_carry_over_to_another_kind() -> None:
    envelope, _ = unseal(ADVERT, ADVERT_RAW)
    as_receipt = seal("receipt", canonical.decode(envelope.body), PROVIDER)
    with pytest.raises(BadSignature):
        open_advert(as_receipt.raw, network="test")


def test_another_networks_advert_and_offer_are_refused() -> None:
    with pytest.raises(WrongNetwork):
        open_advert(ADVERT_RAW, network="other")
    with pytest.raises(WrongNetwork):
        open_offer(OFFER_RAW, network="other")


def test_nobody_signs_in_anothers_name() -> None:
    with pytest.raises(ValueError, match="own"):
        sign_advert(advert(), STRANGER)


@pytest.mark.parametrize("position", range(len(receipt().to_fields())))
@pytest.mark.parametrize("value", [None, -1, 1 << 63, "x" * 5000, b"x" * 5000, [], True, [[1]]])
def test_a_signed_receipt_with_a_field_of_the_wrong_kind_is_refused(position: int, value: object) -> None:
    fields = receipt().to_fields()
    if fields[position] == value or (fields[position] is False and value is True):
        return
    fields[position] = value  # type: ignore[call-overload]
    with pytest.raises(WireError):
        open_receipt(seal(RECEIPT, fields, PROVIDER).raw)


def test_missing_and_extra_fields_are_refused() -> None:
    fields = receipt().to_fields()
    for changed in (fields[:-1], [*fields, 0], [], [fields]):
        with pytest.raises(BadSchema):
            open_receipt(seal(RECEIPT, changed, PROVIDER).raw)


def test_one_model_id_twice_in_an_advert_is_refused() -> None:
    doubled = advert(models=advert().models * 2)
    with pytest.raises(BadSchema):
        open_advert(sign_advert(doubled, PROVIDER).raw, network="test")
