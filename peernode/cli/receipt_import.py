"""Reading exports in order to restore them: what verifies is put back, everything else is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peernode.cli.receipt_export import BadExport, read_document
from peernode.cli.receipt_files import begins_as, read_small
from peernode.cli.receipt_lines import Line, read_header, read_lines
from peernode.errors import PeernodeError
from peernode.ledger.log_heads import LogHeads
from peernode.ledger.restoration import restore
from peernode.market.bulk_verification import verify_each
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.errors import WireError
from peernode.wire.proof import EquivocationProof, open_proof
from peernode.wire.receipt import SignedReceipt, open_receipt

if TYPE_CHECKING:
    from peernode.ledger import Database


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt that verifies, and where it was found."""

    where: str
    receipt: SignedReceipt
    countersignature: SignedCountersignature | None


@dataclass(frozen=True, slots=True)
class Refused:
    where: str
    reason: str


@dataclass(slots=True)
class Restored:
    restored: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)


@dataclass(slots=True)
class Files:
    """What was found in them: receipts in the order of providers' chains, proofs against peers, and the rest."""

    receipts: list[Found] = field(default_factory=list)
    proofs: list[EquivocationProof] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def read_files(files: Sequence[Path]) -> Files:
    """Everything in ``files``; taken is only what verifies."""
    read = Files()
    found, refused = read.receipts, read.refused
    for path in files:
        try:
            if begins_as(path) == "proof":
                _read_proof(path, read)
                continue
            for where, receipt, made in _entries(path, refused):
                failed = verify_each([(receipt, made)])[0].failed
                if failed:
                    refused.append(Refused(where, f"{failed[0].name}: {failed[0].detail}"))
                else:
                    found.append(Found(where, open_receipt(receipt), open_countersignature(made) if made else None))
        except BadExport as err:
            refused.append(Refused(str(path), str(err)))
    found.sort(key=lambda each: (each.receipt.receipt.provider, each.receipt.receipt.seq))
    return read


def restore_all(database: Database, files: Files, *, now_ms: int) -> Restored:
    """Put back what belongs into ``database``, and keep the proofs against peers that it did not know of."""
    outcome = Restored(refused=files.refused)
    heads = LogHeads(database)
    for proof in files.proofs:
        if heads.add(proof, now_ms=now_ms):
            outcome.restored += 1
        else:
            outcome.known += 1
    orders = [
        (each, database.writer.submit(partial(restore, signed=each.receipt, made=each.countersignature, now_ms=now_ms)))
        for each in files.receipts
    ]
    for each, future in orders:
        try:
            if future.result():
                outcome.restored += 1
            else:
                outcome.known += 1
        except PeernodeError as err:
            outcome.refused.append(Refused(f"{each.where} {each.receipt.receipt.request_id}", str(err)))
    return outcome


def _read_proof(path: Path, read: Files) -> None:
    try:
        proof = open_proof(read_small(path))
    except WireError as err:
        read.refused.append(Refused(str(path), str(err)))
        return
    if isinstance(proof, EquivocationProof):
        read.proofs.append(proof)
    else:
        read.refused.append(Refused(str(path), "It is no proof against a peer; it needs no keeping."))


def _entries(path: Path, refused: list[Refused]) -> list[tuple[str, bytes, bytes | None]]:
    if begins_as(path) != "lines":
        entries = read_document(read_small(path))
        return [(str(path), entry.receipt, entry.countersignature) for entry in entries]
    found = []
    with path.open("rb") as file:
        read_header(file)
        for line in read_lines(file):
            if isinstance(line, Line):
                found.append((f"{path}:{line.number}", line.receipt, line.countersignature))
            else:
                refused.append(Refused(str(path), str(line)))
    return found
