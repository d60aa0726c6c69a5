"""Checking many receipts at once: each from its own bytes, and all of them against each other. Pure.

Together they can show what none shows alone: two receipts at one place of a provider's chain, neighbours that do not
follow each other, and a total that did not grow by what it was signed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from peernode.market.billing import Check
from peernode.market.verification import verify_receipt
from peernode.wire.checkpoint import Checkpoint
from peernode.wire.countersignature import KIND as COUNTERSIGNATURE_KIND
from peernode.wire.countersignature import Countersignature
from peernode.wire.envelope import unseal
from peernode.wire.merkle import Frontier, leaf_hash
from peernode.wire.receipt import KIND as RECEIPT_KIND
from peernode.wire.receipt import Receipt

PRESENT = "countersignature is present"
CHAIN = "receipts of one provider are one chain"
ROOT = "log leads to the root of its checkpoint"
TOTALS = "cumulative totals grow by what they are signed for"

Entry = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Fact:
    """What a verified receipt says that others can contradict.

    ``cumulative`` is None without a countersignature, ``leaf`` its hash as an entry of its provider's log.
    """

    request_id: str
    network: str
    provider: str
    coordinator: str
    seq: int
    previous: bytes
    digest: bytes
    credits: int
    cumulative: int | None
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one receipt: the checks that failed, or else its fact."""

    failed: tuple[Check, ...]
    fact: Fact | None


def verify_each(entries: Sequence[Entry]) -> list[Verdict]:
    """A verdict on each, from its own bytes. A countersignature that is missing is no failure here."""
    return [_verdict(*entry) for entry in entries]


def contradictions(facts: Sequence[Fact]) -> Iterator[tuple[Fact, Check]]:
    """What is wrong between verified receipts, each at the later of two."""
    for one, other in pairwise(sorted(set(facts), key=attrgetter("network", "provider", "seq"))):
        if (one.network, one.provider) != (other.network, other.provider):
            continue
        if one.seq == other.seq:
            yield other, Check(CHAIN, False, f"{one.request_id} has number {one.seq}, too")
        elif one.seq + 1 == other.seq and other.previous != one.digest:
            yield other, Check(CHAIN, False, f"number {other.seq} does not follow {one.request_id}, number {one.seq}")
    counted = [fact for fact in set(facts) if fact.cumulative is not None]
    for one, other in pairwise(sorted(counted, key=attrgetter("network", "coordinator", "provider", "cumulative"))):
        if (one.network, one.coordinator, one.provider) != (other.network, other.coordinator, other.provider):
            continue
        grown = (other.cumulative or 0) - (one.cumulative or 0)
        if grown < other.credits:
            yield other, Check(TOTALS, False, f"by {grown} since {one.request_id}, for {other.credits}")


def check_log(facts: Sequence[Fact], made: Checkpoint) -> Check | None:
    """Whether the receipts of a log lead to the root of a checkpoint; None when they are not all here."""
    log = sorted((fact for fact in facts if fact.provider == made.peer and fact.seq <= made.size), key=_by_seq)
    if [fact.seq for fact in log] != list(range(1, made.size + 1)):
        return None
    frontier = Frontier()
    for fact in log:
        frontier.append(fact.leaf)
    return Check(ROOT, frontier.root() == made.root, f"{made.size} receipts, root {made.root.hex()[:16]}…")


_by_seq = attrgetter("seq")


def _verdict(raw: bytes, countersignature: bytes | None) -> Verdict:
    checks = verify_receipt(raw, countersignature)
    failed = tuple(check for check in checks if not check.passed and check.name != PRESENT)
    return Verdict(failed, None if failed else _fact(raw, countersignature))


def _fact(raw: bytes, countersignature: bytes | None) -> Fact:
    envelope, fields = unseal(RECEIPT_KIND, raw)
    receipt = Receipt.from_fields(fields)
    total = None
    if countersignature is not None:
        total = Countersignature.from_fields(unseal(COUNTERSIGNATURE_KIND, countersignature)[1]).cumulative
    return Fact(
        receipt.request_id,
        receipt.network,
        receipt.provider,
        receipt.coordinator,
        receipt.seq,
        receipt.previous,
        envelope.digest,
        receipt.credits,
        total,
        leaf_hash(raw),
    )
