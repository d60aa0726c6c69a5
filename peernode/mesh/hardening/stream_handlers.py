"""libp2p 0.8.1: an exception that leaves a stream handler takes the connection or the whole process with it.

A ``ValueError`` (or the ``DecodeError`` of a pubsub RPC that is not protobuf) travels up through the swarm's nursery
and ends the program; a ``StreamReset`` leaves the connection listed but deaf. Mended by guarding the one place where
the host calls handlers: the exception is logged and only its stream is reset.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost

log = structlog.get_logger(__name__)

RESET_DEADLINE_S = 2.0


async def _reset(stream: INetStream) -> None:
    with trio.CancelScope(deadline=trio.current_time() + RESET_DEADLINE_S, shield=True):
        try:
            await stream.reset()
        except Exception as error:  # noqa: BLE001 - the stream is already lost; nothing is left to save
            log.debug("stream_reset_failed", error=repr(error))


def mend() -> None:
    """Confine every exception of a stream handler to its own stream."""
    original = BasicHost._swarm_stream_handler

    async def guarded(self: BasicHost, net_stream: INetStream) -> None:
        try:
            await original(self, net_stream)
        except Exception as error:  # noqa: BLE001 - a handler's fault must not reach the swarm's nursery
            log.debug(
                "stream_handler_failed",
                peer=str(net_stream.muxed_conn.peer_id),
                protocol=net_stream.protocol_id,
                error=repr(error),
            )
            await _reset(net_stream)

    BasicHost._swarm_stream_handler = guarded
