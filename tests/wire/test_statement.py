"""A node's statement: whose it is, what it is about, and that nothing in it can be changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from peernode.wire.envelope import seal
from peernode.wire.errors import BadPeerId, BadSchema, WireError
from peernode.wire.identity import Identity, exchange_key_of
from peernode.wire.statement import KIND, StatedModel, Statement, open_statement, report_data_of, sign_statement

NODE, OTHER = Identity.from_seed(bytes(range(32))), Identity.from_seed(bytes(range(1, 33)))
MADE = Statement(
    "main", NODE.peer_id, exchange_key_of(NODE.peer_id), "0.1.0", (StatedModel("m", b"\1" * 32),), b"nonce", 1234
)


def test_it_comes_back_as_it_was_signed() -> None:
    signed = sign_statement(MADE, NODE)
    assert open_statement(signed.raw).statement == MADE


def test_nobody_states_for_another() -> None:
    with pytest.raises(ValueError, match="only its own"):
        sign_statement(MADE, OTHER)
    with pytest.raises(WireError):
        open_statement(seal(KIND, MADE.to_fields(), OTHER).raw)


def test_every_changed_byte_is_noticed() -> None:
    raw = sign_statement(MADE, NODE).raw
    for at in range(len(raw)):
        with pytest.raises(WireError):
            open_statement(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])


def test_a_foreign_exchange_key_is_refused_though_the_peer_signed_it() -> None:
    lie = replace(MADE, exchange_key=exchange_key_of(OTHER.peer_id))
    with pytest.raises(BadSchema, match="exchange key"):
        open_statement(sign_statement(lie, NODE).raw)


@pytest.mark.parametrize(
    "change", [{"nonce": b"other"}, {"peer": OTHER.peer_id}, {"models": ()}, {"at_ms": 1235}, {"network": "x"}]
)
def test_a_report_is_about_one_statement_only(change: dict[str, object]) -> None:
    other = replace(MADE, **change)
    signer = OTHER if other.peer == OTHER.peer_id else NODE
    assert len(report_data_of(sign_statement(MADE, NODE).envelope)) == 64
    assert report_data_of(sign_statement(MADE, NODE).envelope) != report_data_of(sign_statement(other, signer).envelope)


def test_both_sides_agree_on_a_secret_and_nobody_on_a_weak_one() -> None:
    client = PrivateKey(b"\5" * 32)
    theirs = SigningKey(NODE.seed).to_curve25519_private_key()
    assert exchange_key_of(NODE.peer_id) == bytes(theirs.public_key)
    secret = NODE.agree(bytes(client.public_key))
    assert secret == Identity.from_seed(NODE.seed).agree(bytes(client.public_key))
    assert secret != OTHER.agree(bytes(client.public_key))
    for weak in (bytes(32), b"\1" + bytes(31)):
        with pytest.raises(BadPeerId):
            NODE.agree(weak)
    with pytest.raises(BadPeerId):
        NODE.agree(b"short")
