"""This node's own word: an advert at once when its offer changes, renewals in between, and a departure at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import structlog
import trio

from peernode import __version__
from peernode.ledger import LedgerError
from peernode.market.models import OwnModels
from peernode.mesh import Mesh
from peernode.mesh.leases import same_news
from peernode.mesh.pace import RENEW_S, lease_ms, load_pause_s, renew_every_s
from peernode.wire.advert import EMPTY_LOG_ROOT, MAX_ADDRESSES, Advert, ModelCard, SignedAdvert, sign_advert
from peernode.wire.checkpoint import SignedCheckpoint
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, sign_renewal

log = structlog.get_logger(__name__)

LEASE_MS = lease_ms(1)
NEWS_PAUSE_S = 0.25
# Measured rates only seed what others measure themselves: a new advert for them is rare, and only if they moved much.
RATES_PAUSE_RENEWALS = 12
RATES_FACTOR = 1.5
# Every advert says how far the log of receipts is. One that is made for nothing else costs the whole network, so there
# is one when receipts came and the last word on the log is as old as this, and in a large network not before that.
LOG_PAUSE_S = 300.0


class OwnLog(Protocol):
    """This node's log of receipts, and its word on it; ``market.log_keeper``."""

    async def size(self) -> int: ...
    async def checkpoint(self) -> SignedCheckpoint | None: ...
    async def advertised(self) -> int: ...
    async def advertise(self, seq: int) -> None: ...


class Advertiser:
    """Publishes what the node offers. ``changed`` is awaited for news; ``leave`` says goodbye."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        mesh: Mesh,
        models: OwnModels,
        changed: Callable[[], Awaitable[None]],
        clock_ms: Callable[[], int],
        log: OwnLog | None = None,
    ) -> None:
        self._identity = identity
        self._network = network
        self._mesh = mesh
        self._models = models
        self._changed = changed
        self._clock_ms = clock_ms
        self._seq = 0
        self._left = False
        self._stated: SignedAdvert | None = None
        self._stated_s = float("-inf")
        self._load = (0, 0)
        self._log = log
        self._log_head = (0, EMPTY_LOG_ROOT)

    async def run(self) -> None:
        """Advertise until cancelled or until ``leave``."""
        if self._log is not None:
            self._seq = max(self._seq, await self._log.advertised())
        while not self._left:
            await self._say()
            said_s, live = trio.current_time(), self._live()
            await trio.sleep(NEWS_PAUSE_S)
            with trio.CancelScope(deadline=said_s + renew_every_s(live)):
                await self._until_worth_saying(said_s + load_pause_s(live))

    async def leave(self) -> None:
        """End this node's lease everywhere, now."""
        self._left = True
        await self._mesh.publish(sign_advert(await self._with_log(0), self._identity))

    def _live(self) -> int:
        return len(self._mesh.directory.snapshot().adverts)

    async def _until_worth_saying(self, load_due_s: float) -> None:
        """Until the offer has changed, or the load has and it is time to tell."""
        while not self._is_news(self._advert(LEASE_MS)):
            busier = self._present_load() != self._load
            if busier and trio.current_time() >= load_due_s:
                return
            look_again_s = trio.current_time() + RENEW_S  # addresses change without telling
            with trio.CancelScope(deadline=min(load_due_s, look_again_s) if busier else look_again_s):
                await self._changed()

    async def _say(self) -> None:
        term_ms = lease_ms(self._live())
        advert = self._advert(term_ms)
        self._load = (advert.free_slots, advert.queued)
        stated = self._stated
        # A machine that slept finds its own lease over: then nobody holds the advert that a renewal would name.
        lapsed = self._mesh.directory.holding(advert.peer) is None
        news = stated is None or lapsed or self._is_news(advert) or self._rates_moved(advert)
        if news or stated is None or await self._log_is_due():
            await self._state(term_ms)
            return
        renewal = Renewal(
            network=self._network,
            peer=advert.peer,
            seq=advert.seq,
            issued_ms=advert.issued_ms,
            lease_ms=term_ms,
            free_slots=advert.free_slots,
            queued=advert.queued,
            advert=stated.digest,
        )
        self._mesh.renew(sign_renewal(renewal, self._identity))

    async def _state(self, term_ms: int) -> None:
        """Make and publish a whole advert."""
        advert = await self._with_log(term_ms)
        if self._left:  # the departure was said meanwhile, and is the last word
            return
        self._stated = sign_advert(advert, self._identity)
        self._stated_s = trio.current_time()
        await self._mesh.publish(self._stated)

    async def _with_log(self, term_ms: int) -> Advert:
        """An advert that states the log as it is now; or, while the ledger fails, says nothing of it."""
        if self._log is None:
            return self._advert(term_ms)
        try:
            if (signed := await self._log.checkpoint()) is not None:
                self._log_head = (signed.checkpoint.size, signed.checkpoint.root)
            advert = self._advert(term_ms)
            if advert.receipts_log_size:
                await self._log.advertise(advert.seq)
        except LedgerError as err:
            log.error("log_not_stated", code=err.code, reason=str(err))
            return replace(self._advert(term_ms), receipts_log_size=0, receipts_log_root=EMPTY_LOG_ROOT)
        return advert

    async def _log_is_due(self) -> bool:
        pause_s = max(LOG_PAUSE_S, RATES_PAUSE_RENEWALS * renew_every_s(self._live()))
        if self._log is None or self._stated is None or trio.current_time() - self._stated_s < pause_s:
            return False
        try:
            return await self._log.size() > self._stated.advert.receipts_log_size
        except LedgerError as err:
            log.error("log_not_read", code=err.code, reason=str(err))
            return False

    def _is_news(self, advert: Advert) -> bool:
        return self._stated is None or not same_news(self._stated.advert, advert)

    def _rates_moved(self, advert: Advert) -> bool:
        if self._stated is None or trio.current_time() - self._stated_s < RATES_PAUSE_RENEWALS * renew_every_s(
            self._live()
        ):
            return False
        return any(_apart(old, new) for old, new in zip(self._stated.advert.models, advert.models, strict=True))

    def _present_load(self) -> tuple[int, int]:
        loads = self._models.loads()
        return sum(load.free_slots for load in loads), sum(load.queued for load in loads)

    def _advert(self, term_ms: int) -> Advert:
        # Numbers grow over restarts because they are never behind the clock, nor, if that was set back, behind what
        # the network remembers of us.
        now_ms = self._clock_ms()
        self._seq = max(self._seq + 1, now_ms, self._mesh.directory.latest_seq(self._identity.peer_id) + 1)
        free_slots, queued = self._present_load()
        return Advert(
            network=self._network,
            peer=self._identity.peer_id,
            seq=self._seq,
            issued_ms=now_ms,
            lease_ms=term_ms,
            addresses=tuple(self._mesh.addresses()[:MAX_ADDRESSES]),
            version=__version__,
            slots=sum(load.slots for load in self._models.loads()),
            free_slots=free_slots,
            queued=queued,
            models=self._models.cards() if term_ms else (),
            receipts_log_size=self._log_head[0],
            receipts_log_root=self._log_head[1],
        )


def _apart(old: ModelCard, new: ModelCard) -> bool:
    pairs = (old.decode_tps, new.decode_tps), (old.prefill_tps, new.prefill_tps)
    return any(max(before, now) > RATES_FACTOR * min(before, now) for before, now in pairs)
