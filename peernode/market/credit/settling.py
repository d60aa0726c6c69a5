"""Settlement notes on their way: made by the operator's word, brought to debtors over the mesh, taken from creditors.

A note is posted here before it is sent, and posted at the debtor before it is said to be; what is lost between comes
again, and comes to nothing. A debtor that is away gets its note when it is seen again.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from peernode.ledger.line_records import KeptNote
from peernode.ledger.settlements import Settlements
from peernode.market.credit.lines import CreditLines
from peernode.market.credit.repute import Repute
from peernode.mesh import FrameStream, Mesh, MeshError
from peernode.mesh.limits.token_bucket import KeyedBuckets
from peernode.wire.credit_frames import (
    PROTOCOL,
    CreditFrame,
    NoteFrame,
    PostedFrame,
    RefusedFrame,
    decode_credit_frame,
    encode_credit_frame,
)
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.settlement_note import (
    SettlementNote,
    SignedSettlementNote,
    open_settlement_note,
    sign_settlement_note,
)

log = structlog.get_logger(__name__)

DIAL_S = 5.0
ANSWER_S = 10.0
# A debtor that could not be reached is tried again this often, and whenever somebody appears.
AGAIN_S = 60.0
# A note is a row for ever, so a creditor may not bring them without end; those that never served us share one purse.
NOTES_PER_S, NOTES_AT_ONCE = 0.1, 20
BUSY = "busy"


class Settling:
    """Makes, brings and takes notes. ``handle`` serves the protocol, ``run`` brings what is not delivered."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        mesh: Mesh,
        notes: Settlements,
        lines: CreditLines,
        repute: Repute,
        clock_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._network = network
        self._mesh = mesh
        self._notes = notes
        self._lines = lines
        self._repute = repute
        self._clock_ms = clock_ms
        self._refused: dict[str, int] = {}
        self._allowed = KeyedBuckets(per_second=NOTES_PER_S, burst=NOTES_AT_ONCE)

    async def settle(self, debtor: str, amount: int, reference: str) -> tuple[SettlementNote, bool]:
        """Post that ``debtor`` settled ``amount`` micro-credits, and tell it; whether it could be told now."""
        now_ms = self._clock_ms()

        def build(so_far: int) -> SignedSettlementNote:
            note = SettlementNote(
                self._network, self._identity.peer_id, debtor, so_far + amount, amount, reference, now_ms
            )
            return sign_settlement_note(note, self._identity)

        made = await trio.to_thread.run_sync(lambda: self._notes.settle(build, debtor, now_ms=now_ms))
        self._lines.was_paid(debtor, made.note.settled)
        log.info("settled", debtor=debtor, amount=amount, settled=made.note.settled)
        return made.note, await self._bring(debtor, made.note.settled, made.raw)

    async def handle(self, stream: FrameStream) -> None:
        """As debtor: one note, and what became of it."""
        try:
            answer = await self._take(stream)
        except WireError as err:
            log.warning("settlement_refused", peer=stream.peer_id, code=err.code, reason=str(err))
            answer = RefusedFrame(err.code, err.sentence)
        await stream.send(encode_credit_frame(answer))

    async def _take(self, stream: FrameStream) -> CreditFrame:
        frame = decode_credit_frame(await stream.receive(ANSWER_S))
        if not isinstance(frame, NoteFrame):
            return RefusedFrame("out_of_turn", "A note comes first.")
        signed = open_settlement_note(frame.raw, network=self._network)
        note = signed.note
        if (note.creditor, note.debtor) != (stream.peer_id, self._identity.peer_id):
            return RefusedFrame("bad_request", "The note is not by who brought it, or not for this node.")
        known = self._lines.standing(note.creditor).position.taken > 0
        if not self._allowed.take(note.creditor if known else "", trio.current_time()):
            return RefusedFrame(BUSY, "Too many notes came of late.")
        now_ms = self._clock_ms()
        settled = await trio.to_thread.run_sync(lambda: self._notes.post_note(signed, now_ms=now_ms))
        self._lines.has_repaid(note.creditor, settled)
        self._repute.settled(note.creditor)
        log.info("settlement_taken", creditor=note.creditor, amount=note.amount, settled=settled)
        return PostedFrame(settled)

    async def run(self) -> None:
        """Bring notes until cancelled."""
        directory, version = self._mesh.directory, -1
        while True:
            for note in await trio.to_thread.run_sync(self._notes.undelivered):
                if self._refused.get(note.debtor) != note.settled and self._may_be_there(note):
                    await self._bring(note.debtor, note.settled, note.raw)
            with trio.move_on_after(AGAIN_S):
                version = (await directory.wait_change(version)).version
                await trio.sleep(1.0)  # whoever joined is connected by then; many join at once

    def _may_be_there(self, note: KeptNote) -> bool:
        connected = {status.peer_id for status in self._mesh.peers()}
        return note.debtor in connected or note.debtor in self._mesh.directory.snapshot().adverts

    async def _bring(self, debtor: str, settled: int, raw: bytes) -> bool:
        try:
            async with self._mesh.open(debtor, PROTOCOL, timeout_s=DIAL_S) as stream:
                await stream.send(encode_credit_frame(NoteFrame(raw)))
                answer = decode_credit_frame(await stream.receive(ANSWER_S))
        except (MeshError, WireError) as err:
            log.info("settlement_waits", debtor=debtor, reason=str(err))
            return False
        if isinstance(answer, PostedFrame) and answer.settled >= settled:
            await trio.to_thread.run_sync(self._notes.delivered, debtor, settled)
            return True
        if not isinstance(answer, RefusedFrame) or answer.code != BUSY:
            self._refused[debtor] = settled  # not again in this life: it will not change its mind
        log.warning("settlement_refused_by_debtor", debtor=debtor, answer=type(answer).__name__)
        return False
