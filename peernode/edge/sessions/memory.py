"""What is kept of a conversation: its messages as JSON, under the client's key. Pure.

XSalsa20-Poly1305 (libsodium's secretbox) under BLAKE2b-256 of owner and session with the client's 32 bytes as key, so
that what belongs to another session does not open here. Kept are the nonce and the sealed JSON, nothing in the clear.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from peernode.chat.errors import BadRequest
from peernode.edge.sessions.errors import SessionKeyRefused

KEY_BYTES = 32
_PERSON = b"peernode session"


@dataclass(frozen=True, slots=True)
class SessionName:
    """Which session: ``owner`` is an API key's id, ``id`` a UUID's canonical text."""

    owner: str
    id: str


def read_session_id(value: object) -> str:
    """The canonical text of a UUID. Raises BadRequest."""
    try:
        return str(uuid.UUID(value)) if isinstance(value, str) and len(value) <= 45 else _bad_id()
    except ValueError:
        return _bad_id()


def read_session_key(value: object) -> bytes:
    """The 32 bytes behind base64, usual or for URLs. Raises BadRequest; what was sent is never repeated."""
    text = value if isinstance(value, str) else ""
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadRequest(
            "session_key must be 32 bytes in base64.",
            param="session_key",
            remedy="Draw them at random (`openssl rand -base64 32`), and keep them: nobody else has them.",
        )
    return key


def seal(name: SessionName, key: bytes, messages: list[dict[str, Any]]) -> bytes:
    """What is kept of ``messages``."""
    return bytes(_box(name, key).encrypt(json.dumps(messages, separators=(",", ":")).encode()))


def unseal(name: SessionName, key: bytes, kept: bytes) -> list[dict[str, Any]]:
    """The messages. Raises SessionKeyRefused for another key, another session, or what was changed on the disk."""
    try:
        messages: list[dict[str, Any]] = json.loads(_box(name, key).decrypt(kept))
    except CryptoError:
        raise SessionKeyRefused(
            "This session_key does not open this session.",
            cause=name.id,
            remedy="Send the key that the session was begun with. Without it nobody can read what was said.",
        ) from None
    return messages


def _box(name: SessionName, key: bytes) -> SecretBox:
    about = f"{name.owner}/{name.id}".encode()
    return SecretBox(hashlib.blake2b(about, key=key, digest_size=32, person=_PERSON).digest())


def _bad_id() -> str:
    raise BadRequest(
        "session_id must be a UUID.", param="session_id", remedy="Leave it out to begin a session; its id comes back."
    )
