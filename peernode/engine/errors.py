"""What can go wrong with an engine itself; what goes wrong with a job is in ``peernode.chat.errors``."""

from __future__ import annotations

from typing import ClassVar

from peernode.errors import PeernodeError


class ModelLoadFailed(PeernodeError):
    """The model file cannot be served: missing, damaged, unsupported, too large, or its template refused."""

    code: ClassVar[str] = "model_load_failed"


class NotEnoughMemory(ModelLoadFailed):
    """The model is fine, but there is no memory for it now."""

    code: ClassVar[str] = "not_enough_memory"


class WorkerProtocolBroken(PeernodeError):
    """The worker or its owner sent bytes that are no frame or a frame nobody knows."""

    code: ClassVar[str] = "worker_protocol_broken"


class EngineStopped(PeernodeError):
    """The engine was told to end before it became ready."""

    code: ClassVar[str] = "engine_stopped"
