"""What can go wrong on the mesh, as typed errors with stable codes.

Owns the classes; the modules that understand a failure raise them, and the surfaces turn them into answers.
"""

from __future__ import annotations

from typing import ClassVar

from peernode.errors import PeernodeError


class MeshError(PeernodeError):
    """Root of every error raised by the mesh room."""

    code: ClassVar[str] = "mesh_error"


class UnsupportedLibp2p(MeshError):
    """The installed libp2p is not the version that the hardening was written for."""

    code: ClassVar[str] = "unsupported_libp2p"


class ListenFailed(MeshError):
    """None of the listen addresses could be bound."""

    code: ClassVar[str] = "listen_failed"


class HostFell(MeshError):
    """The libp2p host ended by itself; the supervisor starts another."""

    code: ClassVar[str] = "host_fell"


class BadJoinAddress(MeshError):
    """A ``--join`` address is not a TCP multiaddr with a peer id."""

    code: ClassVar[str] = "bad_join_address"


class PeerNotAllowed(MeshError):
    """The operator named a peer to join that is not in the list of allowed peers."""

    code: ClassVar[str] = "peer_not_allowed"


class DialFailed(MeshError):
    """A peer could not be reached, or would not open the stream, in time."""

    code: ClassVar[str] = "dial_failed"


class BadSyncMessage(MeshError):
    """A neighbour's sync message is malformed or over its bounds."""

    code: ClassVar[str] = "bad_sync_message"


class StreamClosed(MeshError):
    """The stream ended: a clean end and a reset look alike on the wire."""

    code: ClassVar[str] = "stream_closed"


class FrameTimeout(MeshError):
    """No whole frame arrived, or could be sent, before the deadline."""

    code: ClassVar[str] = "frame_timeout"


class FrameTooLarge(MeshError):
    """A frame was announced, or offered for sending, that is longer than the limit."""

    code: ClassVar[str] = "frame_too_large"
