"""What a command can be refused: no node to talk to, or a node that says no."""

from __future__ import annotations

from peernode.errors import PeernodeError


class NoNodeRunning(PeernodeError):
    """Nothing runs in this home."""

    code = "no_node_running"


class NodeRefused(PeernodeError):
    """The node answered with an error; ``reason`` is the code it gave."""

    code = "refused"

    def __init__(self, sentence: str, *, reason: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(sentence, cause=cause, remedy=remedy)
        self.reason = reason


class NoModel(PeernodeError):
    """There is no model to chat with."""

    code = "no_model"
