"""The mesh room: peers, what they advertise, and the streams between them.

Owns the libp2p host and its hardening, gossip, leases and the directory, and framed job streams. Leaves prices,
routing and HTTP to others. Names are loaded on first use, so that the pure modules import without libp2p.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peernode.mesh.connections import PeerStatus
    from peernode.mesh.directory import Directory, DirectorySnapshot
    from peernode.mesh.errors import (
        BadJoinAddress,
        DialFailed,
        FrameTimeout,
        FrameTooLarge,
        ListenFailed,
        MeshError,
        PeerNotAllowed,
        StreamClosed,
        UnsupportedLibp2p,
    )
    from peernode.mesh.frames import FrameStream
    from peernode.mesh.mesh import Mesh

_HOMES = {
    "BadJoinAddress": "errors",
    "DialFailed": "errors",
    "Directory": "directory",
    "DirectorySnapshot": "directory",
    "FrameStream": "frames",
    "FrameTimeout": "errors",
    "FrameTooLarge": "errors",
    "ListenFailed": "errors",
    "Mesh": "mesh",
    "MeshError": "errors",
    "PeerNotAllowed": "errors",
    "PeerStatus": "connections",
    "StreamClosed": "errors",
    "UnsupportedLibp2p": "errors",
}

__all__ = [
    "BadJoinAddress",
    "DialFailed",
    "Directory",
    "DirectorySnapshot",
    "FrameStream",
    "FrameTimeout",
    "FrameTooLarge",
    "ListenFailed",
    "Mesh",
    "MeshError",
    "PeerNotAllowed",
    "PeerStatus",
    "StreamClosed",
    "UnsupportedLibp2p",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    exported: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return exported
