"""libp2p 0.8.1's private networks are not those of the specification: Salsa20 with an 8-byte nonce, read in one piece.

Mended with the pre-shared key protocol v1 that other implementations speak (specs/pnet): each side sends 24 random
bytes, and everything after them goes through XSalsa20. Without the key a peer cannot begin the Noise handshake. It is
applied by ``peer_gate`` to every connection, dialled, accepted or relayed.
"""

from __future__ import annotations

import os

from Crypto.Cipher.Salsa20 import Salsa20Cipher
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.utils import read_exactly
from libp2p.network.connection.raw_connection import RawConnection

from peernode.mesh.hardening.xsalsa20 import NONCE_BYTES, xsalsa20


class ProtectedSocket(ReadWriteCloser):
    """A socket under a pre-shared ``key`` of 32 bytes."""

    def __init__(self, socket: ReadWriteCloser, key: bytes) -> None:
        self._socket = socket
        self._key = key
        self._outgoing: Salsa20Cipher | None = None
        self._incoming: Salsa20Cipher | None = None

    async def write(self, data: bytes) -> None:
        """Encrypt and send; the first time after a fresh nonce."""
        nonce = b""
        if self._outgoing is None:
            nonce = os.urandom(NONCE_BYTES)
            self._outgoing = xsalsa20(self._key, nonce)
        await self._socket.write(nonce + self._outgoing.encrypt(bytes(data)))

    async def read(self, n: int | None = None) -> bytes:
        """Up to ``n`` decrypted bytes; raises ``IncompleteReadError`` when the peer sent no whole nonce."""
        if self._incoming is None:
            self._incoming = xsalsa20(self._key, await read_exactly(self._socket, NONCE_BYTES))
        return self._incoming.decrypt(await self._socket.read(n))

    async def close(self) -> None:
        """Close the socket."""
        await self._socket.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Of the socket."""
        return self._socket.get_remote_address()


def protected(raw: RawConnection, key: bytes) -> RawConnection:
    """The same connection, under ``key``."""
    return RawConnection(
        ProtectedSocket(raw.stream, key),
        raw.is_initiator,
        connection_type=raw.get_connection_type(),
        addresses=raw._actual_addresses,
    )
