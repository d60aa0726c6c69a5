"""``/peernode/sync/1``: two neighbours keep their tables alike over one stream that stays open.

At the start each says what it has (``Have``); from then on each sends what the other lacks, batched to one message a
second. That carries renewals, departures, and everything to a late joiner. Owns the exchange; leaves the rules of
leases to ``leases`` and the bytes to ``sync_messages``.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import structlog
import trio

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.directory import Directory
from peernode.mesh.errors import MeshError
from peernode.mesh.frames import FrameStream
from peernode.mesh.sync_messages import Have, Record, Records, decode, encode_have, encode_records
from peernode.wire.errors import WireError

log = structlog.get_logger(__name__)

OpenStream = Callable[[str, str], Awaitable[FrameStream]]

PROTOCOL = "/peernode/sync/1"
BATCH_S = 1.0
RELAY_S = 1.0
SESSIONS_AT_FULL_RATE = 12
FIRST_WORD_S = 10.0
QUIET_S = 60.0
RETRY_S = 1.0
# Verifying a signature costs about 0.1 ms; a neighbour cannot make us spend more than a fifth of a core on it.
VERIFIED_PER_S = 2000
MAX_BAD_ADVERTS = 32


class _Session:
    """One open sync stream: what the neighbour is known to have, and the two directions of it."""

    def __init__(
        self,
        stream: FrameStream,
        peer_id: str,
        directory: Directory,
        rng: random.Random,
        crowding: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._peer_id = peer_id
        self._crowding = crowding
        self._held: dict[str, tuple[int, float]] = {}
        self._directory = directory
        self._rng = rng
        self._theirs: dict[str, int] = {}
        self._told = trio.Event()
        self._bad = 0

    async def run(self) -> None:
        """Exchange until the stream ends. Raises the ``MeshError`` that ended it."""
        failure: MeshError | None = None
        async with trio.open_nursery() as nursery:

            async def ending(direction: Callable[[], Awaitable[None]]) -> None:
                nonlocal failure
                try:
                    await direction()
                except MeshError as error:
                    failure = failure or error
                nursery.cancel_scope.cancel()

            nursery.start_soon(ending, self._send)
            nursery.start_soon(ending, self._receive)
        if failure is not None:
            raise failure

    async def _send(self) -> None:
        for frame in encode_have(self._directory.digest()):
            await self._stream.send(frame)
        with trio.move_on_after(FIRST_WORD_S):
            await self._told.wait()
        version, relay_after_s = -1, 0.0
        while True:
            with trio.move_on_after(RELAY_S if self._held else QUIET_S / 3):
                version = (await self._directory.wait_change(version)).version
            adverts, notice = self._outgoing(relay_after_s)
            # An empty Have now and then shows that a quiet side is alive.
            frames = list(encode_records(adverts))
            if notice or not frames:
                frames += encode_have(notice)
            for frame in frames:
                await self._stream.send(frame)
            relay_after_s = RELAY_S * self._crowding()
            await trio.sleep(BATCH_S * self._crowding() * self._rng.uniform(0.8, 1.2))

    def _outgoing(self, relay_after_s: float) -> tuple[list[Record], dict[str, int]]:
        """The adverts to send now, and the numbers to tell of those that are held back.

        Our own advert goes at once. Somebody else's waits ``relay_after_s``: most neighbours hear it from its
        originator, and their notice of that makes the relay needless.
        """
        adverts, notice = [], {}
        numbers, now = self._directory.digest(), trio.current_time()
        held, self._held = self._held, {}
        for peer, seq in numbers.items():
            if peer == self._stream.peer_id or seq <= self._theirs.get(peer, 0):
                continue
            known_seq, since = held.get(peer, (0, now))
            if known_seq != seq:
                since = now
                notice[peer] = seq
            holding = self._directory.holding(peer)
            if holding is None:  # expired here: nothing to hand on
                continue
            if peer != self._peer_id and now - since < relay_after_s:
                self._held[peer] = (seq, since)
                continue
            notice.pop(peer, None)  # the advert itself says it
            adverts.append(Record(holding.age_ms, holding.signed.raw, b""))
            self._theirs[peer] = seq
        self._theirs = {peer: seq for peer, seq in self._theirs.items() if peer in numbers}
        return adverts, {peer: seq for peer, seq in notice.items() if peer in self._held}

    async def _receive(self) -> None:
        while True:
            message = decode(await self._stream.receive(QUIET_S))
            if isinstance(message, Have):
                known = self._directory.digest()
                for peer, seq in message.numbers.items():
                    if peer in known:  # others we cannot tell about; the neighbour must not fill our memory
                        self._theirs[peer] = max(seq, self._theirs.get(peer, 0))
                self._told.set()
                continue
            if not isinstance(message, Records):
                continue
            for record in message.items:
                self._take(record.advert, record.age_ms)
            await trio.sleep(len(message.items) / VERIFIED_PER_S)

    def _take(self, raw: bytes, age_ms: int) -> None:
        try:
            signed, _ = self._directory.offer_raw(raw, age_ms=age_ms)
        except WireError as error:
            self._bad += 1
            log.debug("sync_advert_refused", neighbour=self._stream.peer_id, reason=error.code)
            if self._bad > MAX_BAD_ADVERTS:
                raise MeshError("The neighbour keeps sending adverts that are not genuine.") from error
            return
        self._theirs[signed.advert.peer] = max(signed.advert.seq, self._theirs.get(signed.advert.peer, 0))


class Sync:
    """Sync sessions with all neighbours of one host."""

    def __init__(self, *, peer_id: str, directory: Directory, rng: random.Random) -> None:
        self._peer_id = peer_id
        self._directory = directory
        self._rng = rng
        self._sessions: set[str] = set()

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
                    if self._peer_id < peer_id:
                        tended.add(peer_id)
                        nursery.start_soon(tend, peer_id)
                await watch.wait_change()

    def _crowding(self) -> float:
        """By how much each session slows down, so that all together send at a fixed rate."""
        return max(1.0, len(self._sessions) / SESSIONS_AT_FULL_RATE)

    async def _converse(self, stream: FrameStream) -> None:
        if stream.peer_id in self._sessions:
            await stream.abort()
            return
        self._sessions.add(stream.peer_id)
        try:
            await _Session(stream, self._peer_id, self._directory, self._rng, self._crowding).run()
        finally:
            self._sessions.discard(stream.peer_id)
            await stream.abort()
