"""``peernode receipts prove``: files that show strangers what is in a log, that it only grew, or who keeps two."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.options import HomeOption, JsonOption
from peernode.cli.receipts import ExportFailed, UnknownReceipt, own_ledger
from peernode.errors import PeernodeError

if TYPE_CHECKING:
    from peernode.ledger import Database
    from peernode.ledger.log import ReceiptLog
    from peernode.wire.checkpoint import SignedCheckpoint
    from peernode.wire.identity import Identity
    from peernode.wire.proof import Proof


class NothingToProve(PeernodeError):
    """This home does not hold what the proof would be about."""

    code = "nothing_to_prove"


def prove(
    what: Annotated[
        str, typer.Argument(metavar="ID|PEER", help="A request id (req_…), or a peer that was caught with two logs.")
    ] = "",
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="SIZE", min=1, help="Instead: the log only grew since it had SIZE receipts."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Where to; ID.proof if unsaid.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a proof that anyone can verify offline: the receipts of a request are in this node's log, for a start."""
    from peernode.cli.terminal import aside, print_json

    if bool(what) == (since is not None):
        raise typer.BadParameter("name a request id or a peer, or say --since SIZE")
    with own_ledger(home) as (database, identity):
        if since is not None:
            proofs: dict[str, Proof] = {f"log-since-{since}": _growth(database, identity, since)}
        elif what.startswith("req_"):
            proofs = _inclusions(database, identity, what)
        else:
            proofs = {what: _equivocation(database, what)}
    written = []
    for name, proof in proofs.items():
        path = file if file is not None and len(proofs) == 1 else (file or Path()) / f"{name}.proof"
        _write(path, proof.raw)
        written.append({"file": str(path), "bytes": len(proof.raw), **_said(proof)})
    if as_json:
        print_json(written)
        return
    for each in written:
        aside(f"wrote {each['file']}, {each['bytes']} bytes; check it with: peernode receipts verify {each['file']}")


def _inclusions(database: Database, identity: Identity, request_id: str) -> dict[str, Proof]:
    from peernode.ledger import ReceiptStore
    from peernode.ledger.log import ReceiptLog
    from peernode.wire.proof import InclusionProof

    records = ReceiptStore(database).find(request_id)
    if not records:
        raise UnknownReceipt(
            "This home holds no such receipt.", cause=request_id[:80], remedy="`peernode receipts list` shows all."
        )
    own = [record.receipt for record in records if record.receipt.receipt.provider == identity.peer_id]
    if not own:
        provider = records[0].receipt.receipt.provider
        raise NothingToProve(
            "That receipt is not in this node's log.",
            cause=f"its provider is {provider}",
            remedy="Each provider proves its own: run this in its home.",
        )
    log = ReceiptLog(database)
    size = log.size()
    proofs: dict[str, Proof] = {}
    for signed in own:
        receipt = signed.receipt
        made = _checkpoint(log, identity, receipt.network, size)
        name = request_id if len(own) == 1 else f"{request_id}.part{receipt.part}"
        proofs[name] = InclusionProof(signed, made, log.inclusion(receipt.seq, size))
    return proofs


def _growth(database: Database, identity: Identity, old: int) -> Proof:
    from peernode.ledger.log import ReceiptLog
    from peernode.wire.proof import ConsistencyProof

    log = ReceiptLog(database)
    size = log.size()
    if old >= size:
        raise NothingToProve("The log has not grown since then.", cause=f"it has {size} receipts")
    network = log.entry(size).receipt.network
    older, newer = (_checkpoint(log, identity, network, each) for each in (old, size))
    return ConsistencyProof(older, newer, log.consistency(old, size))


def _equivocation(database: Database, peer: str) -> Proof:
    from peernode.ledger.log_heads import LogHeads

    for proof in LogHeads(database).proofs():
        if proof.peer == peer:
            return proof
    raise NothingToProve(
        "Nothing is known against that peer.", cause=peer[:80], remedy="`peernode peers` shows who was caught."
    )


def _checkpoint(log: ReceiptLog, identity: Identity, network: str, size: int) -> SignedCheckpoint:
    """Signed for this proof: what is in the log is durable, and any number of checkpoints of it agree."""
    from peernode.wire.checkpoint import Checkpoint, sign_checkpoint

    now_ms = time.time_ns() // 1_000_000
    return sign_checkpoint(Checkpoint(network, identity.peer_id, size, log.root(size), now_ms), identity)


def _write(path: Path, raw: bytes) -> None:
    try:
        path.write_bytes(raw)
    except OSError as err:
        raise ExportFailed("The proof cannot be written.", cause=f"{path}: {(err.strerror or '').lower()}") from err


def _said(proof: Proof) -> dict[str, Any]:
    from peernode.wire.proof import ConsistencyProof, InclusionProof

    if isinstance(proof, InclusionProof):
        receipt, made = proof.receipt.receipt, proof.checkpoint.checkpoint
        said = {"kind": "inclusion", "request_id": receipt.request_id, "part": receipt.part, "number": receipt.seq}
        return {**said, "size": made.size, "root": made.root.hex(), "peer": made.peer}
    if isinstance(proof, ConsistencyProof):
        old, new = proof.older.checkpoint, proof.newer.checkpoint
        return {"kind": "consistency", "from": old.size, "size": new.size, "root": new.root.hex(), "peer": new.peer}
    return {"kind": "equivocation", "peer": proof.peer, "reason": proof.reason}
