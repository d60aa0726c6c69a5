"""Messages on the protocol ``/peernode/credit/1``, as canonical lists [type, fields…], each in one frame of the mesh.

A creditor opens the stream and sends a note; the debtor answers with the newest total that it has posted, or an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader
from peernode.wire.settlement_note import MAX_NOTE_BYTES

PROTOCOL = "/peernode/credit/1"
MAX_CREDIT_FRAME_BYTES = 4096


@dataclass(frozen=True, slots=True)
class NoteFrame:
    """creditor → debtor: a settlement note's envelope."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class PostedFrame:
    """debtor → creditor: everything up to this settled total is durable here."""

    settled: int


@dataclass(frozen=True, slots=True)
class RefusedFrame:
    """debtor → creditor: why the note was not posted."""

    code: str
    sentence: str


CreditFrame: TypeAlias = NoteFrame | PostedFrame | RefusedFrame


def encode_credit_frame(frame: CreditFrame) -> bytes:
    fields: list[Value]
    match frame:
        case NoteFrame(raw):
            fields = [1, raw]
        case PostedFrame(settled):
            fields = [2, settled]
        case RefusedFrame(code, sentence):
            fields = [3, code[:64], sentence[:512]]
    return canonical.encode(fields)


def decode_credit_frame(raw: bytes) -> CreditFrame:
    """One frame from the wire. Raises NotCanonical or BadSchema."""
    read = FieldReader("credit frame", canonical.decode(raw, max_bytes=MAX_CREDIT_FRAME_BYTES))
    kind = read.integer("type")
    frame: CreditFrame
    if kind == 1:
        frame = NoteFrame(read.octets("note", most=MAX_NOTE_BYTES))
    elif kind == 2:
        frame = PostedFrame(read.integer("settled"))
    elif kind == 3:
        frame = RefusedFrame(read.text("code", most=64), read.text("sentence", most=512))
    else:
        raise BadSchema("A credit frame of an unknown type arrived.", cause=f"type {kind}")
    read.done()
    return frame
