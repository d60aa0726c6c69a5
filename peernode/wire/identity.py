"""Who a node is: an ed25519 key, and the libp2p peer id that contains its public half.

A key is never taken on trust from a message: it is read out of the peer id that the signed body names.
Source: libp2p peer id specification (identity multihash of the protobuf-wrapped key); RFC 8032.
"""

from __future__ import annotations

from functools import lru_cache

import base58
from nacl.bindings import crypto_scalarmult
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import SigningKey, VerifyKey

from peernode.wire.errors import BadPeerId, BadSignature

# Base58 costs a third of a signature's check, and most signatures are of few peers.
KEYS_KEPT = 4096
SEED_BYTES = 32
SIGNATURE_BYTES = 64
EXCHANGE_KEY_BYTES = 32
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

    def agree(self, public: bytes) -> bytes:
        """32 bytes that only the holder of ``public`` (an X25519 key) and this node know, before any hashing.

        Raises BadPeerId for a key of small order, which everybody could agree with.
        """
        if len(public) != EXCHANGE_KEY_BYTES:  # the binding does not look
            raise BadPeerId("An X25519 key has 32 bytes.", cause=f"{len(public)} bytes")
        try:
            return bytes(crypto_scalarmult(bytes(self._key.to_curve25519_private_key()), public))
        except (CryptoError, RuntimeError) as err:
            raise BadPeerId("This is no X25519 key to agree with.") from err

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


def exchange_key_of(peer_id: str) -> bytes:
    """The X25519 key that belongs to a peer id's ed25519 key (RFC 7748's birational map). Raises BadPeerId."""
    try:
        return bytes(VerifyKey(public_key_of(peer_id)).to_curve25519_public_key())
    except (CryptoError, RuntimeError) as err:
        raise BadPeerId("The key of this peer id is of small order.") from err


def verify(peer_id: str, message: bytes, signature: bytes) -> None:
    """Raises BadSignature unless ``signature`` over ``message`` was made by the key inside ``peer_id``.

    libsodium refuses small-order and non-canonical keys and malleable signatures.
    """
    key = public_key_of(peer_id)
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError, TypeError) as err:
        raise BadSignature("The signature is not by the peer that the message names.", cause=peer_id) from err
