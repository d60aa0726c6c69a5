"""An API key: its text, shown once; what is kept of it; and what its holder may do. Pure.

The text is ``sk-pn-``, ten characters that name the key, and 43 that are its secret: 256 random bits in base 62. The
name is public: it finds the row, stands in accounts (``client:<id>``) and may be logged. Of the secret only a digest is
kept. It needs no slow hash, for 256 random bits cannot be guessed from one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

PREFIX = "sk-pn-"
DIALECTS = ("openai", "openrouter", "peerwave")
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARS = 10
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES, _SECRET_CHARS = 32, 43
KEY_TEXT = re.compile(rf"{PREFIX}([{_ID_LETTERS}]{{{_ID_CHARS}}})([0-9A-Za-z]{{{_SECRET_CHARS}}})")
_PERSON = b"peernode key/1"


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as its holder has it. ``id`` is public; ``text`` is the whole, and must reach no log."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"KeyText(id={self.id!r})"

    @property
    def digest(self) -> bytes:
        """What is kept: 32 bytes."""
        return hashlib.blake2b(self.text.encode("ascii"), digest_size=32, person=_PERSON).digest()

    def matches(self, digest: bytes) -> bool:
        """In constant time."""
        return hmac.compare_digest(self.digest, digest)


def new_key_text(random_bytes: Callable[[int], bytes]) -> KeyText:
    """A fresh key out of ``random_bytes``, which must be the system's (``secrets.token_bytes``)."""
    drawn = random_bytes(_ID_CHARS)
    identity = "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in drawn)
    number = int.from_bytes(random_bytes(_SECRET_BYTES), "big")
    secret = ""
    for _ in range(_SECRET_CHARS):
        number, digit = divmod(number, len(_DIGITS))
        secret = _DIGITS[digit] + secret
    return KeyText(identity, f"{PREFIX}{identity}{secret}")


def read_key_text(text: str) -> KeyText | None:
    """The key that ``text`` could be; None when it cannot be one."""
    found = KEY_TEXT.fullmatch(text)
    return KeyText(found[1], text) if found else None


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may spend and ask for. None and empty mean no limit; credits are micro-credits, days are UTC.

    ``unlimited`` keys need no balance: theirs may fall below zero, and says what their holder owes.
    ``models`` may hold patterns like ``org/*``.
    """

    unlimited: bool = False
    day_cap: int | None = None
    month_cap: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    models: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key as the ledger knows it."""

    id: str
    name: str
    created_ms: int
    limits: KeyLimits = KeyLimits()
    revoked_ms: int | None = None

    @property
    def account(self) -> str:
        """What its holder has left."""
        return f"client:{self.id}"

    def state(self, now_ms: int) -> str:
        """``active``, ``revoked`` or ``expired``."""
        if self.revoked_ms is not None:
            return "revoked"
        expires = self.limits.expires_ms
        return "expired" if expires is not None and expires <= now_ms else "active"
