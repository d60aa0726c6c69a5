"""Mends for the defects of py-libp2p 0.8.1 that a node on the open network cannot live with.

Owns one small module per defect, each with a ``mend()`` that replaces the faulty part. Leaves configuration (which
transports, which limits) to ``peernode.mesh.host``. Written against private parts of exactly one version, hence the
version check.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Final

from peernode.mesh.errors import UnsupportedLibp2p
from peernode.mesh.hardening import (
    connection_closing,
    dial_delay,
    inbound_slots,
    lingering_handlers,
    noise_reads,
    peer_gate,
    prompt_writes,
    pubsub_conduct,
    pubsub_streams,
    quick_locks,
    quick_negotiation,
    quiet_logs,
    read_ahead,
    remote_addresses,
    service_tasks,
    stream_handlers,
    stream_limits,
    stream_notices,
    subscription_queue,
    yamux_buffers,
    yamux_credit,
    yamux_keepalive,
    yamux_opening,
    yamux_outbox,
    yamux_pace,
    yamux_plain_frames,
    yamux_reads,
    yamux_resets,
    yamux_riding,
    yamux_waking,
    yamux_writes,
)

SUPPORTED_VERSION: Final = "0.8.1"

# Order matters: the guard against exceptions must wrap the watch over lingering handlers, and what stands in for a part
# of the library comes before what is put around it.
MENDS: Final[dict[str, Callable[[], None]]] = {
    "quiet_logs": quiet_logs.mend,
    "lingering_handlers": lingering_handlers.mend,
    "stream_handlers": stream_handlers.mend,
    "service_tasks": service_tasks.mend,
    "peer_gate": peer_gate.mend,
    "inbound_slots": inbound_slots.mend,
    "stream_limits": stream_limits.mend,
    "connection_closing": connection_closing.mend,
    "dial_delay": dial_delay.mend,
    "remote_addresses": remote_addresses.mend,
    "subscription_queue": subscription_queue.mend,
    "pubsub_streams": pubsub_streams.mend,
    "pubsub_conduct": pubsub_conduct.mend,
    "yamux_writes": yamux_writes.mend,
    "yamux_outbox": yamux_outbox.mend,
    "yamux_opening": yamux_opening.mend,
    "yamux_credit": yamux_credit.mend,
    "yamux_buffers": yamux_buffers.mend,
    "yamux_pace": yamux_pace.mend,
    "yamux_plain_frames": yamux_plain_frames.mend,
    "yamux_reads": yamux_reads.mend,
    "yamux_resets": yamux_resets.mend,
    "yamux_waking": yamux_waking.mend,
    "yamux_keepalive": yamux_keepalive.mend,
    "yamux_riding": yamux_riding.mend,
    "quick_negotiation": quick_negotiation.mend,
    "stream_notices": stream_notices.mend,
    "quick_locks": quick_locks.mend,
    "read_ahead": read_ahead.mend,
    "noise_reads": noise_reads.mend,
    "prompt_writes": prompt_writes.mend,
}

_applied: set[str] = set()


def apply() -> None:
    """Mend the installed libp2p, once per process; later calls do nothing.

    Raises ``UnsupportedLibp2p`` unless exactly version 0.8.1 is installed.
    """
    installed = importlib.metadata.version("libp2p")
    if installed != SUPPORTED_VERSION:
        raise UnsupportedLibp2p(
            f"peernode needs libp2p {SUPPORTED_VERSION}.",
            cause=f"libp2p {installed} is installed, and the hardening replaces private parts of {SUPPORTED_VERSION}.",
            remedy=f"pip install libp2p=={SUPPORTED_VERSION}",
        )
    for name, mend in MENDS.items():
        if name not in _applied:
            mend()
            _applied.add(name)
