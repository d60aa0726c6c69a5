"""One adversary each on real streams: what the honest side loses, what it says, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import EngineCrashed, ReceiptRefused
from peernode.chat.events import Failed, Receipted
from peernode.ledger.lines import Lines
from peernode.market import dispatch, service
from peernode.market.credit.hold import WINDOW_TOKENS
from peernode.market.patience import MOST_UNACKNOWLEDGED
from peernode.mesh import FrameStream
from peernode.node.credit import NodeCredit
from peernode.node.credit_config import CreditConfig
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.job_frames import (
    PROTOCOL,
    BusyFrame,
    CountersignFrame,
    EndFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    ReceiptFrame,
    TokensFrame,
)
from peernode.wire.offer import sign_offer
from peernode.wire.receipt import Receipt, SignedReceipt, open_receipt
from tests.market.scripted import Party, ScriptedEngine, collect, job, party
from tests.market.test_dishonest_peers import LIES, Asking, LyingProvider, an_offer, signed
from tests.samples import PRICES, REQUEST, TEXT

LINE = CreditConfig(newcomer=400, newcomers_cap=1000)
ANSWER = 5  # micro-credits for three tokens of thirty
PADDING = {
    "a longer prompt": lambda r: signed(replace(r, prompt_tokens=2049)),
    "padded tokens": lambda r: signed(replace(r, completion_tokens=16, credits=10)),
    "stopped early, billed in full": lambda r: signed(
        replace(r, completion_tokens=16, finish_reason="length", credits=10)
    ),
    "nothing cached that was": lambda r: signed(replace(r, cached_tokens=31)),
}


def lent(made: Party) -> NodeCredit:
    assert made.credit is not None
    return made.credit


async def written(made: Party) -> None:
    """Until what is written without anybody waiting for it is on the disk."""
    await trio.to_thread.run_sync(made.store.database.writer.run, lambda db: None)


@pytest.mark.parametrize("name", [*LIES, *PADDING])
async def test_whoever_bills_falsely_gets_nothing_and_is_avoided_also_after_a_restart(
    tmp_path: Path, name: str
) -> None:
    lie: Callable[[Receipt], bytes] = {**LIES, **PADDING}[name]
    liar = LyingProvider(lie)
    async with (
        party(tmp_path, 1, engine=ScriptedEngine(), service=liar.handle) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), credit=LINE) as edge,
    ):
        await edge.until_known(provider)
        last = (await collect(edge.coordinator, job()))[-1]
        assert isinstance(last, Failed)
        assert isinstance(last.error, ReceiptRefused)
        assert edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id) == 0
        (refusal,) = edge.store.refusals("req_0")
        await written(edge)
        (row,) = await lent(edge).view.peers()
        assert row["peer"] == provider.peer_id
        assert row["marks"][0]["kind"] == "false_receipt"
        assert row["marks"][0]["reason"] == refusal.reason
        again = (await collect(edge.coordinator, job(1)))[-1]
        assert isinstance(again, Failed)
        assert "avoided" in str(again.error)
    async with party(tmp_path, 2, credit=LINE) as edge:
        assert "billed falsely" in lent(edge).repute.avoided(provider.peer_id)


class Taking:
    """A coordinator of the test's making, at one provider."""

    def __init__(self, edge: Party, provider: Party) -> None:
        self._edge, self._provider = edge, provider
        self._jobs = 0
        self.total = 0

    async def take(self, end: Callable[[Taking, Asking, SignedReceipt], object], *, tokens: int = 16) -> JobFrame:
        """A job up to its receipt, which ``end`` answers; the last frame."""
        edge, provider = self._edge, self._provider
        self._jobs += 1
        request = replace(REQUEST, max_tokens=tokens)
        offer = an_offer(
            edge.peer_id, provider=provider.peer_id, request_id=f"req_{self._jobs}", request=request.to_fields()
        )
        async with edge.mesh.open(provider.peer_id, PROTOCOL, timeout_s=5) as stream:
            asking = Asking(stream)
            await asking.say(OfferFrame(sign_offer(offer, edge.identity)))
            while not isinstance(frame := await asking.hear(), (ReceiptFrame, BusyFrame, ErrorFrame)):
                pass
            if isinstance(frame, ReceiptFrame):
                await end(self, asking, open_receipt(frame.raw))  # type: ignore[misc]
                frame = await asking.hear()
        return frame

    async def pay(self, asking: Asking, receipt: SignedReceipt) -> None:
        self.total += receipt.receipt.credits
        await asking.say(self.voucher(receipt, self.total))

    def voucher(self, receipt: SignedReceipt, total: int) -> CountersignFrame:
        body = receipt.receipt
        made = Countersignature(body.network, body.coordinator, body.provider, receipt.digest, total, 1)
        return CountersignFrame(sign_countersignature(made, self._edge.identity).raw)


async def pays(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
    await taking.pay(asking, receipt)


async def refuses(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
    await asking.say(ErrorFrame("receipt_refused", "I do not like it."))


async def keeps_silent(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
    await trio.sleep(0.3)


async def signs_for_another(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
    body = Countersignature("test", receipt.receipt.coordinator, receipt.receipt.provider, bytes(32), 10**6, 1)
    await asking.say(CountersignFrame(sign_countersignature(body, taking._edge.identity).raw))


async def signs_too_little(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
    await asking.say(taking.voucher(receipt, receipt.receipt.credits))  # as if there had been nothing before


async def signs_in_anothers_name(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
    raw = bytearray(taking.voucher(receipt, taking.total + receipt.receipt.credits).raw)
    raw[-1] ^= 1
    await asking.say(CountersignFrame(bytes(raw)))


@pytest.mark.parametrize("way", [refuses, keeps_silent, signs_for_another, signs_too_little])
async def test_who_withholds_a_countersignature_got_one_job_and_no_more(
    tmp_path: Path, way: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "COUNTERSIGN_S", 0.1)
    async with (
        party(tmp_path, 1, engine=ScriptedEngine(), credit=LINE) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses()) as edge,
    ):
        await edge.until_known(provider)
        taking = Taking(edge, provider)
        assert isinstance(await taking.take(pays), EndFrame)
        with_held: list[SignedReceipt] = []

        async def misbehaves(taking: Taking, asking: Asking, receipt: SignedReceipt) -> None:
            with_held.append(receipt)
            await way(taking, asking, receipt)  # type: ignore[misc]

        with trio.fail_after(30):
            try:
                await taking.take(misbehaves)
            except Exception as err:  # noqa: BLE001  # the provider may just end the stream
                assert "stream" in str(err).lower()
            answer = await taking.take(pays)
            while not isinstance(answer, BusyFrame):  # its word may come before it has written it down
                answer = await taking.take(pays)
        assert answer.reason == "credit: the countersignature of req_2 part 0 is missing"
        await written(provider)
        marks = {mark.kind for mark in Lines(provider.store.database).marks()}
        assert marks == ({"withheld", "short_voucher"} if way is signs_too_little else {"withheld"})
        standing = lent(provider).lines.standing(edge.peer_id)
        assert (standing.position.given, standing.unsigned) == (ANSWER, ANSWER)
        # And it is served again once it has signed after all.
        late = taking.voucher(with_held[0], 2 * ANSWER)
        provider.store.add_countersignature(_opened(late.raw), now_ms=1)
        lent(provider).lines.countersigned(with_held[0], _opened(late.raw))
        taking.total = 2 * ANSWER
        assert isinstance(await taking.take(pays), EndFrame)
        assert lent(provider).lines.standing(edge.peer_id).position.given == 3 * ANSWER


def _opened(raw: bytes):
    from peernode.wire.countersignature import open_countersignature

    return open_countersignature(raw)


async def test_who_never_acknowledges_gets_one_window_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ACK_S", 0.2)
    engine = ScriptedEngine([f"{at} " for at in range(2000)])
    async with (
        party(tmp_path, 1, engine=engine, credit=LINE) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses()) as edge,
    ):
        await edge.until_known(provider)
        offer = an_offer(edge.peer_id, provider=provider.peer_id, request=replace(REQUEST, max_tokens=2000).to_fields())
        got = 0
        async with edge.mesh.open(provider.peer_id, PROTOCOL, timeout_s=5) as stream:
            asking = Asking(stream)
            await asking.say(OfferFrame(sign_offer(offer, edge.identity)))
            while not isinstance(frame := await asking.hear(), (ErrorFrame, FinishedFrame)):
                got += len(frame.ids) if isinstance(frame, TokensFrame) else 0
        assert isinstance(frame, ErrorFrame)
        assert frame.sentence == "No acknowledgement came in time."
        assert 0 < got <= MOST_UNACKNOWLEDGED
        with trio.fail_after(10):
            while not (standing := lent(provider).lines.standing(edge.peer_id)).unsigned:
                await trio.sleep(0.01)
        most = PRICES.amount(prompt_tokens=30, cached_tokens=0, completion_tokens=MOST_UNACKNOWLEDGED)
        assert standing.unsigned <= most
        assert standing.held == 0


async def test_who_hangs_up_at_the_end_gets_no_more_than_its_line(tmp_path: Path) -> None:
    engine = ScriptedEngine([f"{at} " for at in range(100)])

    async def hang_up(stream: FrameStream) -> None:
        await stream.abort()

    async with (
        party(tmp_path, 1, engine=engine, credit=LINE) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses()) as edge,
    ):
        await edge.until_known(provider)
        got, refused = 0, 0
        for number in range(40):
            offer = an_offer(
                edge.peer_id,
                provider=provider.peer_id,
                request_id=f"req_{number}",
                request=replace(REQUEST, max_tokens=100).to_fields(),
            )
            async with edge.mesh.open(provider.peer_id, PROTOCOL, timeout_s=5) as stream:
                asking = Asking(stream)
                await asking.say(OfferFrame(sign_offer(offer, edge.identity)))
                while not isinstance(frame := await asking.hear(), (BusyFrame, ReceiptFrame, ErrorFrame)):
                    pass
                if isinstance(frame, ReceiptFrame):
                    got += open_receipt(frame.raw).receipt.credits
                else:
                    refused += 1
                    break
                await hang_up(stream)
            with trio.fail_after(10):
                while provider.provider.jobs.running:
                    await trio.sleep(0.01)
        assert refused == 1
        assert 0 < got <= LINE.newcomer


async def test_a_line_that_ends_in_the_middle_of_an_answer_ends_it(tmp_path: Path) -> None:
    engine = ScriptedEngine([f"{at} " for at in range(1500)])
    async with (
        party(tmp_path, 1, engine=engine, credit=CreditConfig(newcomer=300, newcomers_cap=300)) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), credit=LINE) as edge,
    ):
        await edge.until_known(provider)
        wanted = replace(job(), request=replace(REQUEST, max_tokens=1500))
        events = await collect(edge.coordinator, wanted)
        assert isinstance(events[-1], Failed)
        standing = lent(provider).lines.standing(edge.peer_id)
        assert standing.position.balance + standing.held + standing.unsigned <= 300
        assert "credit" in str(events[-1].error)


async def test_a_part_that_broke_off_counts_until_it_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)
    engine = ScriptedEngine([f"{at} " for at in range(400)])
    engine.crash_at, engine.crash = 200, EngineCrashed("dead")
    async with (
        party(tmp_path, 1, engine=engine, credit=LINE) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), credit=LINE) as edge,
    ):
        await edge.until_known(provider)
        await collect(edge.coordinator, replace(job(), request=replace(REQUEST, max_tokens=400)))
        unsigned = PRICES.amount(prompt_tokens=30, cached_tokens=0, completion_tokens=200)
        standing = lent(provider).lines.standing(edge.peer_id)
        assert (standing.position.given, standing.unsigned, standing.closed) == (0, unsigned, "")
        with trio.fail_after(30):
            while lent(provider).lines.standing(edge.peer_id).unsigned:
                await edge.recovery.look()
        assert lent(provider).lines.standing(edge.peer_id).position.given == unsigned
        assert lent(edge).lines.standing(provider.peer_id).position.taken == unsigned
        await written(provider)
        assert not Lines(provider.store.database).unsigned()


def test_a_hold_covers_as_much_as_may_be_unacknowledged() -> None:
    assert WINDOW_TOKENS == MOST_UNACKNOWLEDGED


async def test_the_honest_are_paid_and_served(tmp_path: Path) -> None:
    """The adversaries above do nothing else differently."""
    liar = LyingProvider(signed)
    async with (
        party(tmp_path, 1, engine=ScriptedEngine(), service=liar.handle) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), credit=LINE) as edge,
    ):
        await edge.until_known(provider)
        events = await collect(edge.coordinator, job())
        assert isinstance(events[-1], Receipted)
        assert "".join(getattr(event, "text", "") for event in events) == TEXT
        assert not lent(edge).repute.avoided(provider.peer_id)
