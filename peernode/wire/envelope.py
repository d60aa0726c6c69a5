"""Signed bodies: a domain tag in front of the canonical body, and the signature beside it.

What travels is the canonical list [body, signature]; what is signed is ``peernode/<kind>/1`` NUL body.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader
from peernode.wire.identity import SIGNATURE_BYTES, Identity, verify


@dataclass(frozen=True, slots=True)
class Envelope:
    """A canonical ``body`` and the 64-byte ``signature`` over its domain tag and itself."""

    kind: str
    body: bytes
    signature: bytes

    @property
    def raw(self) -> bytes:
        return canonical.encode([self.body, self.signature])

    @property
    def digest(self) -> bytes:
        """BLAKE2b-256 of the signed bytes: names this body, whoever signs it."""
        return canonical.digest(signed_bytes(self.kind, self.body))

    def check_signed_by(self, peer_id: str) -> None:
        """Raises BadSignature or BadPeerId."""
        verify(peer_id, signed_bytes(self.kind, self.body), self.signature)


def signed_bytes(kind: str, body: bytes) -> bytes:
    """The exact bytes a signature covers."""
    return b"peernode/" + kind.encode("ascii") + b"/1\0" + body


def seal(kind: str, fields: Value, identity: Identity) -> Envelope:
    """Encode ``fields`` canonically and sign them for ``kind``."""
    body = canonical.encode(fields)
    return Envelope(kind, body, identity.sign(signed_bytes(kind, body)))


def unseal(kind: str, raw: bytes, *, max_bytes: int = canonical.MAX_BYTES) -> tuple[Envelope, Value]:
    """Split and decode an envelope; the *caller* then checks the signature against the peer that the body names.

    Raises NotCanonical or BadSchema.
    """
    outer = FieldReader(f"signed {kind}", canonical.decode(raw, max_bytes=max_bytes))
    body = outer.octets("body", most=max_bytes)
    signature = outer.octets("signature", exactly=SIGNATURE_BYTES)
    outer.done()
    fields = canonical.decode(body, max_bytes=max_bytes)
    if not isinstance(fields, list):
        raise BadSchema(f"The body of a {kind} must be a list.")
    return Envelope(kind, body, signature), fields
