"""Files that can be verified: exports by the line, documents of one request, proofs; told apart by how they begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from peernode.cli.receipt_bulk import BulkCheck, Named
from peernode.cli.receipt_export import MAX_FILE_BYTES, BadExport, check_view, read_document
from peernode.cli.receipt_lines import BEGINNING, Line, read_header, read_lines
from peernode.market.billing import Check
from peernode.market.bulk_verification import PRESENT
from peernode.market.verification import verify_receipt
from peernode.wire.checkpoint import Checkpoint, open_checkpoint
from peernode.wire.errors import WireError
from peernode.wire.proof import ConsistencyProof, InclusionProof, is_proof, open_proof

FILE_CHECK = "file is a receipt export"
PROOF_CHECK = "proof holds"
CHECKPOINT_CHECK = "checkpoint of the export is signed"


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves; of a directory all in it and below that are not hidden, in order of their names."""
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith("."))
        else:
            yield path


def begins_as(path: Path) -> str:
    """``lines``, ``proof``, or ``document`` for anything else. Raises BadExport when there is no file to read."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as err:
        raise BadExport(
            "The file cannot be read.",
            cause=f"{path}: {(err.strerror or '').lower()}",
            remedy="Name request ids (req_…), files that `peernode receipts` wrote, or directories of them.",
        ) from err
    if start.startswith(BEGINNING):
        return "lines"
    return "proof" if is_proof(start) else "document"


def read_small(path: Path) -> bytes:
    """The bytes of a file that holds one thing; one byte more than is allowed where it is too long."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def verify_proof(raw: bytes) -> tuple[Check, ...]:
    """What a proof says, and whether it holds; of a receipt in it, too, what its own bytes can show."""
    try:
        proof = open_proof(raw)
    except WireError as err:
        return (Check(PROOF_CHECK, False, str(err)),)
    if isinstance(proof, InclusionProof):
        receipt, made = proof.receipt.receipt, proof.checkpoint.checkpoint
        said = f"{receipt.request_id} is number {receipt.seq} of {made.size} in the log of {made.peer}"
        own = [check for check in verify_receipt(proof.receipt.raw, None) if check.name != PRESENT]
        return (Check(PROOF_CHECK, True, said), *own)
    if isinstance(proof, ConsistencyProof):
        older, newer = proof.older.checkpoint, proof.newer.checkpoint
        said = f"the log of {newer.peer} only grew, from {older.size} to {newer.size} receipts"
    else:
        said = f"{proof.peer} contradicts itself: {proof.reason}"
    return (Check(PROOF_CHECK, True, said),)


def check_file(bulk: BulkCheck, path: Path) -> None:
    """Check all that a file holds, as one of many."""
    where = str(path)
    try:
        kind = begins_as(path)
        if kind == "lines":
            _check_lines(bulk, path)
        elif kind == "proof":
            bulk.tally.proofs += 1
            for check in verify_proof(read_small(path)):
                if not check.passed:
                    bulk.fail(where, check)
        else:
            entries = read_document(read_small(path))
            bulk.receipts((where, (entry.receipt, entry.countersignature)) for entry in entries)
            for check in (check_view(entry) for entry in entries if entry.has_view):
                if not check.passed:
                    bulk.fail(where, check)
    except BadExport as err:
        bulk.fail(where, Check(FILE_CHECK, False, str(err)))


def _check_lines(bulk: BulkCheck, path: Path) -> None:
    with path.open("rb") as file:
        made = _checkpoint(bulk, str(path), read_header(file))
        bulk.receipts(_named(bulk, str(path), read_lines(file)), made)


def _checkpoint(bulk: BulkCheck, where: str, raw: bytes | None) -> Checkpoint | None:
    if raw is None:
        return None
    try:
        return open_checkpoint(raw).checkpoint
    except WireError as err:
        bulk.fail(where, Check(CHECKPOINT_CHECK, False, str(err)))
        return None


def _named(bulk: BulkCheck, where: str, lines: Iterator[Line | BadExport]) -> Iterator[Named]:
    for line in lines:
        if isinstance(line, BadExport):
            bulk.fail(where, Check(FILE_CHECK, False, str(line)))
        else:
            yield f"{where}:{line.number}", (line.receipt, line.countersignature)
