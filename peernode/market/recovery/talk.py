"""One side of a conversation about receipts: frames, deadlines at every read, typed failures."""

from __future__ import annotations

from typing import TypeVar

from peernode.chat.errors import JobError, ProviderFailed
from peernode.market.patience import COUNTERSIGN_S
from peernode.mesh import FrameStream, MeshError
from peernode.wire.errors import WireError
from peernode.wire.receipt_frames import (
    NothingFrame,
    ReceiptErrorFrame,
    ReceiptTalkFrame,
    decode_receipt_frame,
    encode_receipt_frame,
)

F = TypeVar("F")


class Refused(JobError):
    """The other side ended the conversation with an error; its code is the cause's first word."""

    code = "refused"

    def __init__(self, frame: ReceiptErrorFrame) -> None:
        super().__init__("The other side would not go on.", cause=f"{frame.code}: {frame.sentence[:300]}")
        self.reason = frame.code


class NothingDue(JobError):
    """The other side says that nothing is owed for the part."""

    code = "nothing_due"


class ReceiptTalk:
    """Frames in and out."""

    def __init__(self, stream: FrameStream) -> None:
        self._stream = stream

    @property
    def peer_id(self) -> str:
        return self._stream.peer_id

    async def send(self, frame: ReceiptTalkFrame) -> None:
        """Raises ProviderFailed when the other side is gone."""
        try:
            await self._stream.send(encode_receipt_frame(frame))
        except MeshError as err:
            raise ProviderFailed("The connection to the peer was lost.", cause=str(err)) from err

    async def receive(self, within_s: float = COUNTERSIGN_S) -> ReceiptTalkFrame:
        """The next frame. Raises Refused or NothingDue for such an end, ProviderFailed when none comes."""
        try:
            frame = decode_receipt_frame(await self._stream.receive(within_s))
        except MeshError as err:
            raise ProviderFailed("The peer did not answer.", cause=str(err)) from err
        except WireError as err:
            raise ProviderFailed("The peer sent something that is not about receipts.", cause=str(err)) from err
        if isinstance(frame, ReceiptErrorFrame):
            raise Refused(frame)
        if isinstance(frame, NothingFrame):
            raise NothingDue("Nothing is owed, the peer says.", cause=frame.reason)
        return frame

    async def expect(self, kind: type[F]) -> F:
        """The next frame, which must be of one kind. Raises as ``receive`` does."""
        return of_kind(await self.receive(), kind)


def of_kind(frame: ReceiptTalkFrame, kind: type[F]) -> F:
    """Raises ProviderFailed for a frame that is not in turn."""
    if not isinstance(frame, kind):
        raise ProviderFailed("A receipts frame came out of turn.", cause=type(frame).__name__)
    return frame
