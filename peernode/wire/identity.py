"""Who a node is: an ed25519 key, and the libp2p peer id that contains its public half.

A key is never taken on trust from a message: it is read out of the peer id that the signed body names.
Source: libp2p peer id specification (identity multihash of the protobuf-wrapped key); RFC 8032.
"""

from __future__ import annotations

from functools import lru_cache

import base58
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import SigningKey, VerifyKey

from peernode.wire.errors import BadPeerId, BadSignature

# Base58 costs a third of a signature's check, and most signatures are of few peers.
KEYS_KEPT = 4096
SEED_BYTES = 32
SIGNATURE_BYTES = 64
# identity multihash of 36 bytes (00 24), protobuf: key type ed25519 (08 01), 32 bytes of key (12 20)
_PREFIX = bytes.fromhex("002408011220")


class Identity:
    """A node's own key pair. ``peer_id`` is its base58 text, ``12D3Koo…``."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.peer_id = peer_id_of(bytes(key.verify_key))

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """From the raw 32-byte ed25519 seed. Raises ValueError for any other length."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        return cls(SigningKey(seed))

    @property
    def seed(self) -> bytes:
        return bytes(self._key)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte ed25519 signature of ``message``."""
        return bytes(self._key.sign(message).signature)

    def __repr__(self) -> str:  # never the key
        return f"Identity({self.peer_id})"


def peer_id_of(public_key: bytes) -> str:
    """The peer id text of a raw 32-byte ed25519 public key."""
    return str(base58.b58encode(_PREFIX + public_key), "ascii")


@lru_cache(maxsize=KEYS_KEPT)
def public_key_of(peer_id: str) -> bytes:
    """The raw public key inside a peer id. Raises BadPeerId unless the text is the canonical one."""
    if not 40 <= len(peer_id) <= 64:
        raise BadPeerId("This is not an ed25519 peer id.", cause=f"{len(peer_id)} characters")
    try:
        raw = base58.b58decode(peer_id)
    except ValueError as err:
        raise BadPeerId("This is not a peer id.", cause="not base58") from err
    if len(raw) != len(_PREFIX) + 32 or not raw.startswith(_PREFIX):
        raise BadPeerId("This is not an ed25519 peer id.", cause="another key type or hash")
    if peer_id_of(raw[len(_PREFIX) :]) != peer_id:
        raise BadPeerId("This is not the canonical text of a peer id.")
    return bytes(raw[len(_PREFIX) :])


def verify(peer_id: str, message: bytes, signature: bytes) -> None:
    """Raises BadSignature unless ``signature`` over ``message`` was made by the key inside ``peer_id``.

    libsodium refuses small-order and non-canonical keys and malleable signatures.
    """
    key = public_key_of(peer_id)
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError, TypeError) as err:
        raise BadSignature("The signature is not by the peer that the message names.", cause=peer_id) from err
