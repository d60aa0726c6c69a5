"""The clients of a node as its other parts need them: their accounts, and the runner that makes them pay."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.chat.job import ChatJob, JobRunner
from peernode.edge.bind import Bind
from peernode.ledger import BooksDiffer, Database, Holds
from peernode.ledger.keys import Keys
from peernode.ledger.spending import Spending
from peernode.ledger.usage_rebuild import rebuild_usage
from peernode.market.candidates import Candidates
from peernode.market.client_accounts import ClientAccounts
from peernode.market.client_allowance import FREE, FreePurse
from peernode.market.client_purse import LedgerPurse, Purse, release_forgotten
from peernode.market.client_runner import PaidRunner
from peernode.node.access_config import AccessConfig

MICRO = 1_000_000
log = structlog.get_logger(__name__)


class Clients:
    """Keys, purses and the paid runner over one ledger. ``kept`` is what stays held after an answer, ``fee``
    what clients pay to this node on top of service."""

    def __init__(
        self,
        access: AccessConfig,
        *,
        database: Database,
        runner: JobRunner,
        candidates: Candidates,
        clock_ms: Callable[[], int],
        kept: Callable[[str], int] | None = None,
        fee: FeeShare = NO_FEE,
    ) -> None:
        self._access = access
        self._database = database
        self._clock_ms = clock_ms
        self._keys = Keys(database)
        self._spending = Spending(database)
        self._kept = kept
        self._ledger = LedgerPurse(self._spending, clock_ms, kept, fee)
        self._free = FreePurse(
            most=round(access.free_credits * MICRO), hourly=round(access.free_refill * MICRO), clock=time.monotonic
        )
        self.accounts = ClientAccounts(self._keys, self._spending, clock_ms)
        self.runner = PaidRunner(runner=runner, purse_of=self._purse_of, candidates=candidates, fee=fee)

    @property
    def free_allowance(self) -> bool:
        """Whether those without a key have an allowance, and no more than that."""
        return self._access.free_credits > 0

    def check(self) -> None:
        """At start: give back what is held for requests that nothing goes on with. Blocks. Raises BooksDiffer."""
        try:
            self._spending.check()
        except BooksDiffer as err:
            log.warning("usage_is_made_anew", cause=err.cause)
            self._database.writer.run(rebuild_usage)
            self._spending.check()
        pending = [hold.request_id for hold in Holds(self._database).pending()]
        released = release_forgotten(pending, self._spending, kept=self._kept, now_ms=self._clock_ms())
        if released:
            log.info("forgotten_holds_released", micro_credits=released)

    def release(self, request_id: str) -> int:
        """A late receipt came, or none is due: give back what is held beyond what is still open. Blocks."""
        keep = self._kept(request_id) if self._kept is not None else 0
        return self._spending.end(request_id, now_ms=self._clock_ms(), keep=keep)

    def warn_of_open_bind(self, bind: Bind) -> None:
        """HTTP is reached from other machines: say what that means."""
        log.warning("http_is_open_to_other_machines", address=str(bind), anonymous=self._access.anonymous, tls=False)
        if self._access.anonymous != "yes" and not self._keys.any():
            log.warning("nobody_has_a_key_yet", remedy="peernode keys create NAME --credits 5")

    def _purse_of(self, job: ChatJob) -> Purse:
        return self._free if job.payer.startswith(FREE) else self._ledger
