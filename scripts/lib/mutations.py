"""Mutated messages of every protocol between nodes, and what a node must make of them: a typed refusal.

Signed messages must never be accepted once a byte has changed. Unsigned ones may happen to say something else,
but only as the one canonical encoding of it. All else (another exception, an accepted forgery) is a ``Broken`` promise.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence

import trio
from vector_values import (
    ADVERT,
    COORDINATOR,
    DEPARTURE,
    NETWORK,
    OFFER,
    PROVIDER,
    acknowledgement,
    countersignature,
    renewal,
    settlement,
    signed_receipt,
)
from vectors import _frames as frames_of_the_vectors

from peernode.mesh import FrameStream, FrameTooLarge, MeshError, StreamClosed
from peernode.mesh.frames import MAX_FRAME_BYTES
from peernode.mesh.sync_messages import (
    Record,
    Records,
    decode,
    encode_enough,
    encode_have,
    encode_records,
    encode_want,
)
from peernode.wire.acknowledgement import open_acknowledgement
from peernode.wire.advert import open_advert, sign_advert
from peernode.wire.countersignature import open_countersignature
from peernode.wire.errors import WireError
from peernode.wire.job_frames import CountersignFrame, OfferFrame, ReceiptFrame, decode_frame, encode_frame
from peernode.wire.offer import open_offer, sign_offer
from peernode.wire.receipt import open_receipt
from peernode.wire.renewal import open_renewal
from peernode.wire.settlement_note import open_settlement_note

# Bytes that begin something long in msgpack, protobuf or a length prefix.
_NASTY = b"\x00\x7f\x80\x8f\x90\x9f\xc0\xc1\xc4\xc6\xc9\xcf\xd3\xd9\xdb\xdc\xdd\xde\xdf\xff"
_LENGTH = struct.Struct(">I")


class Broken(AssertionError):
    """A node took something for good that it must refuse."""


ADVERTS = (sign_advert(ADVERT, PROVIDER).raw, sign_advert(DEPARTURE, PROVIDER).raw)
RENEWAL = renewal()
SIGNED: dict[str, tuple[tuple[bytes, ...], Callable[[bytes], object]]] = {
    "advert": (ADVERTS, lambda raw: open_advert(raw, network=NETWORK)),
    "renewal": ((RENEWAL,), lambda raw: open_renewal(raw, network=NETWORK)),
    "offer": ((sign_offer(OFFER, COORDINATOR),), lambda raw: open_offer(raw, network=NETWORK)),
    "receipt": ((signed_receipt().raw,), open_receipt),
    "countersignature": ((countersignature(),), open_countersignature),
    "settlement": ((settlement(),), lambda raw: open_settlement_note(raw, network=NETWORK)),
    "acknowledgement": ((acknowledgement(),), lambda raw: open_acknowledgement(raw, network=NETWORK)),
}
JOB_FRAMES = tuple(encode_frame(frame) for _, frame in frames_of_the_vectors())
_PEERS = [PROVIDER.peer_id, COORDINATOR.peer_id]
SYNC_MESSAGES = (
    *encode_have(dict.fromkeys(_PEERS, 7)),
    *encode_want(_PEERS),
    *encode_enough(_PEERS),
    *encode_records([Record(5, ADVERTS[0], b""), Record(9, ADVERTS[0], RENEWAL), Record(1, b"", RENEWAL)]),
)


def mutate(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """``raw`` with one to four faults, and none of ``others``."""
    while True:
        out = bytearray(raw)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            _fault(rng, out, rng.choice(others))
        if bytes(out) not in others:
            return bytes(out)


def _fault(rng: random.Random, out: bytearray, other: bytes) -> None:
    at = rng.randrange(len(out) + 1)
    to = min(len(out), at + rng.choice((1, 1, 2, 4, 16, 64)))
    kind = rng.randrange(8)
    if kind == 0 and at < len(out):
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        out[at:to] = rng.randbytes(to - at)
    elif kind == 2:
        out[at : at + 1] = bytes([rng.choice(_NASTY)])
    elif kind == 3:
        del out[at:to]
    elif kind == 4:
        out[at:at] = out[at:to]
    elif kind == 5:
        out[at:at] = rng.randbytes(rng.choice((1, 1, 2, 8, 64)))
    elif kind == 6:
        del out[at:]
    else:
        out[at:] = other[rng.randrange(len(other) + 1) :]


def judge_signed(kind: str, raw: bytes) -> str:
    """What became of a mutated signed message. Raises ``Broken`` if it was accepted."""
    try:
        SIGNED[kind][1](raw)
    except WireError as error:
        return f"{kind}: {error.code}"
    raise Broken(f"a mutated {kind} was accepted: {raw.hex()}")


def _judge_inside(kind: str, raw: bytes) -> None:
    if raw and raw not in SIGNED[kind][0]:
        judge_signed(kind, raw)


def judge_job_frame(raw: bytes) -> str:
    """What became of a mutated job frame. Raises ``Broken`` if a forgery in it was accepted, or it is not canonical."""
    try:
        frame = decode_frame(raw)
    except WireError as error:
        return f"job frame: {error.code}"
    if encode_frame(frame) != raw:
        raise Broken(f"a job frame that is not canonical was read: {raw.hex()}")
    match frame:
        case OfferFrame(inside):
            _judge_inside("offer", inside)
        case ReceiptFrame(inside):
            _judge_inside("receipt", inside)
        case CountersignFrame(inside):
            _judge_inside("countersignature", inside)
    return "job frame: says something else"


def judge_sync_message(raw: bytes) -> str:
    """What became of a mutated sync message. Raises ``Broken`` if a forgery in it was accepted."""
    try:
        message = decode(raw)
    except MeshError as error:
        return f"sync: {error.code}"
    if isinstance(message, Records):
        for record in message.items:
            _judge_inside("advert", record.advert)
            _judge_inside("renewal", record.renewal)
    return "sync: says something else"


class _Recorded:
    """A libp2p stream that delivers recorded bytes in pieces, then ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.muxed_conn = type("Connection", (), {"peer_id": PROVIDER.peer_id})
        self._pieces = pieces

    async def read(self, _: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._pieces:
            raise StreamClosed("The recording is over.")
        return self._pieces.pop(0)

    async def reset(self) -> None:
        self._pieces.clear()


async def judge_frame_stream(rng: random.Random, raw: bytes) -> str:
    """What became of a stream of mutated frames. Raises ``Broken`` if a frame over the limit came out."""
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.randrange(4)))
    pieces = [piece for piece in (raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)) if piece]
    async with trio.open_nursery() as nursery:
        stream = FrameStream(_Recorded(pieces), nursery)  # type: ignore[arg-type]  # as much of a stream as is read
        try:
            while True:
                if len(await stream.receive(5.0)) > MAX_FRAME_BYTES:
                    raise Broken("a frame over the limit came out of a stream")
        except (StreamClosed, FrameTooLarge) as error:
            nursery.cancel_scope.cancel()
            return f"frame stream: {error.code}"
    raise Broken("a stream of frames did not end")


async def run(rounds: int, seed: int) -> Counter[str]:
    """``rounds`` mutated messages of all kinds; how many ended how. Raises ``Broken``, or whatever crashed."""
    rng, ends = random.Random(seed), Counter[str]()
    streams = [b"".join(_LENGTH.pack(len(raw)) + raw for raw in rng.sample(JOB_FRAMES, 3)) for _ in range(8)]
    for _ in range(rounds):
        kind = rng.choice((*SIGNED, "job frame", "job frame", "sync", "sync", "stream"))
        if kind in SIGNED:
            originals = SIGNED[kind][0]
            ends[judge_signed(kind, mutate(rng, rng.choice(originals), originals))] += 1
        elif kind == "job frame":
            ends[judge_job_frame(mutate(rng, rng.choice(JOB_FRAMES), JOB_FRAMES))] += 1
        elif kind == "sync":
            ends[judge_sync_message(mutate(rng, rng.choice(SYNC_MESSAGES), SYNC_MESSAGES))] += 1
        else:
            ends[await judge_frame_stream(rng, mutate(rng, rng.choice(streams), streams))] += 1
    return ends
