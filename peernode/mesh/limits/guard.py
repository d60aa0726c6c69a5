"""The guard of one node: every limit on others, in one place that the mends of the library ask.

Owns the verdicts on peers, connections and streams, and the closing of a banned peer's connections. Leaves the
accounts to ``admission`` and ``bans``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import structlog
import trio
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from peernode.mesh.errors import PeerNotAllowed
from peernode.mesh.limits.acquaintances import Acquaintances
from peernode.mesh.limits.admission import TOO_OFTEN, Admission, Standing
from peernode.mesh.limits.bans import Ban, BanTable
from peernode.mesh.limits.token_bucket import KeyedBuckets, TokenBucket
from peernode.mesh.settings import DEFAULTS, MeshSettings

log = structlog.get_logger(__name__)

# Refusals by count: an honest peer may meet a limit now and then, so only hundreds of them add up to a ban.
REFUSED_STREAM_WEIGHT = 1 / 256
TOO_OFTEN_WEIGHT = 1 / 8
# Who ignores the window it was given has broken the protocol on purpose; a full memory may be bad luck.
BROKEN_BOUND_WEIGHTS = {"stream window": 1.0, "streams": 1.0, "connection": 0.25, "total": 0.25}
STREAMS_PER_S = 200.0
FRAMES_PER_S = 2000.0
FRAMES_BURST = 8000.0
STAYED_S = 60.0
SLOWED_S = 10.0


class Guard:
    """Limits of one node, over all lives of its host. ``clock`` gives seconds that never jump."""

    def __init__(
        self,
        settings: MeshSettings = DEFAULTS,
        *,
        acquaintances: Acquaintances | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.settings = settings
        self.acquaintances = acquaintances or Acquaintances(
            named={}, advertised=dict, listed=lambda _: False, clock=clock
        )
        self.bans = BanTable(clock=clock, on_ban=self._note_ban)
        self.admission = Admission(
            max_connections=settings.max_connections,
            per_address=settings.max_connections_per_address,
            standing=self._standing,
            knows_address=self.acquaintances.knows_address,
            clock=clock,
        )
        self.refusals: Counter[str] = Counter()
        # What all connections together may send beyond the few frames that are free for each.
        self.frames = TokenBucket(per_second=FRAMES_PER_S, burst=FRAMES_BURST)
        self._clock = clock
        self._streams: Counter[str] = Counter()
        self._opened = KeyedBuckets(per_second=STREAMS_PER_S, burst=2.0 * settings.max_streams_per_peer)
        self._to_close: list[Ban] = []
        self._banned = trio.Event()

    def check_named(self, peer_ids: Iterable[str]) -> None:
        """Raises ``PeerNotAllowed`` if the operator named a peer that the list of allowed peers leaves out."""
        for peer_id in peer_ids:
            if self.settings.allow_peers and peer_id not in self.settings.allow_peers:
                raise PeerNotAllowed(
                    "A peer to join is not allowed.",
                    cause=f"{peer_id} is not in the list of allowed peers",
                    remedy="Add it to mesh.allow_peers, or do not join it.",
                )

    def refusal(self, peer_id: str) -> str | None:
        """Why this node will not have anything to do with a peer; None if it may."""
        if self.settings.allow_peers and peer_id not in self.settings.allow_peers:
            return "not in the list of allowed peers"
        ban = self.bans.ban_of(peer_id)
        return None if ban is None else f"banned: {ban.reason}"

    def refused(self, reason: str, *, peer_id: str = "", address: str = "") -> None:
        """Count and tell that a connection was refused."""
        self.refusals["banned" if reason.startswith("banned") else reason] += 1
        log.debug("connection_refused", reason=reason, peer=peer_id, address=address)
        if reason == TOO_OFTEN:
            self.bans.report(peer_id, reason, TOO_OFTEN_WEIGHT, address=address)
        if not peer_id:
            self.bans.slow_down(address, reason, SLOWED_S)

    def count(self, reason: str) -> None:
        """Count something that was refused and is nobody's fault."""
        self.refusals[reason] += 1

    def held_up(self, peer_id: str, address: str) -> None:
        """Count and tell that a peer sends faster than this node will read."""
        self.refusals["frames too fast"] += 1
        if address not in ("", "unknown"):
            self.bans.slow_down(address, f"frames too fast, from {peer_id}", SLOWED_S)

    def open_stream(self, peer_id: str) -> bool:
        """Account for a stream that a peer opened; False if it has too many, or opens them too fast."""
        if self._streams[peer_id] >= self.settings.max_streams_per_peer:
            reason = "too many streams"
        elif not self._opened.take(peer_id, self._clock()):
            reason = "streams opened too fast"
        else:
            self._streams[peer_id] += 1
            return True
        self.refusals[reason] += 1
        self.bans.report(peer_id, reason, REFUSED_STREAM_WEIGHT)
        return False

    def end_stream(self, peer_id: str) -> None:
        """A stream that was accounted for has ended."""
        self._streams[peer_id] -= 1
        if self._streams[peer_id] <= 0:
            del self._streams[peer_id]

    def bound_broken(self, peer_id: str, bound: str, *, address: str = "") -> None:
        """A peer sent more than the protocol allows; its connection is being closed."""
        self.refusals[bound] += 1
        log.info("peer_exceeded_bound", peer=peer_id, bound=bound)
        self.bans.report(peer_id, f"exceeded the bound: {bound}", BROKEN_BOUND_WEIGHTS[bound], address=address)

    async def enforce(self, swarm: Swarm) -> None:
        """Close the connections of whoever gets banned, until cancelled."""
        while True:
            to_close, self._to_close = self._to_close, []
            self._banned = trio.Event()
            for ban in to_close:
                for connection in list(swarm.connections.get(ID.from_string(ban.peer_id), ())):
                    await connection.close()
            if not self._to_close:
                await self._banned.wait()

    def _note_ban(self, ban: Ban) -> None:
        self._to_close.append(ban)
        self._banned.set()

    def _standing(self, peer_id: str) -> Standing:
        return Standing.NAMED if peer_id in self.settings.allow_peers else self.acquaintances.standing(peer_id)
