"""``peernode receipts verify``: every check of a receipt by name, from its bytes alone; no node and no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peernode.cli.options import HomeOption, JsonOption
from peernode.cli.receipts import find, ledger_of

if TYPE_CHECKING:
    from peernode.cli.receipt_export import Exported
    from peernode.market.billing import Check

FILE_CHECK = "file is a receipt export"
LEDGER_CHECK = "ledger holds the receipt unharmed"


def verify(
    what: Annotated[str, typer.Argument(metavar="ID|FILE", help="A request id in this home, or an exported file.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check signatures, bill, times and everything else that a receipt's bytes can prove. Exit code 1 if one fails."""
    from peernode.cli.terminal import print_json

    path = Path(what)
    groups = verify_file(path) if not what.startswith("req_") or path.is_file() else _verify_in_ledger(what, home)
    failed = next((check.name for group in groups for check in group if not check.passed), None)
    if as_json:
        print_json(
            {
                "verified": failed is None,
                "failed": failed,
                "receipts": [
                    [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in group]
                    for group in groups
                ],
            }
        )
    else:
        _print(groups, failed)
    if failed is not None:
        raise typer.Exit(1)


def verify_file(path: Path) -> list[tuple[Check, ...]]:
    """The checks of each receipt in an exported file. Raises BadExport when there is no file to read."""
    from peernode.cli.receipt_export import MAX_FILE_BYTES, BadExport, read_document
    from peernode.market.billing import Check

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as err:
        raise BadExport(
            "The file cannot be read.",
            cause=f"{path}: {(err.strerror or '').lower()}",
            remedy="Name a request id (req_…) or a file that `peernode receipts show ID --export FILE` wrote.",
        ) from err
    try:
        entries = read_document(raw)
    except BadExport as err:
        return [(Check(FILE_CHECK, False, str(err)),)]
    return [verify_entry(entry) for entry in entries]


def verify_entry(entry: Exported) -> tuple[Check, ...]:
    """All checks of one entry; the view is held against the bytes when there is one."""
    from peernode.cli.receipt_export import check_view
    from peernode.market.verification import verify_receipt

    checks = verify_receipt(entry.receipt, entry.countersignature)
    return (*checks, check_view(entry)) if entry.has_view else checks


def _verify_in_ledger(request_id: str, home: Path | None) -> list[tuple[Check, ...]]:
    from peernode.market.billing import Check
    from peernode.market.verification import verify_receipt
    from peernode.wire.errors import WireError

    with ledger_of(home) as store:
        try:
            records = find(store, request_id)
        except WireError as err:  # the store opens what it holds, and what it holds was changed
            return [(Check(LEDGER_CHECK, False, str(err)),)]
    return [
        verify_receipt(record.receipt.raw, record.countersignature.raw if record.countersignature else None)
        for record in records
    ]


def _print(groups: Sequence[Sequence[Check]], failed: str | None) -> None:
    from peernode.cli.terminal import harmless, say

    for number, group in enumerate(groups):
        if len(groups) > 1:
            say(f"receipt {number + 1} of {len(groups)}")
        for check in group:
            detail = f" ({harmless(check.detail)})" if check.detail else ""
            say(f"{'✓' if check.passed else '✗'} {check.name}{detail}")
    say("receipt verified" if failed is None else f"receipt NOT verified: {failed}")
