"""Parties to credit without a network: lines kept in memory only, and jobs of peers with ways of their own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from peernode.chat.errors import ProviderBusy, ProviderFailed
from peernode.ledger.line_records import Earned, Mark, Totals, UnsignedJob
from peernode.market.credit.cost import cost
from peernode.market.credit.line import Terms
from peernode.market.credit.lines import CreditLines
from peernode.wire.countersignature import Countersignature, SignedCountersignature
from peernode.wire.envelope import Envelope
from peernode.wire.identity import peer_id_of
from peernode.wire.offer import Offer
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt, SignedReceipt
from tests.samples import CARD, REQUEST

NETWORK = "test"
PRICES = Prices(100_000, 25_000, 400_000)
CONTEXT = 2048
PROMPT = 40
UNSIGNED = Envelope("", b"", b"")


def peer(number: int) -> str:
    return peer_id_of(number.to_bytes(32, "big"))


class Unkept:
    """A LineLedger that only remembers what it was told, for the next CreditLines."""

    def __init__(self) -> None:
        self.kept: dict[str, Earned] = {}
        self.jobs: dict[tuple[str, str, int], UnsignedJob] = {}
        self.marked: list[Mark] = []
        self.sums: dict[str, Totals] = {}

    def totals(self) -> list[Totals]:
        return list(self.sums.values())

    def earned(self) -> list[Earned]:
        return list(self.kept.values())

    def service_of(self, _: str) -> list[tuple[int, int]]:
        return []

    def unsigned(self) -> list[UnsignedJob]:
        return list(self.jobs.values())

    def soon_keep(self, earned: Earned) -> None:
        self.kept[earned.peer] = earned

    def soon_leave_unsigned(self, job: UnsignedJob) -> None:
        self.jobs[job.peer, job.request_id, job.part] = job

    def soon_sign(self, peer: str, request_id: str, part: int) -> None:
        self.jobs.pop((peer, request_id, part), None)

    def soon_mark(self, mark: Mark) -> None:
        self.marked.append(mark)


@dataclass
class Clock:
    ms: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


@dataclass
class Giver:
    """An honest node: its lines, and what each peer really got from it, signed for or not, in micro-credits."""

    own: str
    terms: Terms
    clock: Clock
    ledger: Unkept = field(default_factory=Unkept)
    got: dict[str, int] = field(default_factory=dict)
    vouchers: dict[str, int] = field(default_factory=dict)
    jobs: int = 0

    def __post_init__(self) -> None:
        self.lines = CreditLines(own=self.own, terms=self.terms, ledger=self.ledger, clock_ms=self.clock)

    def offer(self, coordinator: str, **changes: object) -> Offer:
        self.jobs += 1
        made = Offer(
            NETWORK,
            f"req_{self.jobs}",
            0,
            coordinator,
            self.own,
            CARD.digest,
            REQUEST.to_fields(),
            1,
            10**9,
            PRICES,
            60_000,
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    def serve(self, coordinator: str, tokens: int, ending: str = "signs") -> bool:
        """One job of so many tokens at most; False when it is refused. ``ending``: signs, withholds, hangs up."""
        offer = self.offer(coordinator)
        request = replace(REQUEST, max_tokens=tokens)
        try:
            hold = self.lines.reserve(offer, request, CONTEXT)
        except ProviderBusy as err:
            assert err.cause.startswith("credit")
            return False
        error: Exception | None = None
        try:
            with hold:
                hold.metered(PROMPT, 0)
                handed_on = 0
                while handed_on < tokens and hold.covers(handed_on + 1):
                    handed_on += 1
                bill = cost(PRICES, PROMPT, handed_on, cached_tokens=0) if handed_on else 0
                self.got[coordinator] = self.got.get(coordinator, 0) + bill
                if handed_on < tokens or ending == "hangs up":
                    raise ProviderFailed("The connection to the peer was lost.")
                hold.billed(bill)
                if ending == "signs":
                    self.sign(offer, bill)
                else:
                    self.lines.refused(a_receipt(offer))
        except ProviderFailed as err:
            error = err
        return error is None

    def restart(self, settled: dict[str, int], served: dict[str, int]) -> None:
        """New lines over what the ledger holds."""
        names = self.vouchers.keys() | settled.keys() | served.keys()
        self.ledger.sums = {
            name: Totals(name, self.vouchers.get(name, 0), served.get(name, 0), settled.get(name, 0)) for name in names
        }
        self.__post_init__()

    def sign(self, offer: Offer, bill: int) -> None:
        total = self.vouchers[offer.coordinator] = self.vouchers.get(offer.coordinator, 0) + bill
        self.lines.countersigned(a_receipt(offer, self.clock.ms), a_voucher(offer, total))


def a_receipt(offer: Offer, accepted_ms: int = Clock.ms) -> SignedReceipt:
    receipt = Receipt.__new__(Receipt)
    for name in ("request_id", "part", "coordinator", "provider"):
        object.__setattr__(receipt, name, getattr(offer, name))
    object.__setattr__(receipt, "accepted_ms", accepted_ms)
    return SignedReceipt(receipt, UNSIGNED)


def a_voucher(offer: Offer, total: int) -> SignedCountersignature:
    body = Countersignature(NETWORK, offer.coordinator, offer.provider, bytes(32), total, 0)
    return SignedCountersignature(body, UNSIGNED)
