"""The file that carries many receipts: JSON lines, a header and then one receipt a line.

Owns the format ``peernode-export/1`` and reads it strictly: what is not exactly as it would have been written is
refused. The header may carry a checkpoint of the exporter, so that a whole log can be held against its root.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from peernode.cli.receipt_export import BadExport, as_object, octets

FORMAT = "peernode-export/1"
BEGINNING = b'{"format":"' + FORMAT.encode() + b'"'
# A receipt of 16 KiB and a countersignature of 2 KiB, in base64, and some words.
MAX_LINE_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One receipt, and the number of its line."""

    number: int
    receipt: bytes
    countersignature: bytes | None


def header_line(checkpoint: bytes | None) -> bytes:
    return _written({"format": FORMAT, "checkpoint": _text(checkpoint)})


def receipt_line(receipt: bytes, countersignature: bytes | None) -> bytes:
    return _written({"receipt": _text(receipt), "countersignature": _text(countersignature)})


def read_header(file: BinaryIO) -> bytes | None:
    """The checkpoint of the file, if it has one. Raises BadExport."""
    fields = _read(file.readline(MAX_LINE_BYTES + 1), 1, {"format", "checkpoint"})
    if fields["format"] != FORMAT:
        raise BadExport("The file has another format.", cause=f"not {FORMAT}")
    return None if fields["checkpoint"] is None else octets(fields["checkpoint"])


def read_lines(file: BinaryIO) -> Iterator[Line | BadExport]:
    """The receipts behind the header; a line that is none is told of, and those behind it are read all the same."""
    number = 1
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        try:
            fields = _read(raw, number, {"receipt", "countersignature"})
            made = fields["countersignature"]
            yield Line(number, octets(fields["receipt"]), None if made is None else octets(made))
        except BadExport as err:
            yield BadExport(err.sentence, cause=f"line {number}: {err.cause or 'it is no receipt'}")
            if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                return


def _read(raw: bytes, number: int, keys: set[str]) -> dict[str, Any]:
    if len(raw) > MAX_LINE_BYTES:
        raise BadExport("A line of the file is too long.", cause=f"line {number} has more than {MAX_LINE_BYTES} bytes")
    try:
        fields = as_object(json.loads(raw.decode("ascii")), keys, set())
    except (ValueError, RecursionError) as err:
        raise BadExport("A line of the file is not JSON.", cause=f"line {number}") from err
    if _written(fields) != raw:
        raise BadExport("A line of the file is not as it was exported.", cause=f"line {number}")
    return fields


def _written(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, separators=(",", ":")) + "\n").encode("ascii")


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode("ascii")
