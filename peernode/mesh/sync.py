"""``/peernode/sync/1``: neighbours keep their tables alike over one stream each that stays open.

At the start both sides say what they know (``Have``), and each asks for what it lacks (``Want``). From then on whoever
takes in a newer word passes it on once to every neighbour that has not said ``Enough`` of its originator; who hears a
word twice says that to the later of the two neighbours, so that soon each word crosses each node once. Words that came
by gossip are only told of, in numbers. A peer whose renewal is overdue is asked for at two other neighbours, whereupon
they send again. Originators always send their own words to all their neighbours.

Owns the sessions and which neighbour feeds us which originator; leaves one session to ``sync_session``, the rules of
leases to ``leases``, and the bytes to ``sync_messages``. After Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees
(2007).
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog
import trio

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.directory import Directory
from peernode.mesh.errors import MeshError
from peernode.mesh.frames import FrameStream
from peernode.mesh.leases import MAX_PEERS
from peernode.mesh.limits.token_bucket import TokenBucket
from peernode.mesh.reports import Report, nobody
from peernode.mesh.sync_session import BATCH_S, SyncSession

log = structlog.get_logger(__name__)

OpenStream = Callable[[str, str], Awaitable[FrameStream]]

PROTOCOL = "/peernode/sync/1"
SESSIONS_AT_FULL_RATE = 12
RETRY_S = 1.0
CHASE_EVERY_S = 1.0
# An overdue peer is asked for again after this; three times the pause fit between overdue and ended.
ASK_AGAIN_S = 2.0
ASKED_AT_ONCE = 2
# Verifying takes about 0.2 ms: whoever sends us whatever, together they get a fifth of a core at most.
VERIFIED_PER_S = 1000
TURN = 32


class Sync:
    """Sync sessions with all neighbours of one node.

    ``report`` is told of neighbours that misbehave.
    """

    def __init__(self, *, peer_id: str, directory: Directory, rng: random.Random, report: Report = nobody) -> None:
        self.peer_id = peer_id
        self.directory = directory
        self.rng = rng
        self.report = report
        self.sessions: dict[str, SyncSession] = {}
        self._brought: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._chased_s = float("-inf")
        self._verified = TokenBucket(per_second=VERIFIED_PER_S, burst=TURN)
        self._keeping_rounds = trio.Lock()

    async def serve(self, stream: FrameStream) -> None:
        """Handle a session that the neighbour opened."""
        await self._converse(stream)

    async def keep_with(self, watch: ConnectionWatch, open_stream: OpenStream) -> None:
        """Open a session with every connected peer of a larger id (the smaller id opens), until cancelled."""
        async with trio.open_nursery() as nursery:
            tended: set[str] = set()

            async def tend(peer_id: str) -> None:
                try:
                    while watch.live(peer_id):
                        try:
                            stream = await open_stream(peer_id, PROTOCOL)
                            await self._converse(stream)
                        except MeshError as error:
                            log.debug("sync_ended", neighbour=peer_id, reason=error.code, cause=error.cause)
                        with trio.move_on_after(RETRY_S):
                            await watch.wait_change()
                finally:
                    tended.discard(peer_id)

            while True:
                for peer_id in watch.peers() - tended:
                    if self.peer_id < peer_id:
                        tended.add(peer_id)
                        nursery.start_soon(tend, peer_id)
                await watch.wait_change()

    def pause_s(self) -> float:
        """How long words are gathered before they are sent; longer with many sessions, as each frame has its price."""
        return BATCH_S * max(1.0, len(self.sessions) / SESSIONS_AT_FULL_RATE) * self.rng.uniform(0.8, 1.2)

    async def keep_rounds(self) -> None:
        """Once a pause, let every session send what is due. All sessions call this; one of them does it for all.

        One wake-up for the node, however many sessions, and none for those that have nothing to say.
        """
        async with self._keeping_rounds:
            while True:
                await trio.sleep(self.pause_s())
                self.chase()
                for session in list(self.sessions.values()):
                    session.gather()

    async def pay_for(self, records: float) -> None:
        """Wait until the node can afford to have verified so many records; in turns, for all sessions together."""
        while records > 0:
            debt_s = self._verified.owe(trio.current_time(), min(records, TURN))
            if debt_s > 0:
                await trio.sleep(debt_s)
            records -= TURN

    async def farewell(self, at_most_s: float) -> None:
        """Bring this node's last word to every neighbour, and return when they have it, or after ``at_most_s``.

        A node that goes away closes its connections; what it only put on its way would be lost with them.
        """
        with trio.move_on_after(at_most_s):
            async with trio.open_nursery() as nursery:
                for session in list(self.sessions.values()):
                    nursery.start_soon(session.farewell)

    def feeder(self, peer: str) -> str | None:
        """The neighbour, still there, that brought the newest word of ``peer``; None if that came by gossip."""
        seq, neighbour = self._brought.get(peer, (0, ""))
        return neighbour if neighbour in self.sessions and seq else None

    def came_by_sync(self, peer: str, seq: int) -> bool:
        """True if a neighbour, and not gossip, brought this word."""
        return self._brought.get(peer, (0, ""))[0] == seq

    def brought(self, peer: str, seq: int, neighbour: str) -> None:
        """Remember who brought a word that was news to us."""
        self._brought[peer] = (seq, neighbour)
        self._brought.move_to_end(peer)
        if len(self._brought) > MAX_PEERS:
            self._brought.popitem(last=False)

    def brought_again(self, peer: str, seq: int, neighbour: str) -> None:
        """A word that we had already: whoever else feeds us this originator, or this neighbour, need not."""
        feeder = self.feeder(peer)
        if feeder == neighbour:
            return
        if feeder is None:
            self.brought(peer, seq, neighbour)
        elif neighbour == peer:
            self.sessions[feeder].say_enough(peer)
            self.brought(peer, seq, neighbour)
        else:
            self.sessions[neighbour].say_enough(peer)

    def may_ask(self, peer: str) -> bool:
        """True, once in a while per peer: the same word is not asked of everybody who has it."""
        now_s = trio.current_time()
        if now_s - self._asked.get(peer, float("-inf")) < ASK_AGAIN_S:
            return False
        self._asked[peer] = now_s
        self._asked.move_to_end(peer)
        if len(self._asked) > MAX_PEERS:
            self._asked.popitem(last=False)
        return True

    def chase(self) -> None:
        """Ask other neighbours for peers whose renewal is overdue. Called every round; works once a second."""
        now_s = trio.current_time()
        if now_s - self._chased_s < CHASE_EVERY_S:
            return
        self._chased_s = now_s
        for peer in self.directory.late():
            if peer == self.peer_id or not self.may_ask(peer):
                continue
            feeder = self._brought.get(peer, (0, ""))[1]
            others = [session for name, session in self.sessions.items() if name not in (feeder, peer)]
            for session in self.rng.sample(others, min(len(others), ASKED_AT_ONCE)):
                session.ask(peer)

    async def _converse(self, stream: FrameStream) -> None:
        if stream.peer_id in self.sessions:
            await stream.abort()
            return
        session = SyncSession(stream, self)
        self.sessions[stream.peer_id] = session
        try:
            await session.run()
        finally:
            del self.sessions[stream.peer_id]
            await stream.abort()
