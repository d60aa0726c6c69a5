"""One side of a job conversation over a mesh stream: frames in turn, deadlines at every read, typed failures."""

from __future__ import annotations

from peernode.chat.errors import JobError, ProviderFailed
from peernode.market.failures import to_peer
from peernode.mesh import FrameStream, FrameTimeout, MeshError
from peernode.wire.conversation import Conversation, Speaker, State
from peernode.wire.errors import WireError
from peernode.wire.job_frames import CancelFrame, JobFrame, decode_frame, encode_frame


class Hush(ProviderFailed):
    """Nothing came within the deadline; the conversation itself is still intact."""

    code = "silence"


class Talk:
    """Sends and receives frames as ``speaker``, holding both sides to the order of the conversation."""

    def __init__(self, stream: FrameStream, *, speaker: Speaker) -> None:
        self._stream = stream
        self._speaker: Speaker = speaker
        self._other: Speaker = "provider" if speaker == "coordinator" else "coordinator"
        self._conversation = Conversation()

    @property
    def peer_id(self) -> str:
        return self._stream.peer_id

    @property
    def state(self) -> State:
        return self._conversation.state

    async def send(self, frame: JobFrame) -> None:
        """Raises ProviderFailed when the other side is gone."""
        self._conversation.observe(self._speaker, frame)
        try:
            await self._stream.send(encode_frame(frame))
        except MeshError as err:
            raise ProviderFailed("The connection to the peer was lost.", cause=str(err)) from err

    async def receive(self, within_s: float) -> JobFrame:
        """The next frame. Raises Hush at the deadline, ProviderFailed when the peer is gone or out of order."""
        try:
            frame = decode_frame(await self._stream.receive(within_s))
            self._conversation.observe(self._other, frame)
        except FrameTimeout as err:
            raise Hush("The peer did not answer in time.", cause=f"{within_s:.1f} s") from err
        except MeshError as err:
            raise ProviderFailed("The connection to the peer was lost.", cause=str(err)) from err
        except WireError as err:
            raise ProviderFailed("The peer sent something that is not part of a job.", cause=str(err)) from err
        return frame

    async def fail(self, err: JobError | WireError) -> None:
        """Tell the peer why this ends, if it still can be told."""
        if self.state in {State.START, State.ENDED}:
            return
        try:
            await self.send(to_peer(err))
        except ProviderFailed:
            return  # it is gone; there is nobody to tell

    async def cancel(self) -> None:
        """Ask the provider to stop. Raises ProviderFailed when it is gone."""
        await self.send(CancelFrame())
