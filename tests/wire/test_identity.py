"""A peer id is its key; nobody signs for another."""

from __future__ import annotations

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.wire.errors import BadPeerId, BadSignature
from peernode.wire.identity import Identity, peer_id_of, public_key_of, verify
from tests.samples import PROVIDER, STRANGER


def test_the_peer_id_is_that_of_libp2p_for_the_same_seed() -> None:
    ed25519 = pytest.importorskip("libp2p.crypto.ed25519")
    from libp2p.peer.id import ID

    pair = ed25519.create_new_key_pair(PROVIDER.seed)
    assert str(ID.from_pubkey(pair.public_key)) == PROVIDER.peer_id


@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_contains_its_key(seed: bytes) -> None:
    identity = Identity.from_seed(seed)
    assert peer_id_of(public_key_of(identity.peer_id)) == identity.peer_id
    verify(identity.peer_id, b"message", identity.sign(b"message"))


def test_another_key_or_message_is_refused() -> None:
    signature = PROVIDER.sign(b"message")
    with pytest.raises(BadSignature):
        verify(STRANGER.peer_id, b"message", signature)
    with pytest.raises(BadSignature):
        verify(PROVIDER.peer_id, b"other", signature)
    with pytest.raises(BadSignature):
        verify(PROVIDER.peer_id, b"message", signature[:-1])


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f")])
def test_small_order_keys_sign_nothing(key: bytes) -> None:
    # With such a key, a signature of (key, 0) satisfies the naive equation for many messages.
    with pytest.raises(BadSignature):
        verify(peer_id_of(key), b"message", key + bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12D3Koo",
        "0OIl" * 12,
        "Qm" + "a" * 44,
        base58.b58encode(bytes(38)).decode(),
        "1" + PROVIDER.peer_id,
        "é" * 50,
    ],
)
def test_what_is_no_ed25519_peer_id_is_refused(text: str) -> None:
    with pytest.raises(BadPeerId):
        public_key_of(text)


def test_an_identity_does_not_print_its_key() -> None:
    assert PROVIDER.seed.hex() not in repr(PROVIDER)
    assert str(PROVIDER.seed) not in repr(PROVIDER)
