"""Checkpoints and proofs: they hold, they are small, and nothing in them can be changed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.wire import canonical
from peernode.wire.advert import sign_advert
from peernode.wire.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint, sign_checkpoint
from peernode.wire.envelope import seal
from peernode.wire.errors import BadProof, BadSchema, BadSignature, WireError
from peernode.wire.log_head import LogHead, contradiction, head_of_advert, head_of_checkpoint, open_head
from peernode.wire.merkle import Frontier, consistency_path, inclusion_path, leaf_hash, root_of
from peernode.wire.proof import (
    MAX_PROOF_BYTES,
    ConsistencyProof,
    EquivocationProof,
    InclusionProof,
    is_proof,
    open_proof,
)
from peernode.wire.receipt import SignedReceipt, sign_receipt
from tests.samples import PROVIDER, STRANGER, advert, countersigned, receipt, signed_receipt

SIZE = 21


class Log:
    """Receipts of one provider, and every subtree above them."""

    def __init__(self, size: int = SIZE, **changes: object) -> None:
        self.receipts = [chained(seq, **changes) for seq in range(1, size + 1)]
        self.kept: dict[tuple[int, int], bytes] = {}
        frontier = Frontier()
        for index, signed in enumerate(self.receipts):
            self.kept[0, index] = leaf_hash(signed.raw)
            self.kept.update(frontier.append(leaf_hash(signed.raw)))

    def nodes(self, level: int, index: int) -> bytes:
        return self.kept[level, index]

    def checkpoint(self, size: int = SIZE, **changes: object) -> SignedCheckpoint:
        made = Checkpoint("test", PROVIDER.peer_id, size, root_of(size, self.nodes), 1_800_000_000_000)
        return sign_checkpoint(replace(made, **changes), PROVIDER)

    def inclusion(self, index: int = 4, size: int = SIZE) -> InclusionProof:
        path = inclusion_path(index, size, self.nodes)
        return InclusionProof(self.receipts[index], self.checkpoint(size), tuple(path))

    def consistency(self, old: int = 6, new: int = SIZE) -> ConsistencyProof:
        path = consistency_path(old, new, self.nodes)
        return ConsistencyProof(self.checkpoint(old), self.checkpoint(new), tuple(path))


def chained(seq: int, **changes: object) -> SignedReceipt:
    previous = bytes(32) if seq == 1 else bytes([seq]) * 32
    return sign_receipt(receipt(**{"seq": seq, "previous": previous, **changes}), PROVIDER)


def stated(seq: int, size: int, root: bytes) -> LogHead:
    head = head_of_advert(
        sign_advert(replace(advert(), seq=seq, receipts_log_size=size, receipts_log_root=root), PROVIDER)
    )
    assert head is not None
    return head


LOG = Log()
FORK = Log(seed=7)
TWO_ROOTS = EquivocationProof.of(head_of_checkpoint(LOG.checkpoint()), head_of_checkpoint(FORK.checkpoint()))
SHRUNK = EquivocationProof.of(stated(5, 9, b"a" * 32), stated(6, 8, b"b" * 32))
PROOFS = [LOG.inclusion().raw, LOG.consistency().raw, TWO_ROOTS.raw, SHRUNK.raw]


def test_round_trips() -> None:
    assert open_checkpoint(LOG.checkpoint().raw) == LOG.checkpoint()
    assert open_proof(PROOFS[0]) == LOG.inclusion()
    assert open_proof(PROOFS[1]) == LOG.consistency()
    assert open_proof(PROOFS[2]) == TWO_ROOTS
    assert open_proof(PROOFS[3]) == SHRUNK
    assert [is_proof(raw) for raw in PROOFS] == [True] * 4
    assert not is_proof(signed_receipt().raw)
    assert TWO_ROOTS.reason == f"two logs of {SIZE} receipts"
    assert SHRUNK.reason == "its log shrank from 9 to 8 receipts"
    assert TWO_ROOTS.peer == PROVIDER.peer_id


@pytest.mark.parametrize("index", range(SIZE))
def test_every_receipt_is_proven_to_be_in_the_log(index: int) -> None:
    assert open_proof(LOG.inclusion(index).raw) == LOG.inclusion(index)


def test_a_proof_takes_less_than_a_kilobyte_beside_its_receipt() -> None:
    checkpoint = LOG.checkpoint(network="n" * 64)
    beside = canonical.encode(["peernode-proof/1", "inclusion", 1 << 20, bytes(20 * 32), checkpoint.raw, b""])
    assert len(beside) < 1024  # of a million receipts


@pytest.mark.parametrize("raw", [LOG.checkpoint().raw, *PROOFS])
def test_every_flipped_byte_is_refused(raw: bytes) -> None:
    reopen: Callable[[bytes], object] = open_checkpoint if raw == LOG.checkpoint().raw else open_proof
    for place in range(len(raw)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(raw)
            changed[place] ^= mask
            with pytest.raises(WireError):
                reopen(bytes(changed))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PROOFS), st.data())
def test_cut_stretched_and_spliced_proofs_are_refused(raw: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, len(raw)))
    changed = raw[:start] + data.draw(st.binary(max_size=40)) + raw[end:]
    if changed != raw:
        with pytest.raises(WireError):
            open_proof(changed)


def test_proofs_whose_parts_are_of_other_logs_are_refused() -> None:
    good = LOG.inclusion()
    theirs = sign_checkpoint(replace(good.checkpoint.checkpoint, peer=STRANGER.peer_id), STRANGER)
    for changes in (
        {"checkpoint": LOG.checkpoint(network="other")},
        {"checkpoint": FORK.checkpoint()},
        {"checkpoint": LOG.checkpoint(SIZE - 1)},
        {"checkpoint": theirs},
        {"receipt": LOG.receipts[5]},
        {"receipt": FORK.receipts[4]},
    ):
        with pytest.raises(BadProof):
            replace(good, **changes)
    between = LOG.consistency()
    for changes in (
        {"newer": FORK.checkpoint()},
        {"newer": LOG.checkpoint(network="other")},
        {"newer": theirs},
        {"older": between.newer, "newer": between.older},
        {"newer": between.older, "path": ()},
    ):
        with pytest.raises(BadProof):
            replace(between, **changes)


def test_a_checkpoint_counts_only_under_its_own_key_and_for_its_own_kind() -> None:
    made = LOG.checkpoint().checkpoint
    with pytest.raises(BadSignature):
        open_checkpoint(seal("checkpoint", made.to_fields(), STRANGER).raw)
    with pytest.raises(BadSignature):
        open_checkpoint(seal("receipt", made.to_fields(), PROVIDER).raw)
    with pytest.raises(ValueError):
        sign_checkpoint(made, STRANGER)
    for changes in ({"size": 0}, {"root": bytes(31)}, {"network": ""}, {"at_ms": -1}):
        with pytest.raises(BadSchema):
            open_checkpoint(sign_checkpoint(replace(made, **changes), PROVIDER).raw)


def test_only_what_contradicts_itself_is_evidence() -> None:
    first = stated(5, 9, b"a" * 32)
    fine = [
        first,
        stated(6, 9, b"a" * 32),
        stated(6, 10, b"b" * 32),
        stated(4, 8, b"b" * 32),
        # Clocks may be set back: sizes of checkpoints are ordered by nothing.
        head_of_checkpoint(LOG.checkpoint(SIZE - 15, at_ms=2_000_000_000_000)),
        replace(stated(6, 8, b"b" * 32), network="other"),
        replace(stated(6, 8, b"b" * 32), peer=STRANGER.peer_id),
    ]
    for other in fine:
        assert contradiction(first, other) == contradiction(other, first) == ""
        with pytest.raises(BadProof):
            EquivocationProof.of(first, other)
    mixed = head_of_checkpoint(LOG.checkpoint(9))
    assert contradiction(first, mixed) == "two logs of 9 receipts"
    assert open_proof(EquivocationProof.of(first, mixed).raw).reason == "two logs of 9 receipts"  # type: ignore[union-attr]


def test_an_advert_without_a_log_says_nothing() -> None:
    silent = sign_advert(advert(), PROVIDER)
    assert head_of_advert(silent) is None
    with pytest.raises(BadSchema):
        open_head("advert", silent.raw)
    with pytest.raises(BadSchema):
        open_head("receipt", signed_receipt().raw)
    short = sign_advert(replace(advert(), receipts_log_size=3, receipts_log_root=b"short"), PROVIDER)
    assert head_of_advert(short) is None


def test_other_lists_are_no_proofs() -> None:
    first, second = ([head.kind, head.raw] for head in (TWO_ROOTS.first, TWO_ROOTS.second))
    good = LOG.inclusion()
    inclusion = [good.receipt.receipt.seq - 1, b"".join(good.path), good.checkpoint.raw, good.receipt.raw]
    assert open_proof(canonical.encode(["peernode-proof/1", "inclusion", *inclusion]))
    for fields in (
        ["peernode-proof/2", "inclusion", *inclusion],
        ["peernode-proof/1", "exclusion", *inclusion],
        ["peernode-proof/1", "inclusion", *inclusion, 0],
        ["peernode-proof/1", "inclusion", inclusion[0] + 1, *inclusion[1:]],
        ["peernode-proof/1", "inclusion", inclusion[0], inclusion[1] + b"x", *inclusion[2:]],
        ["peernode-proof/1", "inclusion", inclusion[0], inclusion[1] * 65, *inclusion[2:]],
        ["peernode-proof/1", "equivocation", second, first],
        ["peernode-proof/1", "equivocation", first, first],
        ["peernode-proof/1", "equivocation", first, ["receipt", countersigned(signed_receipt()).raw]],
    ):
        with pytest.raises(WireError):
            open_proof(canonical.encode(fields))
    with pytest.raises(WireError):
        open_proof(bytes(MAX_PROOF_BYTES + 1))


def independently(file: Path) -> subprocess.CompletedProcess[str]:
    """What docs/verify_receipt.py says, which shares no code with us and is run without our packages in sight."""
    script = Path(__file__).resolve().parents[2] / "docs" / "verify_receipt.py"
    command = [sys.executable, "-P", str(script), str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=file.parent)


def test_the_independent_script_verifies_a_proof_and_refuses_changed_ones(tmp_path: Path) -> None:
    file = tmp_path / "it.proof"
    for index in (0, 12, SIZE - 1):
        file.write_bytes(LOG.inclusion(index).raw)
        done = independently(file)
        assert done.returncode == 0, done.stderr
        assert f"number {index + 1} of {SIZE} in its log" in done.stdout
        assert f"credits            {LOG.receipts[index].receipt.credits}\n" in done.stdout
    good = LOG.inclusion(12)
    for path, checkpoint, signed in (
        ((*good.path[:-1], bytes(32)), good.checkpoint.raw, good.receipt.raw),
        (good.path, FORK.checkpoint().raw, good.receipt.raw),
        (good.path, good.checkpoint.raw, FORK.receipts[12].raw),
        (good.path, good.checkpoint.raw, good.receipt.raw[:-1] + b"\0"),
        (good.path[:-1], good.checkpoint.raw, good.receipt.raw),
    ):
        fields = ["peernode-proof/1", "inclusion", 12, b"".join(path), checkpoint, signed]
        file.write_bytes(canonical.encode(fields))
        assert independently(file).returncode != 0


def test_the_independent_script_is_short_and_needs_nothing_of_ours() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "verify_receipt.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 65
    assert re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE) == ["sys", "hashlib", "pathlib", "nacl"]
