"""``python -m peernode.engine.worker FD OWNER``: serve one model on the socket FD until the process OWNER ends it.

The first command says which model; everything else is in ``loop``. Exits with 0 when the socket ends or the model
cannot be loaded (the owner has been told why), and with a traceback on a bug.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

from peernode.engine.errors import ModelLoadFailed, WorkerProtocolBroken
from peernode.engine.protocol import Load, LoadFailed, Progress
from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.lifeline import bound_files, tie_to_owner
from peernode.engine.worker.loop import Channel, Loop, OwnerGone
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.prefix_store import PrefixStore
from peernode.engine.worker.preparation import Workshop

# On a CPU a thousand cells that lie idle make a step some 3 % longer.
_IDLE_CELLS = 1024

if TYPE_CHECKING:
    from peernode.engine.worker.embedding_model import EmbeddingModel


def main(arguments: list[str]) -> None:
    descriptor, owner = map(int, arguments)
    tie_to_owner(owner)
    bound_files(descriptor)
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        serve(channel)
    except OwnerGone:
        return


def serve(channel: Channel) -> None:
    """Load what the first command names and run it. Raises OwnerGone."""
    order = channel.receive()
    if not isinstance(order, Load):
        raise WorkerProtocolBroken("The first command must say which model to load.")
    # llama.cpp is imported only now: its libraries take a while, and the owner may see progress before.
    channel.send(Progress(0.0))
    from peernode.engine.worker.embedding_model import EmbeddingModel, makes_embeddings  # noqa: PLC0415
    from peernode.engine.worker.intake import Intake  # noqa: PLC0415
    from peernode.engine.worker.model import load_model  # noqa: PLC0415
    from peernode.engine.worker.native_log import NativeLog  # noqa: PLC0415

    log = NativeLog()
    try:
        if makes_embeddings(order):
            serve_embeddings(channel, EmbeddingModel(order, log, _ProgressReporter(channel)))
            return
        model = load_model(order, log, _ProgressReporter(channel))
    except ModelLoadFailed as err:
        channel.send(LoadFailed(err.sentence, err.cause, err.remedy, err.code))
        return
    order = model.order
    batcher = Batcher(
        model.context,
        slots=order.slots,
        kv_tokens=model.kv_tokens,
        batch_tokens=order.batch_tokens,
        queue_limit=order.queue_limit,
        clock=time.perf_counter,
        pace=Pace(target_s=order.itl_target_ms / 1000),
        speculate=order.speculation == "auto",
        store=PrefixStore(model.prefix_cache_bytes),
        idle_cells=_IDLE_CELLS if model.context.kernel_rows else None,
    )
    workshop = Workshop(limit=order.slots + order.queue_limit, threads=2)
    loop = Loop(channel, batcher, Intake(model, default_max_tokens=order.default_max_tokens), workshop)
    channel.send(model.facts)
    loop.run()


def serve_embeddings(channel: Channel, model: EmbeddingModel) -> None:
    """Make embeddings until the owner has gone. Raises OwnerGone."""
    from peernode.engine.worker.embedding_loop import EmbeddingLoop  # noqa: PLC0415

    order = model.order
    channel.send(model.facts)
    EmbeddingLoop(channel, model, slots=order.slots, queue_limit=order.queue_limit, clock=time.perf_counter).run()


class _ProgressReporter:
    """Reports each further twentieth; gives up when the owner has gone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reported = 0.0

    def __call__(self, fraction: float) -> bool:
        if fraction - self._reported < 0.05:
            return True
        self._reported = fraction
        try:
            self._channel.send(Progress(fraction))
        except OwnerGone:
            return False  # llama.cpp calls this: an exception would be lost in native code
        return not self._channel.is_closed()


if __name__ == "__main__":
    main(sys.argv[1:])
