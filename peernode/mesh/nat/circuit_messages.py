"""The messages of circuit relay v2 and DCUtR: protobuf behind a varint length, bounded before it is allocated.

Specs: libp2p/specs relay/circuit-v2.md and relay/DCUtR.md. Owns reading and writing one message with a deadline; the
schemas are the library's.
"""

from __future__ import annotations

import contextlib
from typing import TypeVar

import trio
from google.protobuf.message import DecodeError, Message
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamError
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, StopMessage
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode, to_proto_status
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited

from peernode.mesh.nat.errors import RelayRefused

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
DCUTR = "/libp2p/dcutr"
MAX_MESSAGE_BYTES = 4096
MESSAGE_DEADLINE_S = 5.0
LEAVE_DEADLINE_S = 2.0

OK = 100
REFUSED = 200
OVER_LIMIT = 201
NOT_ALLOWED = 202
FAILED = 203
NO_RESERVATION = 204
MALFORMED = 400
_NAMES = {
    REFUSED: "reservation refused",
    OVER_LIMIT: "its limits are reached",
    NOT_ALLOWED: "not allowed",
    FAILED: "the connection failed",
    NO_RESERVATION: "the peer has no reservation there",
    MALFORMED: "malformed message",
}
SomeMessage = TypeVar("SomeMessage", bound=Message)


async def read_message(
    stream: INetStream, kind: type[SomeMessage], *, deadline_s: float = MESSAGE_DEADLINE_S
) -> SomeMessage:
    """One message. Raises ``RelayRefused`` when there is none in time, or it is over 4 KiB or not of this kind."""
    message = kind()
    try:
        with trio.fail_after(deadline_s):
            message.ParseFromString(await read_varint_prefixed_bytes_limited(stream, MAX_MESSAGE_BYTES))
    except trio.TooSlowError:
        raise RelayRefused("The peer said nothing in time.", cause=f"no message within {deadline_s:g} s") from None
    except DecodeError as error:
        raise RelayRefused("The peer's message makes no sense.", cause=str(error)) from error
    except Exception as error:
        raise RelayRefused("The stream ended in the middle of a message.", cause=repr(error)) from error
    return message


async def write_message(stream: INetStream, message: Message, *, deadline_s: float = MESSAGE_DEADLINE_S) -> None:
    """Send one message. Raises ``RelayRefused`` when it does not leave in time."""
    try:
        with trio.fail_after(deadline_s):
            await stream.write(encode_varint_prefixed(message.SerializeToString()))
    except trio.TooSlowError:
        raise RelayRefused("The peer took no message in time.", cause=f"deadline {deadline_s:g} s") from None
    except Exception as error:
        raise RelayRefused("The stream is gone.", cause=repr(error)) from error


def hop_status(code: int) -> HopMessage:
    """A relay's answer."""
    return HopMessage(type=HopMessage.STATUS, status=to_proto_status(StatusCode(code)))


def stop_status(code: int) -> StopMessage:
    """The called peer's answer to its relay."""
    return StopMessage(type=StopMessage.STATUS, status=to_proto_status(StatusCode(code)))


def check_ok(message: HopMessage | StopMessage) -> None:
    """Raises ``RelayRefused`` unless the message is a status that says yes."""
    if message.type != type(message).STATUS or message.status != OK:
        raise RelayRefused("The relay said no.", cause=_NAMES.get(message.status, f"status {message.status}"))


async def give_up(stream: INetStream) -> None:
    """Reset a stream, also while being cancelled."""
    shield = trio.CancelScope(deadline=trio.current_time() + 2.0, shield=True)
    with shield, contextlib.suppress(Exception):  # it is gone already, which is what was wanted
        await stream.reset()


async def take_leave(stream: INetStream) -> None:
    """End a conversation after its last message: a reset at once could overtake it and drop it unread.

    Waits up to 2 s for the peer to end its side, then resets.
    """
    with trio.move_on_after(LEAVE_DEADLINE_S), contextlib.suppress(StreamError, MuxedStreamError):
        await stream.close_write()
        await stream.read(1)
    await give_up(stream)
