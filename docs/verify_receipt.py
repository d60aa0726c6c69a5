#!/usr/bin/env python3
"""Checks an inclusion proof without peernode: `python3 verify_receipt.py FILE.proof` (needs pynacl).

Written from docs/protocol.md: the provider signed the receipt and the checkpoint of its log, and the receipt is in it.
"""

import sys
from hashlib import sha256
from pathlib import Path

from nacl.signing import VerifyKey  # its verify raises BadSignatureError

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
FIELDS = """network request_id part coordinator provider model_id model_digest quantization template_digest sampler
 seed request_digest transformed prompt_tokens cached_tokens completion_tokens output_ids_digest text_digest
 finish_reason prices credits accepted_ms first_token_ms finished_ms seq previous"""
SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD9: 1, 0xDA: 2, 0xDC: 2}


def need(holds: bool, why: str) -> None:
    if not holds:
        sys.exit(f"NOT VERIFIED: {why}")


def item(raw: bytes, at: int = 0) -> tuple:
    """One msgpack value, and where the next one begins."""
    kind, at = raw[at], at + 1
    if kind < 0x80 or 0xC0 <= kind <= 0xC3:
        return {0xC0: None, 0xC2: False, 0xC3: True}.get(kind, kind), at
    size = SIZES.get(kind, 0)
    number = int.from_bytes(raw[at : at + size], "big") if size else kind & (0x1F if kind >= 0xA0 else 0x0F)
    at += size
    if 0xCC <= kind <= 0xCF:
        return number, at
    if kind in (0xC4, 0xC5, 0xC6):
        return raw[at : at + number], at + number
    if 0xA0 <= kind <= 0xBF or kind in (0xD9, 0xDA):
        return raw[at : at + number].decode(), at + number
    need(0x90 <= kind <= 0x9F or kind == 0xDC, f"unexpected msgpack {kind:#x}")
    values = []
    for _ in range(number):
        value, at = item(raw, at)
        values.append(value)
    return values, at


def signed(kind: bytes, envelope: bytes, signer: int) -> list:
    """The fields of a signed body; number ``signer`` of them is the peer id, in which the key is that signed."""
    (body, signature), _ = item(envelope)
    fields, _ = item(body)
    number = 0
    for letter in fields[signer]:
        number = number * 58 + ALPHABET.index(letter)
    key = number.to_bytes(37, "big")  # 24 08 01 12 20 and the ed25519 key
    need(key[:5] == bytes.fromhex("2408011220"), "not an ed25519 peer id")
    VerifyKey(key[5:]).verify(b"peernode/" + kind + b"/1\0" + body, signature)
    return fields


(_, what, index, path, checkpoint, receipt), _ = item(Path(sys.argv[1]).read_bytes())
facts = dict(zip(FIELDS.split(), signed(b"receipt", receipt, 4), strict=True))
network, peer, size, root, _ = signed(b"checkpoint", checkpoint, 1)
need(what == "inclusion" and index == facts["seq"] - 1 < size, "not where the receipt says")
need((network, peer) == (facts["network"], facts["provider"]), "the log of somebody else")
at, last, found = index, size - 1, sha256(b"\0" + receipt).digest()
for other in (path[i : i + 32] for i in range(0, len(path), 32)):  # RFC 9162, 2.1.3.2
    left = at & 1 or at == last
    found = sha256(b"\1" + (other + found if left else found + other)).digest()
    while left and at and not at & 1:
        at, last = at >> 1, last >> 1
    at, last = at >> 1, last >> 1
need(last == 0 and found == root, "the path does not lead to the root")
for name, value in facts.items():
    sys.stdout.write(f"{name:<18} {value.hex() if isinstance(value, bytes) else value}\n")
sys.stdout.write(f"VERIFIED: signed by {peer}, number {index + 1} of {size} in its log, root {root.hex()}\n")
