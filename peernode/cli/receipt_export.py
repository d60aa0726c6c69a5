"""The file that carries receipts to somebody else: the exact bytes, and a readable view that must agree with them.

Owns the format ``peernode-receipts/1`` and reads it strictly: what is not in the format makes the file worthless.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peernode.edge.receipt_view import countersignature_fields, receipt_fields
from peernode.errors import PeernodeError
from peernode.market.billing import Check
from peernode.wire.countersignature import open_countersignature
from peernode.wire.receipt import open_receipt

if TYPE_CHECKING:
    from peernode.ledger import ReceiptRecord

FORMAT = "peernode-receipts/1"
MAX_FILE_BYTES = 16 << 20
VIEW_CHECK = "view matches the signed fields"


class BadExport(PeernodeError):
    """Not a file of this format."""

    code = "bad_export"


@dataclass(frozen=True, slots=True)
class Exported:
    """One entry: raw receipt, raw countersignature if there is one, and the view that came with them."""

    receipt: bytes
    countersignature: bytes | None
    view: object = None
    has_view: bool = False


def export_document(records: Sequence[ReceiptRecord]) -> dict[str, Any]:
    """The JSON document for ``records``."""
    return {"format": FORMAT, "receipts": [_entry(record) for record in records]}


def render(document: object) -> bytes:
    """The one way in which a document is written to a file."""
    return (json.dumps(document, indent=2) + "\n").encode("ascii")


def _entry(record: ReceiptRecord) -> dict[str, Any]:
    raw, made = record.receipt.raw, record.countersignature
    return {
        "receipt": base64.b64encode(raw).decode("ascii"),
        "countersignature": base64.b64encode(made.raw).decode("ascii") if made else None,
        "view": view_of(raw, made.raw if made else None),
    }


def view_of(receipt: bytes, countersignature: bytes | None) -> dict[str, Any]:
    """The readable fields of what the bytes say. Raises a WireError when they say nothing."""
    made = open_countersignature(countersignature) if countersignature else None
    return {
        "receipt": receipt_fields(open_receipt(receipt).receipt),
        "countersignature": countersignature_fields(made.countersignature) if made else None,
    }


def read_document(raw: bytes) -> list[Exported]:
    """The entries of a file. Raises BadExport."""
    if len(raw) > MAX_FILE_BYTES:
        raise BadExport("The file is too large.", cause=f"more than {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except RecursionError as err:
        raise BadExport("The file is nested too deeply.") from err
    except ValueError as err:
        raise BadExport("The file is not JSON.", cause=str(err)[:100]) from err
    if render(document) != raw:
        raise BadExport(
            "The file is not as it was exported.", cause="its spacing, spelling of values or line ends differ"
        )
    as_object(document, {"format", "receipts"}, set())
    if document["format"] != FORMAT:
        raise BadExport("The file has another format.", cause=f"not {FORMAT}")
    entries = document["receipts"]
    if not isinstance(entries, list) or not entries:
        raise BadExport("The file holds no receipts.")
    return [_read_entry(entry) for entry in entries]


def check_view(exported: Exported) -> Check:
    """Whether the readable part of an entry says what was signed, type by type."""
    try:
        expected = view_of(exported.receipt, exported.countersignature)
    except PeernodeError as err:
        return Check(VIEW_CHECK, False, str(err))
    # As text, for in Python 1 equals true and 1.0.
    agree = json.dumps(expected, sort_keys=True) == json.dumps(exported.view, sort_keys=True)
    return Check(VIEW_CHECK, agree, "" if agree else "the readable part was changed")


def _read_entry(entry: object) -> Exported:
    fields = as_object(entry, {"receipt", "countersignature"}, {"view"})
    made = fields["countersignature"]
    return Exported(
        octets(fields["receipt"]), None if made is None else octets(made), fields.get("view"), "view" in fields
    )


def octets(value: object) -> bytes:
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as err:
            raise BadExport("The file holds bytes that are not base64.") from err
        if base64.b64encode(raw).decode("ascii") == value:
            return raw
    raise BadExport("The file holds bytes that are not base64.")


def as_object(value: object, needed: set[str], optional: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadExport("The file is not a receipt export.", cause="an object was expected")
    if missing := needed - value.keys():
        raise BadExport("The file is not a receipt export.", cause=f"missing: {', '.join(sorted(missing))}")
    if extra := value.keys() - needed - optional:
        raise BadExport("The file holds what the format does not.", cause=", ".join(sorted(extra))[:100])
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
