"""Words and receipts after a break that are not for what came, and who may see a receipt: over real libp2p streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peernode.chat.errors import EngineCrashed
from peernode.ledger.open_jobs import OpenJobs
from peernode.market.patience import MOST_UNACKNOWLEDGED
from peernode.market.recovery import claims, provided
from peernode.market.recovery.service import REFUSED
from peernode.node.credit_config import CreditConfig
from peernode.wire.acknowledgement import Acknowledgement, offer_digest, sign_acknowledgement
from peernode.wire.job_frames import PROTOCOL as JOB_PROTOCOL
from peernode.wire.job_frames import (
    AckFrame,
    CancelFrame,
    ErrorFrame,
    FinishedFrame,
    OfferFrame,
    TokensFrame,
    decode_frame,
    encode_frame,
)
from peernode.wire.offer import Offer, sign_offer
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt, ids_digest, text_digest
from tests.market.recovering import PIECES, job, open_of, paid, stopping_at, until
from tests.market.scripted import NETWORK, PROMPT_TOKENS, Party, ScriptedEngine, collect, pair, party
from tests.samples import CARD, PRICES

pytestmark = pytest.mark.usefixtures("no_heirs")


def an_offer(edge: Party, provider: Party) -> bytes:
    offer = Offer(
        network=NETWORK,
        request_id="req_0",
        part=0,
        coordinator=edge.peer_id,
        provider=provider.peer_id,
        model_digest=CARD.digest,
        request=job().request.to_fields(),
        seed=1,
        max_credits=100_000,
        prices=PRICES,
        deadline_ms=60_000,
    )
    return sign_offer(offer, edge.identity)


def a_word(edge: Party, provider: Party, raw_offer: bytes, **changes: Any) -> bytes:
    """The edge's acknowledgement of the first three pieces, or of something else."""
    honest = Acknowledgement(
        network=NETWORK,
        request_id="req_0",
        part=0,
        coordinator=edge.peer_id,
        provider=provider.peer_id,
        offer_digest=offer_digest(raw_offer),
        prompt_tokens=PROMPT_TOKENS,
        cached_tokens=0,
        tokens=3,
        ids_digest=ids_digest((0, 1, 2)),
        text_digest=text_digest("0 1 2 "),
        at_ms=1,
    )
    return sign_acknowledgement(replace(honest, **changes), edge.identity).raw


@pytest.mark.parametrize(
    "changes",
    [
        {"ids_digest": ids_digest((0, 1, 7))},
        {"text_digest": text_digest("other")},
        {"tokens": 4, "ids_digest": ids_digest((0, 1, 2, 3))},
        {"prompt_tokens": 1},
        {"part": 1},
        {"offer_digest": bytes(32)},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_an_acknowledgement_of_something_else_ends_the_job(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with pair(tmp_path, stopping_at(3)) as (edge, provider):
        raw = an_offer(edge, provider)
        async with edge.mesh.open(provider.peer_id, JOB_PROTOCOL, timeout_s=5) as stream:
            await stream.send(encode_frame(OfferFrame(raw)))
            tokens = 0
            while tokens < 3:
                frame = decode_frame(await stream.receive(20))
                tokens += len(frame.ids) if isinstance(frame, TokensFrame) else 0
            await stream.send(encode_frame(AckFrame(a_word(edge, provider, raw))))
            await stream.send(encode_frame(AckFrame(a_word(edge, provider, raw, **changes))))
            end = decode_frame(await stream.receive(20))
            assert isinstance(end, ErrorFrame)
            assert end.code == "bad_request"
        (left,) = OpenJobs(provider.store.database).all()
        assert left.acknowledgement == a_word(edge, provider, raw)
        assert not provider.store.find("req_0")


@pytest.mark.parametrize(
    "changes",
    [
        {"completion_tokens": 6},
        {"credits": 10_000},
        {"prices": Prices(9, 9, 9)},
        {"prompt_tokens": PROMPT_TOKENS + 1},
        {"output_ids_digest": ids_digest((9,) * 5)},
        {"text_digest": text_digest("padded")},
        {"model_digest": bytes(32)},
        {"seed": 2},
        {"request_digest": bytes(32)},
        {"part": 3},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_late_receipt_for_more_than_came_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    engine = ScriptedEngine(PIECES)
    engine.crash_at, engine.crash = 5, EngineCrashed("dead")
    honest = claims.lost_receipt

    def bills_more(*args: Any, **more: Any) -> Receipt:
        return replace(honest(*args, **more), **changes)

    monkeypatch.setattr(provided, "lost_receipt", bills_more)
    async with (
        party(tmp_path, 1, engine=engine) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), credit=CreditConfig()) as edge,
    ):
        await edge.until_known(provider)
        await collect(edge.coordinator, job())
        assert not edge.credit.repute.avoided(provider.peer_id)
        assert [each.outcome for each in await edge.recovery.look()] == [REFUSED]
        assert "billed falsely" in edge.credit.repute.avoided(provider.peer_id)
        assert not open_of(edge)
        assert not paid(edge.store)
        (refusal,) = edge.store.refusals("req_0")
        assert (refusal.provider, refusal.code) == (provider.peer_id, "receipt_refused")
        assert edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id) == 0


async def test_receipts_are_shown_to_the_parties_of_their_job_alone(tmp_path: Path) -> None:
    async with (
        pair(tmp_path, ScriptedEngine()) as (edge, provider),
        party(tmp_path, 3, join=provider.mesh.addresses()) as stranger,
    ):
        await collect(edge.coordinator, job())
        await until(lambda: bool(paid(provider.store)))
        await stranger.until_known(provider)
        (held,) = paid(edge.store)
        assert held.countersignature is not None
        assert await edge.receipts.fetch(provider.peer_id, "req_0") == ((held.receipt.raw, held.countersignature.raw),)
        assert await provider.receipts.fetch(edge.peer_id, "req_0") != ()
        assert await stranger.receipts.fetch(provider.peer_id, "req_0") == ()
        assert await edge.receipts.fetch(provider.peer_id, "req_9") == ()


async def test_who_cancels_after_a_window_gets_nothing_beyond_it(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine(PIECES)) as (edge, provider):
        async with edge.mesh.open(provider.peer_id, JOB_PROTOCOL, timeout_s=5) as stream:
            await stream.send(encode_frame(OfferFrame(an_offer(edge, provider))))
            tokens = 0
            while not isinstance(frame := decode_frame(await stream.receive(20)), FinishedFrame):
                tokens += len(frame.ids) if isinstance(frame, TokensFrame) else 0
                if tokens == MOST_UNACKNOWLEDGED:
                    await stream.send(encode_frame(CancelFrame()))
            assert tokens == MOST_UNACKNOWLEDGED
        await until(lambda: provider.provider.jobs.running == 0)
