"""``peernode receipts verify``: receipts, proofs and exports, from their bytes alone; no node and no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.options import HomeOption, JsonOption
from peernode.cli.receipts import find, ledger_of, own_ledger

if TYPE_CHECKING:
    from peernode.cli.receipt_bulk import BulkCheck, Tally
    from peernode.cli.receipt_export import Exported
    from peernode.market.billing import Check

LEDGER_CHECK = "ledger holds the receipt unharmed"
LOG_CHECK = "log of this node is what it signed"
# Of more failures than this only the number is said; --json has all.
MOST_SHOWN = 20


def verify(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID|FILE|DIRECTORY…", help="Request ids in this home; files or directories of files."),
    ] = None,
    home: HomeOption = None,
    whole: Annotated[
        bool, typer.Option("--all", "--from-first", help="Everything in this home, and its log from the first receipt.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check signatures, bills, times, proofs and all else that bytes can prove. Exit code 1 if something fails."""
    from peernode.cli.receipt_files import begins_as

    what = what or []
    if not what and not whole:
        raise typer.BadParameter("name request ids or files, or say --all")
    if len(what) == 1 and not whole:
        path = Path(what[0])
        if what[0].startswith("req_") and not path.exists():
            _say(_verify_in_ledger(what[0], home), "receipt", as_json)
            return
        if not path.is_dir() and (kind := begins_as(path)) != "lines":
            _say(verify_file(path), "proof" if kind == "proof" else "receipt", as_json)
            return
    _verify_many(what, home, whole, as_json)


def verify_file(path: Path) -> list[tuple[Check, ...]]:
    """The checks of each receipt or proof in a file that holds few. Raises BadExport when there is no file to read."""
    from peernode.cli.receipt_export import BadExport, read_document
    from peernode.cli.receipt_files import FILE_CHECK, begins_as, read_small, verify_proof
    from peernode.market.billing import Check

    if begins_as(path) == "proof":
        return [verify_proof(read_small(path))]
    try:
        entries = read_document(read_small(path))
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


def _verify_many(what: Sequence[str], home: Path | None, whole: bool, as_json: bool) -> None:
    from peernode.cli.receipt_bulk import BulkCheck
    from peernode.cli.receipt_files import check_file, files_in

    with BulkCheck() as bulk:
        log = _verify_home(bulk, home) if whole else None
        ids = [name for name in what if name.startswith("req_") and not Path(name).exists()]
        for name in ids:
            _verify_id(bulk, name, home)
        for path in files_in(Path(name) for name in what if name not in ids):
            check_file(bulk, path)
        tally = bulk.finish()
    _sum_up(tally, log, as_json)


def _verify_id(bulk: BulkCheck, request_id: str, home: Path | None) -> None:
    for checks in _verify_in_ledger(request_id, home):
        bulk.tally.receipts += 1
        for check in checks:
            if not check.passed:
                bulk.fail(request_id, check)


def _verify_home(bulk: BulkCheck, home: Path | None) -> dict[str, Any] | None:
    """The whole ledger of a home: its log from the first entry, then every receipt; what the log is, if it is whole."""
    from peernode.ledger.log_errors import LogBroken
    from peernode.ledger.log_verification import verify_log
    from peernode.ledger.receipt_scan import Wanted, scan
    from peernode.market.billing import Check

    with own_ledger(home) as (database, _):
        log = None
        try:
            verified = verify_log(database, whole=True)
            log = {"size": verified.size, "root": verified.root.hex()}
            bulk.tally.logs += 1
        except LogBroken as err:
            bulk.fail("log", Check(LOG_CHECK, False, err.cause or str(err)))
        bulk.receipts((f"receipt {at}", entry) for at, entry in enumerate(scan(database, Wanted()), start=1))
    return log


def _say(groups: Sequence[Sequence[Check]], noun: str, as_json: bool) -> None:
    from peernode.cli.terminal import print_json

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
        _print(groups, noun, failed)
    if failed is not None:
        raise typer.Exit(1)


def _print(groups: Sequence[Sequence[Check]], noun: str, failed: str | None) -> None:
    from peernode.cli.terminal import harmless, say

    for number, group in enumerate(groups):
        if len(groups) > 1:
            say(f"receipt {number + 1} of {len(groups)}")
        for check in group:
            detail = f" ({harmless(check.detail)})" if check.detail else ""
            say(f"{'✓' if check.passed else '✗'} {check.name}{detail}")
    say(f"{noun} verified" if failed is None else f"{noun} NOT verified: {failed}")


def _sum_up(tally: Tally, log: dict[str, Any] | None, as_json: bool) -> None:
    from peernode.cli.terminal import harmless, print_json, say

    failures = [{"where": each.where, "check": each.check.name, "detail": each.check.detail} for each in tally.failures]
    if as_json:
        print_json(
            {
                "verified": not failures,
                "receipts": tally.receipts,
                "countersigned": tally.countersigned,
                "proofs": tally.proofs,
                "logs": tally.logs,
                "log": log,
                "failures": failures,
            }
        )
    else:
        for each in failures[:MOST_SHOWN]:
            say(harmless(f"✗ {each['where']}: {each['check']}" + (f" ({each['detail']})" if each["detail"] else "")))
        if len(failures) > MOST_SHOWN:
            say(f"… and {len(failures) - MOST_SHOWN} more")
        if log is not None:
            say(f"✓ log of {log['size']} receipts, root {log['root']}")
        say(_summary(tally))
    if failures:
        raise typer.Exit(1)


def _summary(tally: Tally) -> str:
    parts = [f"{tally.receipts} receipts, {tally.countersigned} of them countersigned"]
    if tally.proofs:
        parts.append(f"{tally.proofs} proofs")
    if tally.logs:
        parts.append(f"{tally.logs} whole logs" if tally.logs > 1 else "a whole log")
    said = ", ".join(parts)
    return f"{said}: all verified" if not tally.failures else f"{said}: {len(tally.failures)} checks FAILED"
