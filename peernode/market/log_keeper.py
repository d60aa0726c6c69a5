"""This node's word on its own log of receipts: checkpoints, signed when somebody is to see them.

Nothing is signed that is not durable, and no checkpoint is signed anew for a size that has one.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from peernode.ledger.log import ReceiptLog
from peernode.wire.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from peernode.wire.identity import Identity


def checkpoint_now(log: ReceiptLog, *, identity: Identity, network: str, now_ms: int) -> SignedCheckpoint | None:
    """The checkpoint of the log as it is, kept; None while there is no receipt. Blocks. Raises LogBroken."""
    size, root = log.head()
    if size == 0:
        return None
    newest = log.newest_checkpoint()
    if newest is not None and newest.checkpoint.size == size:
        return newest
    made = Checkpoint(network, identity.peer_id, size, root, now_ms)
    return log.keep_checkpoint(sign_checkpoint(made, identity), now_ms=now_ms)


class LogKeeper:
    """Signs for ``log`` in the name of ``identity``. ``newest`` is what it signed last, or found signed."""

    def __init__(self, *, identity: Identity, network: str, log: ReceiptLog, clock_ms: Callable[[], int]) -> None:
        self._identity = identity
        self._network = network
        self._log = log
        self._clock_ms = clock_ms
        self.newest: SignedCheckpoint | None = None

    async def size(self) -> int:
        return await trio.to_thread.run_sync(self._log.size)

    async def checkpoint(self) -> SignedCheckpoint | None:
        """The log as it is now, signed and kept; None while there is no receipt."""
        now_ms = self._clock_ms()
        self.newest = await trio.to_thread.run_sync(
            lambda: checkpoint_now(self._log, identity=self._identity, network=self._network, now_ms=now_ms)
        )
        return self.newest

    async def advertised(self) -> int:
        """The highest number of an advert that spoke of this log, over all lives of this node."""
        return await trio.to_thread.run_sync(self._log.advertised)

    async def advertise(self, seq: int) -> None:
        """Say that advert ``seq`` is about to speak of it. Durable when this returns."""
        await trio.to_thread.run_sync(self._log.advertise, seq)
