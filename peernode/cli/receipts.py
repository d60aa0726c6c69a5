"""``peernode receipts list`` and ``show``: straight from the ledger's file; no node needs to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.options import HomeOption, JsonOption, home_at, ledger_at
from peernode.errors import PeernodeError

if TYPE_CHECKING:
    from peernode.ledger import Database, ReceiptRecord, ReceiptStore
    from peernode.wire.identity import Identity

COLUMNS = {
    "time": "time",
    "request_id": "request",
    "part": "part",
    "role": "role",
    "model": "model",
    "tokens": "tokens",
    "credits": "credits",
    "state": "state",
}
REFUSED_COLUMNS = ("time", "request_id", "provider", "reason")


class UnknownReceipt(PeernodeError):
    """The ledger of this home has no receipt of that name."""

    code = "unknown_receipt"


class ExportFailed(PeernodeError):
    """The file could not be written."""

    code = "export_failed"


@contextmanager
def ledger_of(home: Path | None) -> Iterator[ReceiptStore]:
    """The ledger of a home, open for reading."""
    from peernode.ledger import LedgerError, ReceiptStore

    place = ledger_at(home_at(home))
    if isinstance(place, Path):
        if not place.exists():
            raise LedgerError(
                "This home has no ledger yet.", cause=str(place), remedy="Name a node's home with --home DIR."
            )
        store = ReceiptStore.open_readonly(place)
    else:
        from peernode.node.keyfile import load

        store = ReceiptStore.open_readonly(place, own=load(home_at(home).key_file).peer_id)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def own_ledger(home: Path | None, *, write: bool = False) -> Iterator[tuple[Database, Identity]]:
    """The ledger of a home under its node's key, to read it beside a running node, or to write while none runs."""
    from peernode.ledger import Database
    from peernode.node.keyfile import load

    place = home_at(home)
    identity = load(place.key_file)
    with place.occupied() if write else nullcontext():
        opening = Database.open if write else Database.open_readonly
        database = opening(ledger_at(place), own=identity.peer_id)
        try:
            yield database, identity
        finally:
            database.close()


def find(store: ReceiptStore, request_id: str) -> Sequence[ReceiptRecord]:
    """All parts of a request. Raises UnknownReceipt when there are none."""
    records = store.find(request_id)
    if not records:
        raise UnknownReceipt(
            "This home holds no such receipt.", cause=request_id[:80], remedy="`peernode receipts list` shows all."
        )
    return records


def list_receipts(
    home: HomeOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 50,
    before: Annotated[int | None, typer.Option(metavar="MS", help="Recorded before this Unix time in ms.")] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Those that this node, or its coordinator, refused.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List receipts, the newest first."""
    from peernode.cli.terminal import print_json, print_table

    if refused:
        _list_refused(home, limit, as_json)
        return
    with ledger_of(home) as store:
        rows = [_row(record) for record in store.list(limit=limit, before_ms=before)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, {**COLUMNS}, empty="No receipts yet.")


def _list_refused(home: Path | None, limit: int, as_json: bool) -> None:
    """Refusals with their reasons; some never were receipts, so they are a list of their own."""
    from peernode.cli.terminal import print_json, print_table

    with ledger_of(home) as store:
        rows = [
            {
                "time": _time(refusal.recorded_ms),
                "request_id": refusal.request_id,
                "part": refusal.part,
                "provider": refusal.provider,
                "reason": refusal.reason,
            }
            for refusal in store.refusals(limit=limit)
        ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, {name: name for name in REFUSED_COLUMNS}, empty="No receipt was refused.")


def show(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request id, req_…")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write a file that anyone can verify offline.")
    ] = None,
) -> None:
    """Show every signed field of a request's receipts, or write them to a file."""
    from peernode.cli.receipt_export import export_document, render
    from peernode.cli.terminal import aside, print_json

    with ledger_of(home) as store:
        records = find(store, request_id)
    document = export_document(records)
    if export is not None:
        try:
            export.write_bytes(render(document))
        except OSError as err:
            raise ExportFailed(
                "The export cannot be written.", cause=f"{export}: {(err.strerror or '').lower()}"
            ) from err
        aside(f"wrote {export}; check it with: peernode receipts verify {export}")
    if as_json:
        print_json(document)
    elif export is None:
        for record, entry in zip(records, document["receipts"], strict=True):
            _print_record(record, entry["view"])


def _print_record(record: ReceiptRecord, view: dict[str, Any]) -> None:
    from peernode.cli.terminal import harmless, say

    say(f"{record.request_id} part {record.part}: {_state(record)}")
    for title in ("receipt", "countersignature"):
        for name, value in (view[title] or {}).items():
            say(f"  {name:<18} {harmless(json.dumps(value) if isinstance(value, dict) else str(value))}")


def _row(record: ReceiptRecord) -> dict[str, Any]:
    from peernode.edge.settlement import as_credits

    receipt = record.receipt.receipt
    return {
        "time": _time(record.recorded_ms),
        "recorded_ms": record.recorded_ms,
        "request_id": record.request_id,
        "part": record.part,
        "role": record.role,
        "model": receipt.model_id,
        "tokens": receipt.prompt_tokens + receipt.completion_tokens,
        "credits": as_credits(receipt.credits),
        "state": _state(record),
    }


def _state(record: ReceiptRecord) -> str:
    if record.countersignature is not None:
        return "countersigned"
    return f"refused: {record.refused}" if record.refused else "not countersigned"


def _time(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
