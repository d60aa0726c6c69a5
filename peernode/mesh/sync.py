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
from peernode.mesh.sync_messages import Have, decode, encode_adverts, encode_have
from peernode.wire.errors import WireError

log = structlog.get_logger(__name__)

OpenStream = Callable[[str, str], Awaitable[FrameStream]]

PROTOCOL = "/peernode/sync/1"
BATCH_S = 1.0
FIRST_WORD_S = 10.0
QUIET_S = 60.0
RETRY_S = 1.0
# Verifying a signature costs about 0.1 ms; a neighbour cannot make us spend more than a fifth of a core on it.
VERIFIED_PER_S = 2000
MAX_BAD_ADVERTS = 32


class _Session:
    """One open sync stream: what the neighbour is known to have, and the two directions of it."""

    def __init__(self, stream: FrameStream, directory: Directory, rng: random.Random) -> None:
        self._stream = stream
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
        version = -1
        while True:
            with trio.move_on_after(QUIET_S / 3):
                version = (await self._directory.wait_change(version)).version
            frames = list(encode_adverts(self._lacking()))
            # An empty Have now and then shows that a quiet side is alive.
            for frame in frames or encode_have({}):
                await self._stream.send(frame)
            await trio.sleep(BATCH_S * self._rng.uniform(0.8, 1.2))

    def _lacking(self) -> list[tuple[int, bytes]]:
        items = []
        numbers = self._directory.digest()
        for peer, seq in numbers.items():
            holding = self._directory.holding(peer) if seq > self._theirs.get(peer, 0) else None
            if holding is not None and peer != self._stream.peer_id:
                items.append((holding.age_ms, holding.signed.raw))
                self._theirs[peer] = seq
        self._theirs = {peer: seq for peer, seq in self._theirs.items() if peer in numbers}
        return items

    async def _receive(self) -> None:
        while True:
            message = decode(await self._stream.receive(QUIET_S))
            if isinstance(message, Have):
                known = self._directory.digest()
                # Only peers we could tell about are worth remembering: the neighbour must not fill our memory.
                self._theirs.update((peer, seq) for peer, seq in message.numbers.items() if peer in known)
                self._told.set()
                continue
            for age_ms, raw in message.items:
                self._take(raw, age_ms)
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

    async def _converse(self, stream: FrameStream) -> None:
        if stream.peer_id in self._sessions:
            await stream.abort()
            return
        self._sessions.add(stream.peer_id)
        try:
            await _Session(stream, self._directory, self._rng).run()
        finally:
            self._sessions.discard(stream.peer_id)
            await stream.abort()
