"""Two implementations, one verdict: thousands of bent messages are taken or refused by both, for the same reason."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from vector_values import (
    ADVERT,
    DEPARTURE,
    NETWORK,
    OFFER,
    PROVIDER,
    STRANGER,
    countersignature,
    renewal,
    signed_receipt,
)
from vectors import from_json, make_vectors

from peernode.wire import canonical
from peernode.wire.advert import open_advert, sign_advert
from peernode.wire.canonical import Value
from peernode.wire.countersignature import open_countersignature
from peernode.wire.envelope import seal
from peernode.wire.errors import WireError
from peernode.wire.job_frames import decode_frame
from peernode.wire.offer import open_offer
from peernode.wire.receipt import open_receipt
from peernode.wire.renewal import open_renewal
from tests.interop.js_process import NODE, prepare

pytestmark = pytest.mark.real

ROUNDS = 5000
READERS: dict[str, Callable[[bytes], object]] = {
    "canonical": canonical.decode,
    "frame": decode_frame,
    "advert": lambda raw: open_advert(raw, network=NETWORK),
    "renewal": lambda raw: open_renewal(raw, network=NETWORK),
    "offer": lambda raw: open_offer(raw, network=NETWORK),
    "receipt": open_receipt,
    "countersignature": open_countersignature,
}
ODD: list[Value] = [None, True, False, -1, 0, 1, 2**31, 2**63 - 1, 2**63, b"", b"x" * 32, [], [[]]]
ODD += ["", "other", "x" * 300, "ü" * 64, STRANGER.peer_id, STRANGER.peer_id + " "]


def _verdict(kind: str, raw: bytes) -> str:
    try:
        READERS[kind](raw)
    except WireError as error:
        return error.code
    return "ok"


def _bent(raw: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut out or put in."""
    changed = bytearray(raw)
    for _ in range(rng.randint(0, 2)):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0 if place < len(changed):
                changed[place] = rng.randrange(256)
            case 1:
                del changed[place : place + rng.randint(1, 3)]
            case _:
                changed[place:place] = rng.randbytes(rng.randint(1, 3))
    return bytes(changed)


def _odd(value: Value, rng: random.Random) -> Value:
    """The value with something else in one place of it, at any depth."""
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        match rng.randrange(8):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return [*value[:place], rng.choice(ODD), *value[place:]]
            case _:
                return [*value[:place], _odd(value[place], rng), *value[place + 1 :]]
    return rng.choice(ODD)


def _cases(rng: random.Random) -> list[tuple[str, bytes]]:
    vectors = make_vectors()
    plain = [bytes.fromhex(entry["hex"]) for entry in vectors["canonical.json"]]
    frames = [canonical.encode(from_json(entry["fields"])) for entry in vectors["job_frames.json"]]
    bodies = {
        "advert": [ADVERT.to_fields(), DEPARTURE.to_fields()],
        "receipt": [signed_receipt().receipt.to_fields()],
    }
    sealed = {
        "advert": [sign_advert(ADVERT, PROVIDER).raw],
        "renewal": [renewal()],
        "offer": [seal("offer", OFFER.to_fields(), PROVIDER).raw],
        "countersignature": [countersignature()],
    }
    made: list[tuple[str, bytes]] = []
    for round_ in range(ROUNDS):
        made.append(("canonical", _bent(rng.choice(plain), rng)))
        made.append(("canonical", rng.randbytes(rng.randint(0, 6))))
        made.append(("frame", _bent(rng.choice(frames), rng)))
        made.append(("frame", canonical.encode(_odd(canonical.decode(rng.choice(frames)), rng))))
        if round_ % 10 == 0:  # a signature takes some milliseconds there
            for kind, lists in bodies.items():
                made.append((kind, seal(kind, _odd(rng.choice(lists), rng), PROVIDER).raw))
            for kind, raws in sealed.items():
                made.append((kind, _bent(rng.choice(raws), rng)))
    return made


def test_both_say_the_same(tmp_path: Path) -> None:
    cases = _cases(random.Random(20_260_101))
    folder = prepare(tmp_path / "js")
    lines = "".join(f"{kind} {raw.hex()}\n" for kind, raw in cases)
    done = subprocess.run([NODE, "verdicts.mjs"], cwd=folder, input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, theirs = [_verdict(*case) for case in cases], done.stdout.split()
    apart = [
        (kind, raw.hex()[:200], mine, other)
        for (kind, raw), mine, other in zip(cases, ours, theirs, strict=True)
        if mine != other
    ]
    assert apart == []
    assert {"ok", "not_canonical", "bad_schema", "bad_signature", "wrong_network", "bad_peer_id"} <= Counter(
        ours
    ).keys()
