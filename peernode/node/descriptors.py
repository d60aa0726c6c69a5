"""File descriptors: as many as the node's connections need, where the system lets a program ask for them itself."""

from __future__ import annotations

import resource

import structlog

# What a node has besides HTTP connections: peers, the ledger, models and their workers.
OTHERS = 1024
log = structlog.get_logger("peernode.node")


def make_room(connections: int) -> None:
    """Raise the soft limit so that ``connections`` and all else find room, or as far as it goes.

    Many systems begin with 1024. Without a free descriptor nothing is accepted any more, not even to be refused.
    """
    wanted = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("few_descriptors", wanted=wanted, allowed=most)
