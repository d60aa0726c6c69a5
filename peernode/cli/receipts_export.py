"""``peernode receipts export`` and ``import``: many receipts to a plain file, and back into the ledger they are of."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from peernode.cli.options import HomeOption, JsonOption
from peernode.cli.receipts import ExportFailed, own_ledger

if TYPE_CHECKING:
    from peernode.ledger import Database
    from peernode.wire.checkpoint import SignedCheckpoint
    from peernode.wire.identity import Identity

# Of more refusals than this only the number is said; --json has all.
MOST_SHOWN = 20


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - for standard output.")],
    *,
    home: HomeOption = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="Recorded since then: 2026-01-31, 2026-01-31T12:00, or Unix ms."),
    ] = "",
    peer: Annotated[str, typer.Option("--peer", metavar="PEER", help="With this peer on either side.")] = "",
    request: Annotated[str, typer.Option("--request", metavar="ID", help="Of this request.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Write receipts and countersignatures, exactly as they were signed, one a line; all of them unless filtered."""
    from peernode.cli.receipt_lines import header_line, receipt_line
    from peernode.cli.terminal import aside, print_json
    from peernode.ledger.receipt_scan import Wanted, scan

    wanted = Wanted(_milliseconds(since), peer, request)
    count = 0
    with own_ledger(home) as (database, identity), _opened(file) as out:
        made = _checkpoint(database, identity)
        out.write(header_line(made.raw if made else None))
        for receipt, countersignature in scan(database, wanted):
            out.write(receipt_line(receipt, countersignature))
            count += 1
    if as_json and str(file) != "-":
        print_json({"file": str(file), "receipts": count})
    else:
        aside(f"wrote {count} receipts to {file}")


def import_receipts(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Exports of this node's receipts; proofs against peers.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put receipts back into this home's ledger, after a loss, while its node does not run; exit code 1 if any is not.

    Only what verifies and belongs to this node is taken, and its own log only in order, from where it ends here. Of
    proofs, those that a peer keeps two logs: it is avoided from then on.
    """
    from peernode.cli.receipt_import import read_files, restore_all
    from peernode.cli.terminal import harmless, print_json, say

    wanted = read_files(files)
    with own_ledger(home, write=True) as (database, _):
        outcome = restore_all(database, wanted, now_ms=time.time_ns() // 1_000_000)
    if as_json:
        print_json(
            {
                "restored": outcome.restored,
                "known": outcome.known,
                "refused": [{"where": each.where, "reason": each.reason} for each in outcome.refused],
            }
        )
    else:
        for each in outcome.refused[:MOST_SHOWN]:
            say(harmless(f"✗ {each.where}: {each.reason}"))
        if len(outcome.refused) > MOST_SHOWN:
            say(f"… and {len(outcome.refused) - MOST_SHOWN} more")
        say(f"{outcome.restored} restored, {outcome.known} were here already, {len(outcome.refused)} refused")
    if outcome.refused:
        raise typer.Exit(1)


def _checkpoint(database: Database, identity: Identity) -> SignedCheckpoint | None:
    """Over the whole log of this node, so that an export of all of it can be held against one signature."""
    from peernode.ledger.log import ReceiptLog
    from peernode.wire.checkpoint import Checkpoint, sign_checkpoint

    log = ReceiptLog(database)
    size, root = log.head()
    if size == 0:
        return None
    network = log.entry(size).receipt.network
    return sign_checkpoint(Checkpoint(network, identity.peer_id, size, root, time.time_ns() // 1_000_000), identity)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    try:
        with file.open("wb") as out:
            yield out
    except OSError as err:
        raise ExportFailed("The export cannot be written.", cause=f"{file}: {(err.strerror or '').lower()}") from err


def _milliseconds(text: str) -> int:
    """Unix milliseconds; a time without a zone is UTC."""
    if not text or text.isdigit():
        return int(text or 0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as err:
        raise typer.BadParameter(f"{text!r} is no time like 2026-01-31T12:00") from err
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
