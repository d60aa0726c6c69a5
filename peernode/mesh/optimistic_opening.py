"""Opening a stream without waiting for the answers of its negotiation, to a peer that said which protocols it speaks.

multistream-select lets an opener send its header, the protocol and what it has to say in one go: two round trips less
before the first frame. Owns those bytes and the reading of the answers, which come before anything else of the peer.
Source: multistream-select specification 1.0.0; libp2p connections specification, "Protocol Negotiation".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import trio
from libp2p.abc import IHost
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from peernode.mesh.errors import DialFailed

HEADER = "/multistream/1.0.0"
MAX_NAME_BYTES = 126  # one byte of length, the line feed counted


class ByteStream(Protocol):
    """What conversations use of a libp2p stream."""

    @property
    def muxed_conn(self) -> Any: ...  # noqa: ANN401  # untyped in the library
    async def read(self, n: int | None = None) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def close_write(self) -> None: ...
    async def reset(self) -> None: ...


def speaks(host: IHost, peer_id: str, protocol: str) -> bool:
    """Whether the peer said, when it identified itself, that it speaks ``protocol``."""
    try:
        return protocol in host.get_peerstore().get_protocols(ID.from_string(peer_id))
    except PeerStoreError:
        return False


async def open_optimistically(
    host: IHost, peer_id: str, protocol: str, *, answer_by: float, failed: Callable[[bool], None]
) -> OptimisticStream:
    """A stream whose first write carries the negotiation with it. The opener has to speak first.

    ``answer_by`` is a moment on trio's clock; ``failed`` is told whether the peer was silent until then, when the
    negotiation fails. Raises whatever the library raises when the connection is gone.
    """
    stream = await host.get_network().new_stream(ID.from_string(peer_id))
    stream.set_protocol(TProtocol(protocol))
    return OptimisticStream(stream, protocol, answer_by=answer_by, failed=failed)


def below_all(stream: ByteStream) -> NetStream | None:
    """The library's own stream under ``stream``, once nothing is left to do between them; None while there is."""
    if isinstance(stream, OptimisticStream):
        stream = stream.agreed_stream or stream
    return stream if isinstance(stream, NetStream) and isinstance(stream.muxed_stream, YamuxStream) else None


class OptimisticStream:
    """A stream that is negotiated on the way. Reads raise DialFailed when the peer does not take the protocol."""

    def __init__(self, stream: ByteStream, protocol: str, *, answer_by: float, failed: Callable[[bool], None]) -> None:
        self.muxed_conn = stream.muxed_conn
        self._stream = stream
        self._protocol = protocol
        self._answer_by = answer_by
        self._failed = failed
        # What we say and what we must hear are the same words.
        self._negotiation = _line(HEADER) + _line(protocol)
        self._begun = trio.Event()
        self._heard = b""  # of the negotiation, by reads that may have been cancelled since
        self._agreed = False

    @property
    def agreed_stream(self) -> ByteStream | None:
        """The stream below, once the peer has taken the protocol."""
        return self._stream if self._agreed else None

    async def write(self, data: bytes) -> None:
        """Write ``data``, the first time behind the negotiation."""
        if not self._begun.is_set():
            self._begun.set()
            data = self._negotiation + data
        await self._stream.write(data)

    async def read(self, n: int | None = None) -> bytes:
        """What the peer says, from behind its answers on; waits for this side to have begun."""
        if not self._agreed:
            rest = await self._hear()
            self._agreed, self._heard = True, b""
            if rest:
                return rest
        return await self._stream.read(n)

    async def close_write(self) -> None:
        """End this side."""
        if not self._begun.is_set():
            await self.write(b"")
        await self._stream.close_write()

    async def reset(self) -> None:
        """End both sides at once."""
        self._begun.set()
        await self._stream.reset()

    async def _hear(self) -> bytes:
        """What came behind the right answers."""
        await self._begun.wait()
        try:
            with trio.fail_at(self._answer_by):
                return await self._answers()
        except trio.TooSlowError:
            self._failed(True)
            raise DialFailed("The peer did not answer.", cause=f"it did not take {self._protocol} in time") from None
        except Exception:
            self._failed(False)
            raise

    async def _answers(self) -> bytes:
        wanted = self._negotiation
        while len(self._heard) < len(wanted):
            try:
                self._heard += await self._stream.read(1 << 16)
            except StreamEOF:
                raise DialFailed(f"The peer did not open {self._protocol}.", cause="it ended the stream") from None
            if not wanted.startswith(self._heard[: len(wanted)]):
                raise DialFailed(f"The peer does not speak {self._protocol}.", cause="it answered otherwise")
        return self._heard[len(wanted) :]


def _line(name: str) -> bytes:
    """A multistream message: its length as a varint, the name, a line feed. Raises ValueError for a long name."""
    raw = name.encode() + b"\n"
    if len(raw) > MAX_NAME_BYTES + 1:
        raise ValueError("the name of a protocol is too long")
    return bytes([len(raw)]) + raw
