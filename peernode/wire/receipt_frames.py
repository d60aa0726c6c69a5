"""Messages on the protocol ``/peernode/receipts/1``, as canonical lists [type, fields…].

One stream is about one thing: a part that broke off (claim, ask) or the receipts of a request (fetch). It ends with
Done, Records, Nothing or Error. Types from 16 on are about the log (``log_frames``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from peernode.wire import canonical
from peernode.wire.acknowledgement import MAX_ACKNOWLEDGEMENT_BYTES
from peernode.wire.canonical import Value
from peernode.wire.countersignature import MAX_COUNTERSIGNATURE_BYTES
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader
from peernode.wire.log_frames import LOG_DECODERS, GrowthFrame, LogFrame, PathFrame, PlaceFrame
from peernode.wire.receipt import MAX_RECEIPT_BYTES

PROTOCOL = "/peernode/receipts/1"
MAX_RECORDS = 32


@dataclass(frozen=True, slots=True)
class ClaimFrame:
    """coordinator → provider: this is what I have of that part (an acknowledgement); give me a receipt for it.

    ``exact``: that is all. Else a crash took what came after it, and the provider says what it sent.
    """

    request_id: str
    part: int
    acknowledgement: bytes
    exact: bool


@dataclass(frozen=True, slots=True)
class LateReceiptFrame:
    """provider → coordinator: the signed receipt, durable here, and the last acknowledgement that I have, if any."""

    receipt: bytes
    acknowledgement: bytes = b""


@dataclass(frozen=True, slots=True)
class LateCountersignFrame:
    """coordinator → provider: the signed countersignature, durable here."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class DoneFrame:
    """provider → coordinator: the countersignature is durable here."""


@dataclass(frozen=True, slots=True)
class AskFrame:
    """provider → coordinator: what of that part? With my receipt and your last acknowledgement, where there are any."""

    request_id: str
    part: int
    receipt: bytes = b""
    acknowledgement: bytes = b""


@dataclass(frozen=True, slots=True)
class FetchFrame:
    """a party of the job → the other: which receipts do you hold for this request?"""

    request_id: str


@dataclass(frozen=True, slots=True)
class RecordsFrame:
    """The answer: (receipt, countersignature or nothing) of each part that the asking peer is a party of."""

    records: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class NothingFrame:
    """Either way: nothing is owed for that part, as far as this side knows; the conversation is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReceiptErrorFrame:
    """Either way: not now, or not so (a stable code and one sentence); the conversation is over."""

    code: str
    sentence: str


ReceiptTalkFrame: TypeAlias = (
    ClaimFrame
    | LateReceiptFrame
    | LateCountersignFrame
    | DoneFrame
    | AskFrame
    | FetchFrame
    | RecordsFrame
    | NothingFrame
    | ReceiptErrorFrame
    | LogFrame
)


def encode_receipt_frame(frame: ReceiptTalkFrame) -> bytes:
    """The canonical bytes of one frame."""
    fields: list[Value]
    match frame:
        case ClaimFrame(request_id, part, acknowledgement, exact):
            fields = [1, request_id, part, acknowledgement, exact]
        case LateReceiptFrame(receipt, acknowledgement):
            fields = [2, receipt, acknowledgement]
        case LateCountersignFrame(raw):
            fields = [3, raw]
        case DoneFrame():
            fields = [4]
        case AskFrame(request_id, part, receipt, acknowledgement):
            fields = [5, request_id, part, receipt, acknowledgement]
        case FetchFrame(request_id):
            fields = [6, request_id]
        case RecordsFrame(records):
            fields = [7, [list(record) for record in records]]
        case NothingFrame(reason):
            fields = [8, reason[:256]]
        case ReceiptErrorFrame(code, sentence):
            fields = [9, code[:64], sentence[:512]]
        case GrowthFrame() | PlaceFrame() | PathFrame():
            fields = frame.to_fields()
    return canonical.encode(fields)


def decode_receipt_frame(raw: bytes) -> ReceiptTalkFrame:
    """One frame from the wire. Raises NotCanonical or BadSchema."""
    read = FieldReader("receipts frame", canonical.decode(raw))
    kind = read.integer("type")
    decoder = DECODERS.get(kind)
    if decoder is None:
        raise BadSchema("A receipts frame of an unknown type arrived.", cause=f"type {kind}")
    frame = decoder(read)
    read.done()
    return frame


def _request_id(read: FieldReader) -> str:
    return read.text("request_id", least=1, most=64)


def _part(read: FieldReader) -> int:
    return read.integer("part", most=1 << 16)


def _word(read: FieldReader) -> bytes:
    return read.octets("acknowledgement", most=MAX_ACKNOWLEDGEMENT_BYTES)


def _receipt(read: FieldReader) -> bytes:
    return read.octets("receipt", most=MAX_RECEIPT_BYTES)


def _countersignature(read: FieldReader) -> bytes:
    return read.octets("countersignature", most=MAX_COUNTERSIGNATURE_BYTES)


def _record(value: Value) -> tuple[bytes, bytes]:
    read = FieldReader("record", value)
    record = (_receipt(read), _countersignature(read))
    read.done()
    return record


DECODERS: dict[int, Callable[[FieldReader], ReceiptTalkFrame]] = {
    1: lambda read: ClaimFrame(_request_id(read), _part(read), _word(read), read.boolean("exact")),
    2: lambda read: LateReceiptFrame(_receipt(read), _word(read)),
    3: lambda read: LateCountersignFrame(_countersignature(read)),
    4: lambda read: DoneFrame(),
    5: lambda read: AskFrame(_request_id(read), _part(read), _receipt(read), _word(read)),
    6: lambda read: FetchFrame(_request_id(read)),
    7: lambda read: RecordsFrame(read.items("records", _record, most=MAX_RECORDS)),
    8: lambda read: NothingFrame(read.text("reason")),
    9: lambda read: ReceiptErrorFrame(read.text("code", most=64), read.text("sentence", most=512)),
    **LOG_DECODERS,
}
