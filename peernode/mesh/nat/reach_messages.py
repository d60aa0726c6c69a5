"""The three messages of ``/peernode/reach/1``, as msgpack lists. Pure.

``Ask`` (0, port, nonce): connect to me at the address you see and this port, and say the nonce there. ``Told`` (1,
host, reached): what came of it, and the IP address the helper saw. ``Back`` (2, nonce): first word on the fresh
connection.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgpack

from peernode.mesh.nat.errors import BadReachMessage

PROTOCOL = "/peernode/reach/1"
NONCE_BYTES = 16
MAX_BYTES = 256
_ASK, _TOLD, _BACK = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Ask:
    port: int
    nonce: bytes

    def encode(self) -> bytes:
        return bytes(msgpack.packb([_ASK, self.port, self.nonce]))


@dataclass(frozen=True, slots=True)
class Told:
    host: str
    reached: bool

    def encode(self) -> bytes:
        return bytes(msgpack.packb([_TOLD, self.host, self.reached]))


@dataclass(frozen=True, slots=True)
class Back:
    nonce: bytes

    def encode(self) -> bytes:
        return bytes(msgpack.packb([_BACK, self.nonce]))


def decode(frame: bytes) -> Ask | Told | Back:
    """Raises ``BadReachMessage``."""
    try:
        if len(frame) > MAX_BYTES:
            raise ValueError(f"{len(frame)} of {MAX_BYTES} bytes")
        items = msgpack.unpackb(frame, max_array_len=3, max_str_len=64, max_bin_len=NONCE_BYTES, max_map_len=0)
        match items:
            case [0, int(port), bytes(nonce)] if type(port) is int and 0 < port < 65536 and len(nonce) == NONCE_BYTES:
                return Ask(port, nonce)
            case [1, str(host), bool(reached)]:
                return Told(host, reached)
            case [2, bytes(nonce)] if len(nonce) == NONCE_BYTES:
                return Back(nonce)
            case _:
                raise ValueError("not one of the three messages")
    except Exception as error:
        raise BadReachMessage("A message about reachability makes no sense.", cause=str(error)) from error
