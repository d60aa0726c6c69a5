"""libp2p 0.8.1 reads as fast as a peer sends; a flood of tiny frames (0.25 ms of CPU each) takes a whole core.

Mended by reading each connection at a bounded pace: a few frames are free for each, what goes beyond comes out of one
budget of the node, which many floods at once share. What is not read yet waits in the peer's own socket, so nothing is
lost and nobody else is delayed.
"""

from __future__ import annotations

from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.limits.admission import address_group
from peernode.mesh.limits.token_bucket import TokenBucket

FRAMES_PER_S = 2000.0
FRAMES_BURST = 4000.0
# Of these, so many are each connection's own; the rest comes out of what all connections share.
FREE_FRAMES_PER_S = 100.0
FREE_FRAMES_BURST = 500.0
BYTES_PER_S = 32.0 * (1 << 20)
BYTES_BURST = 32.0 * (1 << 20)
TELL_EVERY_S = 1.0


class Pace:
    """What one connection may send: frames, told by their headers, and bytes."""

    def __init__(self, muxed: yamux.Yamux | None = None) -> None:
        self.muxed = muxed
        self._tell_again_s = float("-inf")
        self._frames = TokenBucket(per_second=FRAMES_PER_S, burst=FRAMES_BURST)
        self._free = TokenBucket(per_second=FREE_FRAMES_PER_S, burst=FREE_FRAMES_BURST)
        self._bytes = TokenBucket(per_second=BYTES_PER_S, burst=BYTES_BURST)

    def tell(self, now_s: float) -> None:
        """Somebody has to wait: tell the guard, now and then."""
        if self.muxed is None or now_s < self._tell_again_s:
            return
        self._tell_again_s = now_s + TELL_EVERY_S
        swarm, address = getattr(self.muxed, "swarm", None), self.muxed.get_remote_address()
        if swarm is not None:
            guard_of(swarm).held_up(str(self.muxed.peer_id), address_group(address[0]) if address else "")

    def debt_s(self, now_s: float, size: int, *, frame: bool) -> float:
        """How long to wait before taking ``size`` more bytes, which begin a ``frame`` or go on with one."""
        debt_s = self._bytes.owe(now_s, size)
        return max(debt_s, self._frame_debt_s(now_s)) if frame else debt_s

    def _frame_debt_s(self, now_s: float) -> float:
        debt_s = self._frames.owe(now_s, 1.0)
        if self._free.take(now_s):
            return debt_s
        swarm = getattr(self.muxed, "swarm", None)
        return debt_s if swarm is None else max(debt_s, guard_of(swarm).frames.owe(now_s, 1.0))


def mend() -> None:
    """Give each connection its pace, which ``yamux_plain_frames`` keeps."""
    original = yamux.Yamux.__init__

    def paced_init(self: yamux.Yamux, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        self.secured_conn.__dict__["_pace"] = Pace(self)

    yamux.Yamux.__init__ = paced_init
