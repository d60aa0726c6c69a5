"""libp2p 0.8.1: a pubsub message with a bad signature costs a verification, and nobody gets the blame for it.

Mended by telling whoever listens which peer brought it. A key that cannot be read is as bad as a wrong signature.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

import structlog
from libp2p.peer.id import ID
from libp2p.pubsub import pubsub as _pubsub
from libp2p.pubsub.pb.rpc_pb2 import Message
from libp2p.pubsub.pubsub import Pubsub

log = structlog.get_logger(__name__)

# Each message is pushed in a task of its own, between whose beginning and the verification nothing is awaited.
_bearer: ContextVar[tuple[Pubsub, ID] | None] = ContextVar("bearer", default=None)


def listen(pubsub: Pubsub, blame: Callable[[ID], None]) -> None:
    """Have ``blame`` told of every peer that brings a message with a bad signature, once per message."""
    pubsub.__dict__["_blame_for_signature"] = blame


def mend() -> None:
    """Tell of bad signatures."""
    is_valid, push = _pubsub.signature_validator, Pubsub.push_msg

    async def push_msg(self: Pubsub, msg_forwarder: ID, msg: Message) -> None:
        _bearer.set((self, msg_forwarder))
        await push(self, msg_forwarder, msg)

    def signature_validator(msg: Message) -> bool:
        try:
            if is_valid(msg):
                return True
        except Exception as error:  # noqa: BLE001 - keys of any kind and length are parsed there
            log.debug("gossip_key_unreadable", error=repr(error))
        bearer = _bearer.get()
        if bearer is not None:
            blame: Callable[[ID], None] | None = bearer[0].__dict__.get("_blame_for_signature")
            if blame is not None:
                blame(bearer[1])
        return False

    Pubsub.push_msg = push_msg
    _pubsub.signature_validator = signature_validator
