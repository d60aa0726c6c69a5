"""Everything that is signed about money, and how the side that would be cheated takes it in.

An ``Exhibit`` is a kind of object: a genuine one in its context, others that are genuine elsewhere, and ``take``,
which is what a node does with bytes that claim to be this one. Taking in anything but the original is a broken promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from log_vectors import checkpoint, consistency, equivocations, inclusion
from vector_values import (
    CARD,
    COORDINATOR,
    FULL_REQUEST,
    IDS,
    NETWORK,
    OFFER,
    PROVIDER,
    RECEIPT,
    STRANGER,
    TEXT,
    acknowledgement,
    settlement,
    signed_receipt,
)
from vector_values import countersignature as total
from vectors import FIELDS

from peernode.chat.errors import BadRequest
from peernode.engine import ModelFacts
from peernode.market.billing import Delivered, check_receipt
from peernode.market.recovery.extent import Extent, Trail
from peernode.market.recovery.provided import check_countersignature
from peernode.market.recovery.terms import Terms
from peernode.wire.acknowledgement import open_acknowledgement, sign_acknowledgement
from peernode.wire.checkpoint import open_checkpoint
from peernode.wire.countersignature import open_countersignature, sign_countersignature
from peernode.wire.errors import BadProof
from peernode.wire.identity import Identity
from peernode.wire.log_head import contradiction, head_of_checkpoint
from peernode.wire.offer import sign_offer
from peernode.wire.proof import open_proof
from peernode.wire.receipt import open_receipt, sign_receipt
from peernode.wire.settlement_note import open_settlement_note, sign_settlement_note

OTHER_NETWORK: Final = "another"


@dataclass(frozen=True)
class Exhibit:
    """``others`` are genuine, each about something else; ``signer`` is None where nothing is signed as a whole.

    ``bound`` are the fields (by place) that even their own signer cannot change without being refused.
    """

    kind: str
    raw: bytes
    take: Callable[[bytes], object]
    others: tuple[bytes, ...]
    signer: Identity | None
    bound: tuple[int, ...] = ()


def _same(found: object, wanted: object) -> None:
    if found != wanted:
        raise BadRequest("It is about something else.")


def _receipt() -> Exhibit:
    """A coordinator's desk, which knows what it ordered and what came."""
    delivered = Delivered(IDS, TEXT, RECEIPT.finish_reason)

    def take(raw: bytes) -> None:
        check_receipt(open_receipt(raw).receipt, OFFER, FULL_REQUEST, CARD, delivered)

    elsewhere: list[dict[str, Any]] = [
        {"network": OTHER_NETWORK},
        {"request_id": "req_another"},
        {"part": 0},
        {"coordinator": STRANGER.peer_id},
        {"seed": 7},
        {"credits": RECEIPT.credits + 1},
        {"completion_tokens": len(IDS) + 1},
    ]
    others = (
        *(sign_receipt(replace(RECEIPT, **changes), PROVIDER).raw for changes in elsewhere),
        inclusion().receipt.raw,
    )
    # What the provider alone knows: its template and sampler, its clock, its chain, and how long the prompt was to it.
    free = {"template_digest", "sampler", "prompt_tokens", "cached_tokens", "seq", "previous"}
    free |= {"accepted_ms", "first_token_ms", "finished_ms"}
    names = FIELDS["receipt"].split()
    bound = tuple(place for place, name in enumerate(names) if name not in free)
    return Exhibit("receipt", signed_receipt().raw, take, others, PROVIDER, bound)


def _countersignature() -> Exhibit:
    """A provider that waits for the one of its receipt."""
    mine, made = signed_receipt(), open_countersignature(total()).countersignature

    def take(raw: bytes) -> None:
        check_countersignature(open_countersignature(raw), mine)

    elsewhere: list[dict[str, Any]] = [
        {"network": OTHER_NETWORK},
        {"provider": STRANGER.peer_id},
        {"receipt_digest": inclusion().receipt.digest},
    ]
    others = tuple(sign_countersignature(replace(made, **changes), COORDINATOR).raw for changes in elsewhere)
    return Exhibit("countersignature", total(), take, others, COORDINATOR, (0, 1, 2, 3))


def _settlement() -> Exhibit:
    """A debtor, to whom its creditor brings a note."""
    note = open_settlement_note(settlement(), network=NETWORK).note

    def take(raw: bytes) -> None:
        body = open_settlement_note(raw, network=NETWORK).note
        _same((body.creditor, body.debtor), (note.creditor, note.debtor))

    elsewhere: list[dict[str, Any]] = [{"network": OTHER_NETWORK}, {"debtor": STRANGER.peer_id}]
    others = [sign_settlement_note(replace(note, **changes), PROVIDER).raw for changes in elsewhere]
    theirs = replace(note, creditor=STRANGER.peer_id)
    others.append(sign_settlement_note(theirs, STRANGER).raw)
    return Exhibit("settlement note", settlement(), take, tuple(others), PROVIDER, (0, 1, 2))


def _acknowledgement() -> Exhibit:
    """A provider in the middle of a part, which knows its offer and what it sent."""
    sent = open_acknowledgement(acknowledgement(), network=NETWORK).body
    facts = ModelFacts(
        CARD.id, Path(), CARD.digest, CARD.architecture, CARD.parameters, CARD.quantization, CARD.context_length,
        RECEIPT.template_digest, RECEIPT.sampler_version, 0,
    )  # fmt: skip
    terms = Terms.provided(OFFER, FULL_REQUEST, facts, offer_digest=sent.offer_digest, accepted_ms=RECEIPT.accepted_ms)
    trail = Trail(prompt=(sent.prompt_tokens, sent.cached_tokens))
    trail.add(IDS[:2], TEXT[:3])
    trail.add(IDS[2:], TEXT[3:])

    def take(raw: bytes) -> None:
        body = open_acknowledgement(raw, network=NETWORK).body
        if not terms.is_of(body) or not trail.passed(Extent.acknowledged(body)) or body.tokens < len(IDS):
            raise BadRequest("The acknowledgement is not of what was sent.")

    elsewhere: list[dict[str, Any]] = [
        {"network": OTHER_NETWORK},
        {"part": 0},
        {"offer_digest": bytes(32)},
        {"tokens": sent.tokens + 1},
        {"tokens": 0},
    ]
    others = tuple(sign_acknowledgement(replace(sent, **changes), COORDINATOR).raw for changes in elsewhere)
    return Exhibit("acknowledgement", acknowledgement(), take, others, COORDINATOR, tuple(range(11)))


def _checkpoint() -> Exhibit:
    """Somebody who remembers this peer's word on its log."""
    mine = open_checkpoint(checkpoint().raw)
    remembered = head_of_checkpoint(mine)

    def take(raw: bytes) -> None:
        head = head_of_checkpoint(open_checkpoint(raw))
        _same((head.network, head.peer, head.size), (remembered.network, remembered.peer, remembered.size))
        if reason := contradiction(remembered, head):
            raise BadProof(reason)

    others = (checkpoint(3).raw, checkpoint(network=OTHER_NETWORK).raw, checkpoint(root=bytes(32)).raw)
    return Exhibit("checkpoint", mine.raw, take, others, PROVIDER, (0, 1, 2, 3))


def _proofs() -> list[Exhibit]:
    roots, shrunk = equivocations()
    return [
        Exhibit("inclusion proof", inclusion().raw, open_proof, (checkpoint().raw,), None),
        Exhibit("consistency proof", consistency().raw, open_proof, (checkpoint().raw,), None),
        Exhibit("equivocation proof", roots.raw, open_proof, (sign_offer(OFFER, COORDINATOR),), None),
        Exhibit("proof of a shrunk log", shrunk.raw, open_proof, (signed_receipt().raw,), None),
    ]


def exhibits() -> list[Exhibit]:
    """All of them; each takes in its original."""
    makers = (_receipt, _countersignature, _settlement, _acknowledgement, _checkpoint)
    return [*(make() for make in makers), *_proofs()]
