"""What went over the mesh: streams, messages and bytes by protocol, and dials that failed.

Owns the counters alone. The seams that move bytes (``frames``, ``gossip``, ``connections``) write them, the node's
metrics read them. They outlive a restart of the host, so that they only ever grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GOSSIP = "gossip"


@dataclass(slots=True)
class Flow:
    """One protocol since the node started. ``open`` is how many of its streams exist now; bytes are our own payload."""

    open: int = 0
    opened_in: int = 0
    opened_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def received(self, size: int) -> None:
        """Count one message of ``size`` bytes from a peer."""
        self.messages_in += 1
        self.bytes_in += size

    def sent(self, size: int) -> None:
        """Count one message of ``size`` bytes to a peer."""
        self.messages_out += 1
        self.bytes_out += size


@dataclass(slots=True)
class Traffic:
    """All flows of one node. Protocols are those that this node itself handles or opens, so there are few."""

    dial_failures: int = 0
    _flows: dict[str, Flow] = field(default_factory=dict)

    def flow(self, protocol: str) -> Flow:
        """The counters of ``protocol``; new ones when it was not seen before."""
        return self._flows.setdefault(protocol, Flow())

    @property
    def flows(self) -> Mapping[str, Flow]:
        """The counters by protocol."""
        return self._flows
