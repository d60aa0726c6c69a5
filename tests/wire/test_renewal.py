"""Renewals: round trip, the advert they name, and refusal of whatever is not the originator's own word."""

from __future__ import annotations

import dataclasses

import pytest

from peernode.wire import canonical
from peernode.wire.advert import KIND as ADVERT
from peernode.wire.advert import open_advert, sign_advert
from peernode.wire.envelope import seal, signed_bytes, unseal
from peernode.wire.errors import BadSchema, BadSignature, WireError, WrongNetwork
from peernode.wire.renewal import KIND, Renewal, open_renewal, sign_renewal
from tests.samples import PROVIDER, STRANGER, advert

SIGNED_ADVERT = sign_advert(advert(), PROVIDER)
RENEWAL = Renewal("test", PROVIDER.peer_id, 1 << 41, 1_700_000_000_000, 15_000, 3, 2, SIGNED_ADVERT.digest)
RAW = sign_renewal(RENEWAL, PROVIDER).raw


def test_round_trip_and_size() -> None:
    assert open_renewal(RAW, network="test").renewal == RENEWAL
    assert len(RAW) < 200


def test_an_advert_is_named_by_the_beginning_of_the_digest_of_its_signed_bytes() -> None:
    envelope, _ = unseal(ADVERT, SIGNED_ADVERT.raw)
    whole = canonical.digest(signed_bytes(ADVERT, envelope.body))
    assert SIGNED_ADVERT.digest == whole[:16]
    assert open_advert(SIGNED_ADVERT.raw, network="test").digest == whole[:16]
    assert sign_advert(advert(version="another"), PROVIDER).digest != SIGNED_ADVERT.digest


def test_every_flipped_byte_is_refused() -> None:
    for place in range(len(RAW)):
        changed = bytearray(RAW)
        changed[place] ^= 0x01
        with pytest.raises(WireError):
            open_renewal(bytes(changed), network="test")


@pytest.mark.parametrize(
    "change",
    [{"lease_ms": 0}, {"lease_ms": 300_001}, {"seq": 0}, {"advert": b"short"}, {"free_slots": -1}, {"peer": "x" * 65}],
)
def test_values_out_of_range_are_refused(change: dict[str, int]) -> None:
    fields = dataclasses.replace(RENEWAL, **change).to_fields()  # type: ignore[arg-type]
    with pytest.raises(BadSchema):
        open_renewal(seal(KIND, fields, PROVIDER).raw, network="test")


def test_nobody_renews_for_another_and_no_other_kind_or_network_counts() -> None:
    with pytest.raises(ValueError, match="own renewal"):
        sign_renewal(RENEWAL, STRANGER)
    with pytest.raises(BadSignature):
        open_renewal(seal(KIND, RENEWAL.to_fields(), STRANGER).raw, network="test")
    with pytest.raises(BadSignature):
        open_renewal(seal(ADVERT, RENEWAL.to_fields(), PROVIDER).raw, network="test")
    with pytest.raises(WrongNetwork):
        open_renewal(RAW, network="other")
