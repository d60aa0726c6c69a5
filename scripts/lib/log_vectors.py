"""Values of logs for the test vectors: a log of a few receipts, its checkpoints, and proofs about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from vector_values import ADVERT, COORDINATOR, NETWORK, NOW_MS, PROVIDER, RECEIPT

from peernode.wire import canonical
from peernode.wire.advert import sign_advert
from peernode.wire.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from peernode.wire.envelope import seal, unseal
from peernode.wire.log_head import LogHead, head_of_advert, head_of_checkpoint
from peernode.wire.merkle import Frontier, Nodes, consistency_path, inclusion_path, leaf_hash, root_of
from peernode.wire.proof import ConsistencyProof, EquivocationProof, InclusionProof
from peernode.wire.receipt import NO_PREVIOUS, SignedReceipt, sign_receipt

Case = tuple[str, bytes, str, str]
SIZE: Final = 7
# Those of the tests of Certificate Transparency.
ENTRIES: Final = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")


def nodes_of(entries: list[bytes]) -> Nodes:
    """Every complete subtree of a log."""
    kept, frontier = {}, Frontier()
    for index, entry in enumerate(entries):
        kept[0, index] = leaf_hash(entry)
        kept.update(frontier.append(kept[0, index]))
    return lambda level, index: kept[level, index]


def receipts() -> list[SignedReceipt]:
    """A provider's first receipts, each chained to the one before."""
    chain: list[SignedReceipt] = []
    for seq in range(1, SIZE + 1):
        previous = chain[-1].digest if chain else NO_PREVIOUS
        body = replace(RECEIPT, request_id=f"req_{seq:026d}", seq=seq, previous=previous)
        chain.append(sign_receipt(body, PROVIDER))
    return chain


_RECEIPTS: Final = receipts()
_NODES: Final = nodes_of([signed.raw for signed in _RECEIPTS])


def checkpoint(size: int = SIZE, **changes: Any) -> SignedCheckpoint:
    made = Checkpoint(NETWORK, PROVIDER.peer_id, size, root_of(size, _NODES), NOW_MS + 60_000 * size)
    return sign_checkpoint(replace(made, **changes), PROVIDER)


def inclusion(index: int = 4) -> InclusionProof:
    return InclusionProof(_RECEIPTS[index], checkpoint(), tuple(inclusion_path(index, SIZE, _NODES)))


def consistency(old: int = 3) -> ConsistencyProof:
    return ConsistencyProof(checkpoint(old), checkpoint(), tuple(consistency_path(old, SIZE, _NODES)))


def equivocations() -> tuple[EquivocationProof, EquivocationProof]:
    """Two roots of one size, and a log that shrank from one advert to the next."""
    roots = head_of_checkpoint(checkpoint()), head_of_checkpoint(checkpoint(root=b"\x07" * 32))
    return EquivocationProof.of(*roots), EquivocationProof.of(_advertised(1, SIZE), _advertised(2, SIZE - 1))


def _advertised(later: int, size: int) -> LogHead:
    root = root_of(size, _NODES)
    body = replace(ADVERT, seq=ADVERT.seq + later, receipts_log_size=size, receipts_log_root=root)
    head = head_of_advert(sign_advert(body, PROVIDER))
    assert head is not None
    return head


def merkle() -> dict[str, Any]:
    """Entries, the root of each size, and every path."""
    entries = [bytes.fromhex(entry) for entry in ENTRIES]
    nodes, sizes = nodes_of(entries), range(1, len(entries) + 1)
    return {
        "entries": list(ENTRIES),
        "roots": [root_of(size, nodes).hex() for size in (0, *sizes)],
        "inclusion": [
            {"index": index, "size": size, "path": _hex(inclusion_path(index, size, nodes))}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"old": old, "new": new, "path": _hex(consistency_path(old, new, nodes))}
            for new in sizes
            for old in range(1, new + 1)
        ],
    }


def proofs() -> list[dict[str, str]]:
    roots, shrunk = equivocations()
    return [
        {"kind": "inclusion", "what": f"receipt 5 of {SIZE}", "hex": inclusion().raw.hex()},
        {"kind": "inclusion", "what": f"the last of {SIZE}", "hex": inclusion(SIZE - 1).raw.hex()},
        {"kind": "consistency", "what": f"from 3 to {SIZE} receipts", "hex": consistency().raw.hex()},
        {"kind": "consistency", "what": f"from 4 to {SIZE} receipts", "hex": consistency(4).raw.hex()},
        {"kind": "equivocation", "what": f"two roots of {SIZE} receipts", "hex": roots.raw.hex()},
        {"kind": "equivocation", "what": "a later advert states fewer receipts", "hex": shrunk.raw.hex()},
    ]


def refused_proofs() -> Iterator[Case]:
    """Proofs and checkpoints that no node may take."""
    good, raw = inclusion(), inclusion().raw
    fields = canonical.decode(raw)
    assert isinstance(fields, list)

    def bent(place: int, value: Any) -> bytes:
        return canonical.encode([*fields[:place], value, *fields[place + 1 :]])

    path = b"".join(good.path)
    yield "proof", raw + b"\0", "not_canonical", "trailing bytes"
    yield "proof", bent(0, "peernode-proof/2"), "bad_schema", "another format"
    yield "proof", bent(1, "exclusion"), "bad_schema", "a kind that does not exist"
    yield "proof", bent(2, 3), "bad_proof", "another place than the receipt's"
    yield "proof", bent(3, path[:-1]), "bad_schema", "a path that is no list of hashes"
    yield "proof", bent(3, path[:-32]), "bad_proof", "a path that is too short"
    yield "proof", bent(3, path + bytes(32)), "bad_proof", "a path that is too long"
    yield "proof", bent(3, path[32:64] + path[:32] + path[64:]), "bad_proof", "a path in another order"
    yield "proof", bent(4, checkpoint(SIZE - 1).raw), "bad_proof", "the checkpoint of another size"
    yield "proof", bent(4, checkpoint(network="other").raw), "bad_proof", "the checkpoint of another network"
    yield "proof", bent(5, _RECEIPTS[3].raw), "bad_proof", "another receipt"
    roots, _ = equivocations()
    pair = [[head.kind, head.raw] for head in (roots.second, roots.first)]
    yield "proof", canonical.encode([fields[0], "equivocation", *pair]), "bad_proof", "two words in the wrong order"
    same = [[head.kind, head.raw] for head in (_as_head(3), _as_head(5))]
    yield "proof", canonical.encode([fields[0], "equivocation", *same]), "bad_proof", "two words that can both be true"
    body = unseal("checkpoint", checkpoint().raw)[1]
    yield (
        "checkpoint",
        seal("checkpoint", body, COORDINATOR).raw,
        "bad_signature",
        "a checkpoint signed by another",
    )
    yield "checkpoint", seal("receipt", body, PROVIDER).raw, "bad_signature", "a checkpoint signed as a receipt"
    yield "checkpoint", checkpoint(root=bytes(31)).raw, "bad_schema", "a root of 31 bytes"
    empty = sign_checkpoint(Checkpoint(NETWORK, PROVIDER.peer_id, 0, bytes(32), NOW_MS), PROVIDER).raw
    yield "checkpoint", empty, "bad_schema", "a checkpoint of no receipts"


def _as_head(size: int) -> LogHead:
    return head_of_checkpoint(checkpoint(size))


def _hex(path: list[bytes]) -> list[str]:
    return [each.hex() for each in path]
