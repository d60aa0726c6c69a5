#!/usr/bin/env python3
"""Asks a node over plain HTTP so that only it can read the question: a reader's own client (needs pynacl and httpx).

    PEERNODE_KEY=sk-pn-… python3 sealed_client.py http://192.0.2.7:8080 12D3Koo… "Why is the sky blue?"

Written from docs/sealed.md. The peer id must come from somebody you trust: in it is the key that all hangs on.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from hashlib import blake2b

import httpx
from nacl.bindings import crypto_scalarmult
from nacl.public import PrivateKey
from nacl.secret import SecretBox  # its decrypt raises CryptoError for what was changed
from nacl.signing import VerifyKey

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
TYPE = "application/vnd.peernode.sealed"


class Truncated(Exception):
    """The answer has no end: somebody cut it off."""


def exchange_key(peer_id: str) -> bytes:
    """The X25519 key that belongs to the ed25519 key in a peer id."""
    number = 0
    for letter in peer_id:
        number = number * 58 + ALPHABET.index(letter)
    raw = number.to_bytes(37, "big")  # 24 08 01 12 20 and the key
    if raw[:5] != bytes.fromhex("2408011220"):
        raise ValueError("not an ed25519 peer id")
    return bytes(VerifyKey(raw[5:]).to_curve25519_public_key())


def derived(secret: bytes, *parts: bytes) -> bytes:
    made = blake2b(key=secret, digest_size=32, person=b"peernode sealed1")
    for part in parts:
        made.update(len(part).to_bytes(4, "big") + part)
    return made.digest()


class Sealed:
    """One request to one path; its ``body`` is what to POST, and ``read`` opens what comes back."""

    def __init__(self, peer_id: str, path: str, body: bytes, *, method: str = "POST", **headers: str) -> None:
        own, node = PrivateKey.generate(), exchange_key(peer_id)
        client = bytes(own.public_key)
        secret = crypto_scalarmult(bytes(own), node)
        head = {"at_ms": time.time_ns() // 10**6, "method": method, "headers": headers}
        told = json.dumps(head).encode()
        box = SecretBox(derived(secret, b"request", client, node, path.encode()))
        self.body = b"PNS1" + client + bytes(box.encrypt(len(told).to_bytes(4, "big") + told + body))
        self._box = SecretBox(derived(secret, b"answer", client, node, blake2b(self.body, digest_size=32).digest()))

    def read(self, chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
        """(0, head as JSON) first, then (1, piece of the body)…; raises Truncated when the end is missing."""
        rest, number = b"", 0
        for chunk in chunks:
            rest += chunk
            while len(rest) >= 4 and len(rest) >= 4 + (size := int.from_bytes(rest[:4], "big")):
                plain = self._box.decrypt(rest[4 : 4 + size], number.to_bytes(24, "big"))
                rest, number = rest[4 + size :], number + 1
                if plain[0] == 2:
                    return
                yield plain[0], plain[1:]
        raise Truncated(f"after {number} frames")


def post(base: str, peer_id: str, path: str, body: dict, **headers: str) -> Iterator[tuple[int, bytes]]:
    """Ask and yield what ``Sealed.read`` does; a refusal in the clear is an error, for anybody could have said it."""
    asked = Sealed(peer_id, path, json.dumps(body).encode(), **{"content-type": "application/json"}, **headers)
    with httpx.stream("POST", base + path, content=asked.body, headers={"Content-Type": TYPE}, timeout=600) as answer:
        if answer.headers.get("content-type") != TYPE:
            raise RuntimeError(f"not sealed: HTTP {answer.status_code} {answer.read()[:500]!r}")
        yield from asked.read(answer.iter_raw())


def main() -> None:
    base, peer_id, question = sys.argv[1:]
    key = os.environ.get("PEERNODE_KEY")
    body = {"model": "auto", "messages": [{"role": "user", "content": question}], "stream": True}
    for kind, data in post(
        base, peer_id, "/v1/chat/completions", body, **({"authorization": f"Bearer {key}"} if key else {})
    ):
        sys.stdout.write(f"{data.decode()}\n" if kind == 0 else data.decode())
        sys.stdout.flush()


if __name__ == "__main__":
    main()
