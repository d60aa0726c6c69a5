"""What can go wrong between nodes that cannot reach each other, as typed errors with stable codes."""

from __future__ import annotations

from typing import ClassVar

from peernode.mesh.errors import MeshError


class BadReachMessage(MeshError):
    """A message of the reach protocol is malformed."""

    code: ClassVar[str] = "bad_reach_message"


class RelayRefused(MeshError):
    """A relay said no, or nothing that makes sense."""

    code: ClassVar[str] = "relay_refused"


class PunchFailed(MeshError):
    """No direct connection came of a hole punch."""

    code: ClassVar[str] = "punch_failed"


class PortRefused(MeshError):
    """No router offered a port."""

    code: ClassVar[str] = "port_refused"
