"""Requests sealed to a node's key, and their answers, piece by piece. Pure; docs/sealed.md has the format in words.

A request is ``PNS1``, the client's X25519 key (made for this request), and a secretbox (nonce in front) of a head and a
body: four bytes of the head's length, the head as JSON, the body. An answer is frames, each four bytes of length and a
secretbox whose nonce is the number of the frame: so none can be left out, repeated or exchanged. A frame's first byte
says what it holds: the head (first), a piece of the body, or the end; without an end the answer was cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from peernode.wire.errors import WireError

CONTENT_TYPE = "application/vnd.peernode.sealed"
MAGIC = b"PNS1"
KEY_BYTES = 32
MAX_HEAD_BYTES = 64 * 1024
MAX_PIECE_BYTES = 256 * 1024
HEAD, PIECE, END = b"\0", b"\1", b"\2"
_PERSON = b"peernode sealed1"
_LENGTH = 4


class BadSeal(WireError):
    """What cannot be opened: made for another node or path, changed, or not sealed at all."""

    code = "bad_seal"


@dataclass(frozen=True, slots=True)
class Opened:
    """A request as its client made it. ``client`` is the key it was made with."""

    head: Mapping[str, Any]
    body: bytes
    client: bytes


def request_key(secret: bytes, client: bytes, node: bytes, target: bytes) -> bytes:
    """For one request to one path of one node. ``secret`` is what the two X25519 keys agree on."""
    return _key(secret, b"request", client, node, target)


def answer_key(secret: bytes, client: bytes, node: bytes, sealed: bytes) -> bytes:
    """For the answer to exactly the bytes ``sealed``."""
    return _key(secret, b"answer", client, node, hashlib.blake2b(sealed, digest_size=32).digest())


def client_key_in(sealed: bytes) -> bytes:
    """The key that a sealed request was made with. Raises BadSeal."""
    if not sealed.startswith(MAGIC) or len(sealed) < len(MAGIC) + KEY_BYTES:
        raise BadSeal("This is not a sealed request.", cause=f"{len(sealed)} bytes")
    return sealed[len(MAGIC) : len(MAGIC) + KEY_BYTES]


def seal_request(key: bytes, client: bytes, head: Mapping[str, Any], body: bytes) -> bytes:
    """What travels."""
    told = json.dumps(head).encode()
    plain = len(told).to_bytes(_LENGTH, "big") + told + body
    return MAGIC + client + bytes(SecretBox(key).encrypt(plain))


def open_request(key: bytes, sealed: bytes) -> Opened:
    """Raises BadSeal."""
    client = client_key_in(sealed)
    try:
        plain = SecretBox(key).decrypt(sealed[len(MAGIC) + KEY_BYTES :])
    except (CryptoError, ValueError):
        raise BadSeal(
            "The sealed request cannot be opened.", remedy="Seal it to this node's key and this path."
        ) from None
    size = int.from_bytes(plain[:_LENGTH], "big")
    if size > MAX_HEAD_BYTES or len(plain) < _LENGTH + size:
        raise BadSeal("The head of the sealed request is too large.")
    try:
        head = json.loads(plain[_LENGTH : _LENGTH + size])
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise BadSeal("The head of the sealed request is no JSON object.")
    return Opened(head, plain[_LENGTH + size :], client)


class AnswerSealer:
    """Frames of one answer, in order."""

    def __init__(self, key: bytes) -> None:
        self._box = SecretBox(key)
        self._number = 0

    def head(self, head: Mapping[str, Any]) -> bytes:
        return self._frame(HEAD, json.dumps(head).encode())

    def body(self, body: bytes) -> bytes:
        pieces = range(0, len(body), MAX_PIECE_BYTES)
        return b"".join(self._frame(PIECE, body[at : at + MAX_PIECE_BYTES]) for at in pieces)

    def end(self) -> bytes:
        return self._frame(END, b"")

    def _frame(self, kind: bytes, data: bytes) -> bytes:
        sealed = self._box.encrypt(kind + data, _nonce(self._number)).ciphertext
        self._number += 1
        return len(sealed).to_bytes(_LENGTH, "big") + sealed


class AnswerOpener:
    """Frames as they come in; ``push`` says what each held. Raises BadSeal."""

    def __init__(self, key: bytes) -> None:
        self._box = SecretBox(key)
        self._rest = b""
        self._number = 0
        self.ended = False

    def push(self, data: bytes) -> list[tuple[bytes, bytes]]:
        self._rest += data
        found = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        size = int.from_bytes(self._rest[:_LENGTH], "big")
        if size > MAX_PIECE_BYTES + MAX_HEAD_BYTES:
            raise BadSeal("A frame of the answer is too large.", cause=f"{size} bytes")
        if len(self._rest) < _LENGTH + size or not self._rest:
            return None
        sealed, self._rest = self._rest[_LENGTH : _LENGTH + size], self._rest[_LENGTH + size :]
        try:
            plain = self._box.decrypt(sealed, _nonce(self._number))
        except (CryptoError, ValueError):
            raise BadSeal("The answer was changed on its way.", cause=f"frame {self._number}") from None
        kind, first = plain[:1], self._number == 0
        if self.ended or (kind == HEAD) != first or kind not in (HEAD, PIECE, END):
            raise BadSeal("The answer's frames are not in order.", cause=f"frame {self._number}")
        self._number += 1
        self.ended = kind == END
        return kind, plain[1:]


def _key(secret: bytes, what: bytes, client: bytes, node: bytes, about: bytes) -> bytes:
    made = hashlib.blake2b(key=secret, digest_size=32, person=_PERSON)
    for part in (what, client, node, about):
        made.update(len(part).to_bytes(_LENGTH, "big") + part)
    return made.digest()


def _nonce(number: int) -> bytes:
    return number.to_bytes(SecretBox.NONCE_SIZE, "big")
