"""The settlement note: a creditor's signed word that a debt was settled outside the ledger, and how much in all.

Fields in signing order: network, creditor, debtor, settled, amount, reference, at_ms. ``settled`` is the sum of the
micro-credits of all notes that this creditor ever signed for this debtor, this one included; it only grows, so the
newest note replaces all older ones and a note that comes twice, or late, changes nothing. ``amount`` is what this one
adds, ``reference`` the operator's own words (an invoice, a transfer).
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.envelope import Envelope, seal, unseal
from peernode.wire.errors import BadSchema, WrongNetwork
from peernode.wire.fields import FieldReader
from peernode.wire.identity import Identity

KIND = "settlement"
MAX_NOTE_BYTES = 2048
MAX_REFERENCE = 256


@dataclass(frozen=True, slots=True)
class SettlementNote:
    network: str
    creditor: str
    debtor: str
    settled: int
    amount: int
    reference: str
    at_ms: int

    def to_fields(self) -> list[Value]:
        return [self.network, self.creditor, self.debtor, self.settled, self.amount, self.reference, self.at_ms]

    @classmethod
    def from_fields(cls, value: Value) -> SettlementNote:
        read = FieldReader("settlement note", value)
        note = cls(
            network=read.text("network", least=1, most=64),
            creditor=read.text("creditor", most=64),
            debtor=read.text("debtor", most=64),
            settled=read.integer("settled", least=1),
            amount=read.integer("amount", least=1),
            reference=read.text("reference", most=MAX_REFERENCE),
            at_ms=read.integer("at_ms"),
        )
        read.done()
        if note.amount > note.settled:
            raise BadSchema(
                "A settlement note adds more than all notes together.", cause=f"{note.amount} of {note.settled}"
            )
        if note.creditor == note.debtor:
            raise BadSchema("A settlement note is between two peers.", cause=note.creditor)
        return note


@dataclass(frozen=True, slots=True)
class SignedSettlementNote:
    note: SettlementNote
    envelope: Envelope

    @property
    def raw(self) -> bytes:
        return self.envelope.raw


def sign_settlement_note(note: SettlementNote, identity: Identity) -> SignedSettlementNote:
    """Raises ValueError when another creditor is named."""
    if note.creditor != identity.peer_id:
        raise ValueError("a creditor signs only for what is owed to itself")
    return SignedSettlementNote(note, seal(KIND, note.to_fields(), identity))


def open_settlement_note(raw: bytes, *, network: str) -> SignedSettlementNote:
    """Decode a note, and check that it is of this network and signed by the creditor it names. Raises a WireError."""
    envelope, fields = unseal(KIND, raw, max_bytes=MAX_NOTE_BYTES)
    note = SettlementNote.from_fields(fields)
    if note.network != network:
        raise WrongNetwork("The settlement note is for another network.", cause=note.network)
    envelope.check_signed_by(note.creditor)
    return SignedSettlementNote(note, envelope)
