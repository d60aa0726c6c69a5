"""libp2p 0.8.1 answers each line of a stream's negotiation with a message of its own.

An opener may send all it has to say at once; its lines are here then when the negotiation begins. Mended by keeping the
answers until there is nothing left to read: they leave as one message. An opener that waits is answered as before.
"""

from __future__ import annotations

from contextlib import suppress

from libp2p.custom_types import StreamHandlerFn, TProtocol
from libp2p.network.stream.net_stream import NetStream
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError, MultiselectError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.utils import encode_delim


class JoinedAnswers(MultiselectCommunicator):
    """Keeps what is written until a read would wait."""

    def __init__(self, stream: NetStream) -> None:
        super().__init__(stream)
        self._kept = b""

    async def write(self, msg_str: str) -> None:
        """Keep a line for later."""
        self._kept += encode_delim((msg_str or "").encode())

    async def read(self) -> str:
        """The next line; if it is not here yet, what was kept leaves first."""
        if not self._is_here():
            await self.flush()
        line: str = await super().read()
        return line

    async def flush(self) -> None:
        """Send what was kept. Raises MultiselectCommunicatorError when the stream is gone."""
        kept, self._kept = self._kept, b""
        if not kept:
            return
        try:
            await self.read_writer.write(kept)
        except Exception as error:
            raise MultiselectCommunicatorError("the answers could not be sent") from error

    def _is_here(self) -> bool:
        """Whether the whole next line has arrived."""
        muxed = self.read_writer.muxed_stream
        buffered = getattr(muxed.muxed_conn, "stream_buffers", {}).get(getattr(muxed, "stream_id", None))
        # A length of more than one byte is no name that is spoken here.
        return buffered is not None and len(buffered) > 0 and len(buffered) > buffered[0] < 0x80


def mend() -> None:
    """Answer a negotiation whose lines are here with one message."""
    original = Multiselect.negotiate

    async def negotiate(
        self: Multiselect, communicator: MultiselectCommunicator, negotiate_timeout: int = 30
    ) -> tuple[TProtocol | None, StreamHandlerFn | None]:
        stream = getattr(communicator, "read_writer", None)
        if not isinstance(stream, NetStream):
            return await original(self, communicator, negotiate_timeout)
        answers = JoinedAnswers(stream)
        try:
            agreed = await original(self, answers, negotiate_timeout)
        except MultiselectError:
            # The opener may still read that its protocol is not spoken here.
            with suppress(MultiselectCommunicatorError):  # it may be gone, and the stream is reset next
                await answers.flush()
            raise
        try:
            await answers.flush()
        except MultiselectCommunicatorError as error:
            raise MultiselectError from error
        return agreed

    Multiselect.negotiate = negotiate
