"""One sync session: what one neighbour is known to have, what it asked for and had enough of, and what is due to it.

Owns both directions of the stream. Leaves what concerns several neighbours to ``sync``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import structlog
import trio

from peernode.mesh.errors import BadSyncMessage, MeshError
from peernode.mesh.frames import FrameStream
from peernode.mesh.leases import MAX_TOMBSTONES, Change, Holding, Refusal
from peernode.mesh.sync_messages import (
    Enough,
    Have,
    Record,
    Records,
    Want,
    decode,
    encode_enough,
    encode_have,
    encode_records,
    encode_want,
)
from peernode.wire.advert import claimed
from peernode.wire.errors import WireError

if TYPE_CHECKING:
    from peernode.mesh.sync import Sync

log = structlog.get_logger(__name__)

BATCH_S = 1.0
AT_ONCE_S = 0.1
QUIET_S = 60.0
MAX_BAD_RECORDS = 32
PRICE_OF_OLD = 0.2
# A neighbour's own word that is younger than this tells of its clock.
FRESH_MS = 3_000
# Reading numbers is cheap, but not free.
NUMBERS_PER_S = 20_000
# Answers cost ten times the bytes of their question: the table once, then what a late peer now and then needs.
ANSWERS_AT_FIRST = 8192.0
ANSWERS_PER_S = 20.0


class SyncSession:
    """The session with ``stream``'s peer; ``sync`` knows the others."""

    def __init__(self, stream: FrameStream, sync: Sync) -> None:
        self._stream = stream
        self._neighbour = stream.peer_id
        self._sync = sync
        self._directory = sync.directory
        self._theirs: dict[str, int] = {}
        self._muted: dict[str, int] = {}  # originator -> since when it is live: a new life is told of again
        self._promised: dict[str, int] = {}  # the neighbour has newer words, but another was asked for them just now
        self._wanted: set[str] = set()
        self._bare: set[str] = set()  # originators of whom the neighbour got its newest word without the advert
        self._to_ask: set[str] = set()
        self._enough: set[str] = set()
        self._answers = ANSWERS_AT_FIRST
        self._wake = trio.Event()
        self._outgoing: list[bytes] = []
        self._version = 0  # the directory's when the last frames were gathered
        self._gathered_s = self._sent_s = float("-inf")
        self._greeting_is_out = False
        self._greeted = False
        self._leaving = False
        self._over = trio.Event()
        self._bad = 0

    async def run(self) -> None:
        """Exchange until the stream ends. Raises the ``MeshError`` that ended it."""
        failure: MeshError | None = None
        try:
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
                nursery.start_soon(self._sync.keep_rounds)
        finally:
            self._over.set()
        if isinstance(failure, BadSyncMessage):
            self._sync.report(self._neighbour, failure.code, 1.0)
        if failure is not None:
            raise failure

    def ask(self, peer: str) -> None:
        """Send for what the neighbour holds of this originator."""
        self._to_ask.add(peer)
        self._enough.discard(peer)
        self._wake.set()

    def say_enough(self, peer: str) -> None:
        """Tell the neighbour to send no more of this originator; with the next frames, there is no hurry."""
        if peer not in self._to_ask:
            self._enough.add(peer)

    async def farewell(self) -> None:
        """Send this node's last word at once, and return when the neighbour has taken it in and ended its side."""
        self._leaving = True
        self._wake.set()
        await self._over.wait()

    def gather(self) -> None:
        """Put into the next frames what is due by now, and have them sent. Called once a round for all sessions.

        A neighbour that is slow to take the last ones is left in peace.
        """
        if not self._greeting_is_out or self._outgoing:
            return
        now_s = trio.current_time()
        self._answers = min(self._answers + ANSWERS_PER_S * (now_s - self._gathered_s), ANSWERS_AT_FIRST)
        self._gathered_s = now_s
        self._ask_for_promised()
        self._outgoing = self._due(self._version)
        self._version = self._directory.version
        if not self._outgoing and now_s - self._sent_s > QUIET_S / 3:
            self._outgoing = list(encode_have({}))  # shows that a quiet side is alive
        if self._outgoing:
            self._wake.set()

    async def _send(self) -> None:
        self._version = self._directory.version
        for frame in encode_have(self._directory.digest()):
            await self._stream.send(frame)
        self._sent_s = self._gathered_s = trio.current_time()
        self._greeting_is_out = True
        while not self._leaving:
            await self._wake.wait()
            if not self._outgoing:  # the neighbour asked, or is to be asked: at once, but not many times in a row
                await trio.sleep_until(self._sent_s + min(AT_ONCE_S, BATCH_S))
                self.gather()
            self._wake = trio.Event()
            while self._outgoing:
                await self._stream.send(self._outgoing[0])
                self._outgoing.pop(0)
                self._sent_s = trio.current_time()
        own = self._directory.holding(self._sync.peer_id)
        for frame in encode_records([self._record(self._sync.peer_id, own, 0)] if own is not None else []):
            await self._stream.send(frame)
        await self._stream.finish()
        await trio.sleep_forever()

    def _due(self, version: int) -> list[bytes]:
        """The frames to send now; ``version`` is the directory's at the time of the last ones."""
        records, numbers = [], {}
        for peer in list(self._directory.changed_since(version)):
            holding = self._directory.holding(peer)
            if peer == self._neighbour or peer in self._wanted or holding is None or self._is_muted(peer, holding):
                continue
            seq = holding.standing.advert.seq
            known = self._theirs.get(peer, 0)
            if seq <= known:
                continue
            if peer == self._sync.peer_id or self._sync.came_by_sync(peer, seq):
                records.append(self._record(peer, holding, known))
            else:
                numbers[peer] = seq
        while self._wanted and self._answers >= 1:
            peer = self._wanted.pop()
            holding = self._directory.holding(peer)
            known = self._theirs.get(peer, 0)
            if holding is not None and (holding.standing.advert.seq > known or peer in self._bare):
                records.append(self._record(peer, holding, 0))
                self._answers -= 1
        frames = list(encode_records(records))
        if numbers:
            frames += encode_have(numbers)
        frames += encode_want(self._to_ask)
        frames += encode_enough(self._enough)
        self._to_ask, self._enough = set(), set()
        return frames

    def _record(self, peer: str, holding: Holding, known: int) -> Record:
        standing = holding.standing
        self._theirs[peer] = standing.advert.seq
        if standing.renewal is None or standing.signed.advert.seq > known:
            self._bare.discard(peer)
            return Record(holding.age_ms, standing.signed.raw, standing.renewal.raw if standing.renewal else b"")
        self._bare.add(peer)
        return Record(holding.age_ms, b"", standing.renewal.raw)

    def _is_muted(self, peer: str, holding: Holding) -> bool:
        if peer not in self._muted or peer == self._sync.peer_id:
            return False
        if self._muted[peer] == holding.joined_ms:
            return True
        del self._muted[peer]
        return False

    async def _receive(self) -> None:
        while True:
            message = decode(await self._stream.receive(QUIET_S))
            match message:
                case Have(numbers):
                    self._hear_numbers(numbers)
                    await trio.sleep(len(numbers) / NUMBERS_PER_S)
                case Want(peers):
                    for peer in peers:
                        if self._directory.latest_seq(peer):
                            self._muted.pop(peer, None)
                            self._wanted.add(peer)
                            self._wake.set()
                    await trio.sleep(len(peers) / NUMBERS_PER_S)
                case Enough(peers):
                    for peer in peers:
                        holding = self._directory.holding(peer)
                        if holding is not None and holding.joined_ms is not None:
                            self._muted[peer] = holding.joined_ms
                    await trio.sleep(len(peers) / NUMBERS_PER_S)
                case Records(items):
                    await self._sync.pay_for(sum(self._take(record) for record in items))
            self._forget_strangers()

    def _hear_numbers(self, numbers: Mapping[str, int]) -> None:
        for peer, seq in numbers.items():
            known = self._directory.latest_seq(peer)
            if seq > known and peer != self._sync.peer_id:
                self._promised[peer] = seq
            elif known:  # others we cannot tell about; the neighbour must not fill our memory
                self._theirs[peer] = max(seq, self._theirs.get(peer, 0))
                if not self._greeted and self._is_fed_by_another(peer):
                    self.say_enough(peer)
        self._greeted = True
        self._ask_for_promised()

    def _ask_for_promised(self) -> None:
        for peer, seq in list(self._promised.items()):
            known = self._directory.latest_seq(peer)
            if seq > known and not self._sync.may_ask(peer):
                continue
            del self._promised[peer]
            if seq > known:
                self.ask(peer)

    def _is_fed_by_another(self, peer: str) -> bool:
        return peer != self._neighbour and self._sync.feeder(peer) not in (None, self._neighbour)

    def _take(self, record: Record) -> float:
        """Take in what is genuine and newer; the price, in verifications."""
        try:
            peer, seq = claimed(record.renewal or record.advert)
            known = self._directory.latest_seq(peer)
            if seq <= known:  # nothing to verify
                self._theirs[peer] = max(seq, self._theirs.get(peer, 0))
                self._sync.brought_again(peer, known, self._neighbour)
                return PRICE_OF_OLD
            outcome: Change | Refusal
            direct = peer == self._neighbour and record.age_ms < FRESH_MS
            if record.renewal:
                outcome = self._directory.renew_raw(record.renewal, record.advert, age_ms=record.age_ms, direct=direct)
            else:
                _, outcome = self._directory.offer_raw(record.advert, age_ms=record.age_ms, direct=direct)
        except WireError as error:
            self._bad += 1
            log.debug("sync_record_refused", neighbour=self._neighbour, reason=error.code)
            if self._bad > MAX_BAD_RECORDS:
                raise BadSyncMessage("The neighbour keeps sending records that are not genuine.") from error
            return 1.0
        if isinstance(outcome, Change):
            self._theirs[peer] = seq
            self._sync.brought(peer, seq, self._neighbour)
        elif outcome is Refusal.NO_ADVERT:
            self.ask(peer)
        return 1.0

    def _forget_strangers(self) -> None:
        """What is remembered about originators is bounded by the directory's own memory of them."""
        if max(len(self._theirs), len(self._muted), len(self._bare)) <= 2 * MAX_TOMBSTONES:
            return
        known = self._directory.digest()
        self._theirs = {peer: seq for peer, seq in self._theirs.items() if peer in known}
        self._muted = {peer: since_ms for peer, since_ms in self._muted.items() if peer in known}
        self._bare &= known.keys()
