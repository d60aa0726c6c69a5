"""libp2p 0.8.1: bad signatures, broken RPCs and floods of messages cost a pubsub node much, and nobody gets the blame.

Mended by asking a judge: whether a peer may bring another message, before that is verified, and by telling it of every
message with a bad signature, bad signed record or RPC that cannot be read. A key that cannot be read is as bad as a
wrong signature.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError
from libp2p.abc import IHost, INetStream
from libp2p.peer.id import ID
from libp2p.pubsub import pubsub as _pubsub
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from libp2p.pubsub.pubsub import Pubsub

log = structlog.get_logger(__name__)


class Judge(Protocol):
    """Of the peers that bring messages."""

    def may_bring(self, forwarder: ID) -> bool:
        """False to have the next message dropped unread."""

    def blame(self, forwarder: ID, reason: str) -> None:
        """The peer brought something that no honest node brings."""


# Each message is pushed in a task of its own, between whose beginning and the verification nothing is awaited.
_bearer: ContextVar[tuple[Pubsub, ID] | None] = ContextVar("bearer", default=None)


def appoint(pubsub: Pubsub, judge: Judge) -> None:
    """Have ``judge`` asked and told about the peers of ``pubsub``."""
    pubsub.__dict__["_judge"] = judge


def _judge_of(pubsub: Pubsub) -> Judge | None:
    judge: Judge | None = pubsub.__dict__.get("_judge")
    return judge


def _blame(reason: str) -> None:
    bearer = _bearer.get()
    judge = _judge_of(bearer[0]) if bearer is not None else None
    if bearer is not None and judge is not None:
        judge.blame(bearer[1], reason)


def mend() -> None:
    """Judge the peers by what they bring."""
    is_valid, push, read = _pubsub.signature_validator, Pubsub.push_msg, Pubsub.continuously_read_stream
    consume: Callable[[RPC, IHost, ID], bool] = _pubsub.maybe_consume_signed_record

    async def push_msg(self: Pubsub, msg_forwarder: ID, msg: Message) -> None:
        judge = _judge_of(self)
        if judge is not None and msg_forwarder != self.my_id:
            if self.is_peer_blacklisted(msg_forwarder) or self._is_msg_seen(msg) or not judge.may_bring(msg_forwarder):
                return
            _bearer.set((self, msg_forwarder))
        await push(self, msg_forwarder, msg)

    def signature_validator(msg: Message) -> bool:
        try:
            if is_valid(msg):
                return True
        except Exception as error:  # noqa: BLE001 - keys of any kind and length are parsed there
            log.debug("gossip_key_unreadable", error=repr(error))
        _blame("bad signature")
        return False

    def maybe_consume_signed_record(msg: RPC, host: IHost, peer_id: ID) -> bool:
        good = consume(msg, host, peer_id)
        if not good:
            _blame("bad signed record")
        return good

    async def continuously_read_stream(self: Pubsub, stream: INetStream) -> None:
        _bearer.set((self, stream.muxed_conn.peer_id))
        try:
            await read(self, stream)
        except DecodeError as error:
            log.debug("gossip_rpc_unreadable", peer=str(stream.muxed_conn.peer_id), error=repr(error))
            _blame("broken RPC")
            await stream.reset()

    Pubsub.push_msg = push_msg
    Pubsub.continuously_read_stream = continuously_read_stream
    _pubsub.signature_validator = signature_validator
    _pubsub.maybe_consume_signed_record = maybe_consume_signed_record
