"""XSalsa20, the stream cipher of libp2p's private networks: Salsa20 under a key derived from the first 16 nonce bytes.

Pure. Source: D. J. Bernstein, "Extending the Salsa20 nonce" (2011). The stream itself is PyCryptodome's Salsa20.
"""

from __future__ import annotations

import struct

from Crypto.Cipher import Salsa20

KEY_BYTES = 32
NONCE_BYTES = 24
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
# The quarter rounds of one double round: four columns, then four rows.
_QUARTERS = (
    *((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)),
    *((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)),
)


def _rotated(value: int, bits: int) -> int:
    value &= 0xFFFFFFFF
    return (value << bits | value >> (32 - bits)) & 0xFFFFFFFF


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """32 bytes of key from a 32-byte ``key`` and 16 bytes of ``nonce``."""
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", nonce)
    x = [_SIGMA[0], *k[:4], _SIGMA[1], *n, _SIGMA[2], *k[4:], _SIGMA[3]]
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            x[b] ^= _rotated(x[a] + x[d], 7)
            x[c] ^= _rotated(x[b] + x[a], 9)
            x[d] ^= _rotated(x[c] + x[b], 13)
            x[a] ^= _rotated(x[d] + x[c], 18)
    return struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))


def xsalsa20(key: bytes, nonce: bytes) -> Salsa20.Salsa20Cipher:
    """A cipher for one direction, for 32 bytes of ``key`` and 24 of ``nonce``; it decrypts as it encrypts."""
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"XSalsa20 takes {KEY_BYTES} bytes of key and {NONCE_BYTES} of nonce")
    return Salsa20.new(key=hsalsa20(key, nonce[:16]), nonce=nonce[16:])
