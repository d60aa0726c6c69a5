"""A dishonest party on a real stream: the honest one keeps the answer, pays nothing it should not, and says why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import ProviderFailed, ReceiptRefused
from peernode.chat.events import Failed, JobEvent, Receipted, Tokens, Usage
from peernode.chat.events import Finished as FinishedEvent
from peernode.market import dispatch
from peernode.market.metering import Meter
from peernode.mesh import FrameStream
from peernode.wire.conversation import Conversation
from peernode.wire.identity import Identity
from peernode.wire.job_frames import (
    PROTOCOL,
    AcceptFrame,
    BusyFrame,
    CountersignFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    ReceiptFrame,
    TokensFrame,
    decode_frame,
    encode_frame,
)
from peernode.wire.logprobs import Logprobs, TokenLogprob
from peernode.wire.offer import Offer, open_offer, sign_offer
from peernode.wire.prices import Prices
from peernode.wire.receipt import NO_PREVIOUS, Receipt, sign_receipt
from tests.market.scripted import FACTS, NETWORK, PROMPT_TOKENS, ScriptedEngine, collect, job, pair, party
from tests.samples import CARD, PRICES, REQUEST, STRANGER, TEXT

LIAR = Identity.from_seed(bytes([1]) * 32)  # the seed that ``pair`` gives its provider
IDS = (5, 6, 7)
LOGPROBS = tuple(Logprobs(TokenLogprob(at, -1, b"x"), (TokenLogprob(at, -1, b"x"),)) for at in IDS)


class LyingProvider:
    """Serves a job in form, with a receipt of the test's making; keeps the coordinator's last word."""

    def __init__(self, lie: Callable[[Receipt], bytes], *, frames: list[JobFrame] | None = None) -> None:
        self._lie = lie
        self._frames = [TokensFrame(IDS, TEXT)] if frames is None else frames
        self.answer: JobFrame | None = None
        self.done = trio.Event()

    async def handle(self, stream: FrameStream) -> None:
        frame = decode_frame(await stream.receive(10))
        assert isinstance(frame, OfferFrame)
        offer = open_offer(frame.raw, network=NETWORK)
        meter = Meter(accepted_ms=1_000)
        meter.count(Tokens(TEXT, IDS), now_ms=1_100)
        await stream.send(encode_frame(AcceptFrame(CARD.id)))
        for each in self._frames:
            await stream.send(encode_frame(each))
        await stream.send(encode_frame(FinishedFrame("stop", PROMPT_TOKENS, 0, len(IDS))))
        finished = FinishedEvent("stop", Usage(PROMPT_TOKENS, len(IDS)))
        honest = meter.receipt(offer, REQUEST, FACTS, finished, now_ms=1_500, seq=1, previous=NO_PREVIOUS)
        await stream.send(encode_frame(ReceiptFrame(self._lie(honest))))
        self.answer = decode_frame(await stream.receive(10))
        self.done.set()


def signed(receipt: Receipt) -> bytes:
    return sign_receipt(receipt, LIAR).raw


def signed_by_another(receipt: Receipt) -> bytes:
    as_stranger = sign_receipt(replace(receipt, provider=STRANGER.peer_id), STRANGER)
    return replace(as_stranger.envelope, body=sign_receipt(receipt, LIAR).envelope.body).raw


LIES: dict[str, Callable[[Receipt], bytes]] = {
    "another key": signed_by_another,
    "another provider": lambda r: sign_receipt(replace(r, provider=STRANGER.peer_id), STRANGER).raw,
    "another request": lambda r: signed(replace(r, request_id="req_other")),
    "raised credits": lambda r: signed(replace(r, credits=r.credits + 1)),
    "raised prices": lambda r: signed(replace(r, prices=Prices(9**9, 9**9, 9**9))),
    "unsent tokens": lambda r: signed(replace(r, completion_tokens=9)),
    "another model": lambda r: signed(replace(r, model_digest=b"x" * 32)),
    "other text": lambda r: signed(replace(r, text_digest=b"x" * 32)),
    "garbage": lambda r: b"\x93garbage",
    "nothing": lambda r: b"",
}


def text_of(events: list[JobEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Tokens))


@pytest.mark.parametrize("name", LIES)
async def test_a_false_receipt_is_refused_and_the_answer_stands(tmp_path: Path, name: str) -> None:
    liar = LyingProvider(LIES[name])
    async with pair(tmp_path, ScriptedEngine(), service=liar.handle) as (edge, provider):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == TEXT
        last = events[-1]
        assert isinstance(last, Failed)
        assert isinstance(last.error, ReceiptRefused)
        (refusal,) = edge.store.refusals("req_0")
        assert refusal.provider == provider.peer_id
        assert refusal.reason
        assert all(record.refused and not record.countersignature for record in edge.store.find("req_0"))
        assert edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id) == 0
        with trio.fail_after(60):
            await liar.done.wait()
        assert isinstance(liar.answer, ErrorFrame)
        assert liar.answer.code == "receipt_refused"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [(None, LOGPROBS), (2, ()), (0, LOGPROBS), (2, LOGPROBS[:2])],
    ids=["unasked", "none", "more", "few"],
)
async def test_log_probabilities_other_than_asked_for_are_not_passed_on(
    tmp_path: Path, asked: int | None, sent: tuple[Logprobs, ...]
) -> None:
    liar = LyingProvider(signed, frames=[TokensFrame(IDS, TEXT, sent)])
    async with pair(tmp_path, ScriptedEngine(), service=liar.handle) as (edge, _):
        events = await collect(edge.coordinator, replace(job(), request=replace(REQUEST, top_logprobs=asked)))
        (last,) = events
        assert isinstance(last, Failed)
        assert isinstance(last.error, ProviderFailed)


async def test_the_same_party_with_an_honest_receipt_is_paid(tmp_path: Path) -> None:
    honest = LyingProvider(signed)
    async with pair(tmp_path, ScriptedEngine(), service=honest.handle) as (edge, _):
        assert isinstance((await collect(edge.coordinator, job()))[-1], Receipted)
        assert isinstance(honest.answer, CountersignFrame)


async def test_an_old_receipt_cannot_be_sold_twice(tmp_path: Path) -> None:
    sold: list[bytes] = []

    def again(receipt: Receipt) -> bytes:
        sold.append(signed(receipt))
        return sold[0]

    liar = LyingProvider(again)
    async with pair(tmp_path, ScriptedEngine(), service=liar.handle) as (edge, provider):
        assert isinstance((await collect(edge.coordinator, job(1)))[-1], Receipted)
        once = edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id)
        assert isinstance((await collect(edge.coordinator, job(2)))[-1], Failed)
        assert edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id) == once


async def garbage_first(stream: FrameStream) -> None:
    await stream.receive(10)
    await stream.send(b"\xc1 this is no frame")
    await trio.sleep_forever()


async def tokens_before_accepting(stream: FrameStream) -> None:
    await stream.receive(10)
    await stream.send(encode_frame(TokensFrame((1,), "x")))
    await trio.sleep_forever()


async def hangs_up(stream: FrameStream) -> None:
    await stream.receive(10)
    await stream.abort()


async def ends_cleanly_in_the_middle(stream: FrameStream) -> None:
    await stream.receive(10)
    await stream.send(encode_frame(AcceptFrame(CARD.id)))


@pytest.mark.parametrize("service", [garbage_first, tokens_before_accepting, hangs_up, ends_cleanly_in_the_middle])
async def test_nonsense_before_the_first_token_is_a_failed_provider(
    tmp_path: Path, service: Callable[[FrameStream], Awaitable[None]]
) -> None:
    async with pair(tmp_path, ScriptedEngine(), service=service) as (edge, _):
        last = (await collect(edge.coordinator, job()))[-1]
        assert isinstance(last, Failed)
        assert isinstance(last.error, ProviderFailed)


async def test_a_clean_end_of_stream_is_not_an_end_of_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stops(stream: FrameStream) -> None:
        await stream.receive(10)
        await stream.send(encode_frame(AcceptFrame(CARD.id)))
        await stream.send(encode_frame(TokensFrame((1,), "half an ans")))

    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)
    async with pair(tmp_path, ScriptedEngine(), service=stops) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "half an ans" * 2  # with nobody else there it may go on itself, once
        assert isinstance(events[-1], Failed)


async def test_an_invented_finish_reason_does_not_reach_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)

    async def invents(stream: FrameStream) -> None:
        await stream.receive(10)
        for frame in (AcceptFrame(CARD.id), TokensFrame(IDS, TEXT), FinishedFrame("<script>", 30, 0, len(IDS))):
            await stream.send(encode_frame(frame))
        await trio.sleep_forever()

    async with pair(tmp_path, ScriptedEngine(), service=invents) as (edge, _):
        last = (await collect(edge.coordinator, job()))[-1]
        assert isinstance(last, Failed)
        assert isinstance(last.error, ProviderFailed)


class Asking:
    """A coordinator of the test's making: sends what it likes on the job protocol."""

    def __init__(self, stream: FrameStream) -> None:
        self._stream = stream
        self._talk = Conversation()

    async def say(self, frame: JobFrame) -> None:
        await self._stream.send(encode_frame(frame))

    async def hear(self) -> JobFrame:
        return decode_frame(await self._stream.receive(10))


def an_offer(coordinator: str, **changes: object) -> Offer:
    made = Offer(
        network=NETWORK,
        request_id="req_0",
        part=0,
        coordinator=coordinator,
        provider=LIAR.peer_id,
        model_digest=CARD.digest,
        request=REQUEST.to_fields(),
        seed=1,
        max_credits=100_000,
        prices=PRICES,
        deadline_ms=60_000,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"provider": STRANGER.peer_id}, ErrorFrame),
        ({"network": "other"}, ErrorFrame),
        ({"model_digest": b"x" * 32}, ErrorFrame),
        ({"request": [[], None, [], [0, 0]]}, ErrorFrame),
        ({"request": None}, ErrorFrame),
        ({"prices": Prices(0, 0, 0)}, BusyFrame),
    ],
)
async def test_an_offer_on_other_terms_is_not_taken(
    tmp_path: Path, changes: dict[str, object], answer: type[JobFrame]
) -> None:
    async with (
        party(tmp_path, 1, engine=ScriptedEngine()) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses()) as edge,
    ):
        await edge.until_known(provider)
        async with edge.mesh.open(provider.peer_id, PROTOCOL, timeout_s=5) as stream:
            asking = Asking(stream)
            await asking.say(OfferFrame(sign_offer(an_offer(edge.peer_id, **changes), edge.identity)))
            assert isinstance(await asking.hear(), answer)
        assert not provider.store.find("req_0")


async def test_an_offer_in_anothers_name_is_not_taken(tmp_path: Path) -> None:
    async with (
        party(tmp_path, 1, engine=ScriptedEngine()) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses()) as edge,
    ):
        await edge.until_known(provider)
        async with edge.mesh.open(provider.peer_id, PROTOCOL, timeout_s=5) as stream:
            asking = Asking(stream)
            await asking.say(OfferFrame(sign_offer(an_offer(STRANGER.peer_id), STRANGER)))
            answer = await asking.hear()
            assert isinstance(answer, ErrorFrame)
            assert answer.code == "bad_request"


@pytest.mark.parametrize("raw", [b"", b"\x00" * 100, encode_frame(TokensFrame((1,), "x")), b"\xdd\xff\xff\xff\xff"])
async def test_a_provider_survives_nonsense_instead_of_an_offer(tmp_path: Path, raw: bytes) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        async with edge.mesh.open(provider.peer_id, PROTOCOL, timeout_s=5) as stream:
            await stream.send(raw)
        assert isinstance((await collect(edge.coordinator, job()))[-1], Receipted)
