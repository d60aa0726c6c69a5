"""The protocol ``/peernode/receipts/1``: receipts of parts that broke off are brought home, and fetched.

Both roles, from either end: a coordinator claims what it owes, a provider asks for what it is owed, a party of a job
fetches its receipts. Every step may be repeated; what is settled already is answered the same way again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from peernode.chat.errors import BadRequest, JobError, ReceiptRefused
from peernode.ledger import ReceiptStore
from peernode.ledger.open_jobs import PartKey
from peernode.market.patience import DIAL_S, OFFER_S
from peernode.market.recovery.errors import UnknownPart
from peernode.market.recovery.ordered import OrderedParts
from peernode.market.recovery.provided import ProvidedParts
from peernode.market.recovery.talk import NothingDue, ReceiptTalk, Refused, of_kind
from peernode.mesh import FrameStream, Mesh
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.errors import WireError
from peernode.wire.log_frames import GrowthFrame, LogAsk, PathFrame, PlaceFrame
from peernode.wire.receipt import SignedReceipt
from peernode.wire.receipt_frames import (
    MAX_RECORDS,
    PROTOCOL,
    AskFrame,
    ClaimFrame,
    DoneFrame,
    FetchFrame,
    LateCountersignFrame,
    LateReceiptFrame,
    NothingFrame,
    ReceiptErrorFrame,
    RecordsFrame,
)

log = structlog.get_logger(__name__)

Keep = Callable[[SignedReceipt, SignedCountersignature], Awaitable[None]]
AnswerLog = Callable[[LogAsk], Awaitable[PathFrame]]
# What came of a part.
SETTLED, NOTHING, REFUSED = "settled", "nothing_due", "refused"


class ReceiptService:
    """``keep`` stores a countersignature as this node's provider does, ``answer_log`` proves what is in its log."""

    def __init__(
        self,
        *,
        mesh: Mesh,
        store: ReceiptStore,
        ordered: OrderedParts,
        provided: ProvidedParts,
        keep: Keep,
        answer_log: AnswerLog,
    ) -> None:
        self.ordered = ordered
        self.provided = provided
        self._mesh = mesh
        self._store = store
        self._keep = keep
        self._answer_log = answer_log

    async def handle(self, stream: FrameStream) -> None:
        """One conversation that a peer opened."""
        talk = ReceiptTalk(stream)
        try:
            frame = await talk.receive(OFFER_S)
            match frame:
                case ClaimFrame():
                    await self._answer_claim(talk, frame)
                case AskFrame():
                    await self._answer_ask(talk, frame)
                case FetchFrame(request_id):
                    await talk.send(RecordsFrame(await self._records(request_id, talk.peer_id)))
                case GrowthFrame() | PlaceFrame():
                    await talk.send(await self._answer_log(frame))
                case _:
                    raise BadRequest("That does not open a conversation.", cause=type(frame).__name__)
        except (Refused, NothingDue) as err:
            log.info("receipts_talk_ended", peer=talk.peer_id, reason=str(err))
        except UnknownPart as err:
            await _tell(talk, NothingFrame(err.sentence))
        except (JobError, WireError) as err:
            log.info("receipts_talk_failed", peer=talk.peer_id, code=err.code, reason=str(err))
            await _tell(talk, ReceiptErrorFrame(err.code, err.sentence))

    async def resolve(self, key: PartKey) -> str:
        """Settle one open part with its other party; says what came of it.

        Raises a MeshError or a JobError when nothing can be said now.
        """
        async with self._mesh.open(key.peer, PROTOCOL, timeout_s=DIAL_S, speak_first=True) as stream:
            talk = ReceiptTalk(stream)
            try:
                if key.side == "ordered":
                    await self._claim(talk, key)
                else:
                    await self._ask(talk, key)
            except (NothingDue, UnknownPart):
                self._close(key)
                return NOTHING
            except ReceiptRefused as err:
                await _tell(talk, ReceiptErrorFrame(err.code, err.sentence))
                return REFUSED
            except Refused as err:
                if err.reason != ReceiptRefused.code:
                    raise
                self._close(key)
                return REFUSED
        return SETTLED

    async def fetch(self, peer: str, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
        """Receipts of a request that ``peer`` holds and this node is a party of. Raises a MeshError or a JobError."""
        async with self._mesh.open(peer, PROTOCOL, timeout_s=DIAL_S, speak_first=True) as stream:
            talk = ReceiptTalk(stream)
            await talk.send(FetchFrame(request_id))
            return (await talk.expect(RecordsFrame)).records

    async def _claim(self, talk: ReceiptTalk, key: PartKey) -> None:
        """As coordinator: say what there is, take the receipt for it, countersign."""
        word, exact = await self.ordered.claim_of(key)
        await talk.send(ClaimFrame(key.request_id, key.part, word.raw, exact))
        late = await talk.expect(LateReceiptFrame)
        made = await self.ordered.take(late.receipt, key, late.acknowledgement)
        await talk.send(LateCountersignFrame(made.raw))
        await talk.expect(DoneFrame)

    async def _answer_claim(self, talk: ReceiptTalk, claim: ClaimFrame) -> None:
        """As provider: the receipt for what the coordinator has, and its countersignature in return."""
        key = PartKey("provided", claim.request_id, claim.part, talk.peer_id)
        signed, word = await self.provided.receipt_for(key, claim.acknowledgement, exact=claim.exact)
        await talk.send(LateReceiptFrame(signed.raw, word))
        try:
            made = await talk.expect(LateCountersignFrame)
        except Refused as err:
            if err.reason == ReceiptRefused.code:
                self.provided.close(key)
            raise
        await self._keep_of(key, made.raw)
        await talk.send(DoneFrame())

    async def _ask(self, talk: ReceiptTalk, key: PartKey) -> None:
        """As provider: ask what of a part; take the countersignature, or first sign for what is claimed."""
        receipt, word = await self.provided.held(key)
        await talk.send(AskFrame(key.request_id, key.part, receipt, word))
        frame = await talk.receive()
        if isinstance(frame, ClaimFrame):
            await self._answer_claim(talk, ClaimFrame(key.request_id, key.part, frame.acknowledgement, frame.exact))
            return
        await self._keep_of(key, of_kind(frame, LateCountersignFrame).raw)
        await talk.send(DoneFrame())

    async def _answer_ask(self, talk: ReceiptTalk, ask: AskFrame) -> None:
        """As coordinator: countersign what fits, give again what was given, or claim what there is."""
        key = PartKey("ordered", ask.request_id, ask.part, talk.peer_id)
        try:
            made = await self._countersignature_of(key, ask)
            if made is None:
                await self._claim(talk, key)
                return
        except UnknownPart:
            # It may have been settled just now; that closes it.
            if (paid := await self.ordered.paid(key)) is None:
                raise
            made = paid
        await talk.send(LateCountersignFrame(made.raw))
        await talk.expect(DoneFrame)

    async def _countersignature_of(self, key: PartKey, ask: AskFrame) -> SignedCountersignature | None:
        """The one that there is, or a new one for a receipt that fits. Raises UnknownPart and StillRunning."""
        made = await self.ordered.paid(key)
        if made is None and ask.receipt and await self.ordered.fits(ask.receipt, key, ask.acknowledgement):
            return await self.ordered.take(ask.receipt, key, ask.acknowledgement)
        return made

    async def _keep_of(self, key: PartKey, raw: bytes) -> None:
        made = open_countersignature(raw)
        signed = await self.provided.find(key, made.countersignature.receipt_digest)
        if signed is None:
            raise BadRequest("The countersignature is not for a receipt of this part.")
        await self._keep(signed, made)
        log.info("part_paid", request_id=key.request_id, part=key.part, credits=signed.receipt.credits)

    async def _records(self, request_id: str, peer: str) -> tuple[tuple[bytes, bytes], ...]:
        """What ``peer`` may see: parts that it ordered or provided."""
        found = await trio.to_thread.run_sync(self._store.find, request_id)
        mine = [
            (record.receipt.raw, record.countersignature.raw if record.countersignature else b"")
            for record in found
            if peer in (record.receipt.receipt.coordinator, record.receipt.receipt.provider)
        ]
        return tuple(mine[:MAX_RECORDS])

    def _close(self, key: PartKey) -> None:
        if key.side == "ordered":
            self.ordered.close(key)
        else:
            self.provided.close(key)


async def _tell(talk: ReceiptTalk, frame: NothingFrame | ReceiptErrorFrame) -> None:
    try:
        await talk.send(frame)
    except JobError:
        return  # it is gone; there is nobody to tell
