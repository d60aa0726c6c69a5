"""Offline verification: a good pair passes every check; any other pair fails a named one."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.market.verification import verify_receipt
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.envelope import Envelope, seal
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt
from tests.samples import COORDINATOR, PROVIDER, STRANGER, countersigned, receipt, signed_receipt

GOOD = signed_receipt()
GOOD_RAW, COUNTER_RAW = GOOD.raw, countersigned(GOOD).raw


def failed(raw: bytes, counter: bytes | None) -> list[str]:
    return [check.name for check in verify_receipt(raw, counter) if not check.passed]


def test_a_good_pair_passes_every_check() -> None:
    assert failed(GOOD_RAW, COUNTER_RAW) == []
    assert len(verify_receipt(GOOD_RAW, COUNTER_RAW)) >= 15


@settings(max_examples=1500, deadline=None)
@given(st.integers(0, len(GOOD_RAW) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_receipt_fails(place: int, mask: int) -> None:
    changed = bytearray(GOOD_RAW)
    changed[place] ^= mask
    assert failed(bytes(changed), COUNTER_RAW)


@settings(max_examples=800, deadline=None)
@given(st.integers(0, len(COUNTER_RAW) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_countersignature_fails(place: int, mask: int) -> None:
    changed = bytearray(COUNTER_RAW)
    changed[place] ^= mask
    assert failed(GOOD_RAW, bytes(changed))


def _other(value: object) -> object:
    """A different value that the field could well hold."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return STRANGER.peer_id if value.startswith("12D3") else value + "x"
        case bytes():
            return bytes(len(value) - 1) + b"\x07"
        case Prices():
            return Prices(value.prompt + 1, value.cached, value.completion)
    raise AssertionError(value)


@pytest.mark.parametrize("name", [field.name for field in fields(Receipt)])
def test_any_changed_field_under_the_old_signature_fails(name: str) -> None:
    changed = replace(GOOD.receipt, **{name: _other(getattr(GOOD.receipt, name))})
    body = seal("receipt", changed.to_fields(), PROVIDER).body
    raw = Envelope("receipt", body, GOOD.envelope.signature).raw
    assert "provider's signature" in failed(raw, COUNTER_RAW)


@pytest.mark.parametrize("name", [field.name for field in fields(Countersignature)])
def test_any_changed_field_of_the_countersignature_fails(name: str) -> None:
    good = countersigned(GOOD)
    changed = replace(good.countersignature, **{name: _other(getattr(good.countersignature, name))})
    body = seal("countersignature", changed.to_fields(), COORDINATOR).body
    raw = Envelope("countersignature", body, good.envelope.signature).raw
    assert "coordinator's signature" in failed(GOOD_RAW, raw)


@pytest.mark.parametrize("name", [field.name for field in fields(Receipt)])
def test_a_receipt_signed_anew_after_a_change_no_longer_has_its_countersignature(name: str) -> None:
    changed = replace(GOOD.receipt, **{name: _other(getattr(GOOD.receipt, name))})
    resigned = seal("receipt", changed.to_fields(), PROVIDER).raw
    assert "countersignature names this receipt" in failed(resigned, COUNTER_RAW)


def test_a_countersignature_by_another_key_fails() -> None:
    body = replace(countersigned(GOOD).countersignature, coordinator=STRANGER.peer_id)
    assert "countersignature is by the job's coordinator" in failed(GOOD_RAW, sign_countersignature(body, STRANGER).raw)


def test_a_receipt_without_countersignature_is_not_verified() -> None:
    assert failed(GOOD_RAW, None) == ["countersignature is present"]


def test_a_bill_that_does_not_add_up_fails_even_when_both_signed_it() -> None:
    raised = signed_receipt(credits=receipt().credits + 1)
    assert failed(raised.raw, countersigned(raised).raw) == ["credits are tokens times prices"]


@given(st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_garbage_fails_and_never_raises(raw: bytes, counter: bytes | None) -> None:
    assert failed(raw, counter)
    assert failed(GOOD_RAW, counter or b"")
