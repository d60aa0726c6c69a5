"""A provider's log, held against its own words over real streams: an honest one shows everything, another does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_heads import LogHeads
from peernode.market.log_audit import LogAnswers, LogAuditor
from peernode.market.log_keeper import checkpoint_now
from peernode.market.recovery.talk import ReceiptTalk, Refused
from peernode.wire.checkpoint import sign_checkpoint
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.errors import BadSchema
from peernode.wire.log_frames import GrowthFrame, PathFrame, PlaceFrame
from peernode.wire.log_head import head_of_checkpoint
from peernode.wire.receipt import sign_receipt
from peernode.wire.receipt_frames import PROTOCOL, decode_receipt_frame, encode_receipt_frame
from tests import samples
from tests.market.scripted import NETWORK, ScriptedEngine, pair

SIZE = 9


def work(provider, coordinator, count=SIZE):
    """Receipts of jobs that ``coordinator`` ordered, on both sides; the words on the log that the provider signed."""
    heads = []
    for number in range(count):

        def build(seq, previous, number=number):
            body = samples.receipt(
                network=NETWORK, request_id=f"req_{number}", coordinator=coordinator.identity.peer_id,
                provider=provider.identity.peer_id, seq=seq, previous=previous,
            )  # fmt: skip
            return sign_receipt(body, provider.identity)

        signed = provider.store.append(build, now_ms=number)

        def total(cumulative, signed=signed):
            body = Countersignature(
                NETWORK, coordinator.identity.peer_id, provider.identity.peer_id, signed.digest, cumulative, 1
            )
            return sign_countersignature(body, coordinator.identity)

        coordinator.store.countersign(signed, total, now_ms=number)
        log = ReceiptLog(provider.store.database)
        heads.append(checkpoint_now(log, identity=provider.identity, network=NETWORK, now_ms=number))
    return heads


async def test_an_honest_log_shows_its_growth_and_every_receipt(tmp_path):
    with trio.fail_after(60):
        async with pair(tmp_path, ScriptedEngine()) as (coordinator, provider):
            words = work(provider, coordinator)
            heads = LogHeads(coordinator.store.database)
            heads.see([head_of_checkpoint(words[at]) for at in (0, 3, 6, SIZE - 1)], now_ms=1)
            auditor = LogAuditor(mesh=coordinator.mesh, database=coordinator.store.database)
            audit = await auditor.audit(provider.identity.peer_id)
            assert (audit.size, audit.heads, audit.receipts, audit.failed) == (SIZE, 3, SIZE, [])


async def test_a_log_that_does_not_go_on_from_what_was_signed_is_told_of(tmp_path):
    """The word of an earlier life, with another receipt in the place of the fourth."""
    with trio.fail_after(60):
        async with pair(tmp_path, ScriptedEngine()) as (coordinator, provider):
            words = work(provider, coordinator)
            forked = sign_checkpoint(replace(words[3].checkpoint, root=b"f" * 32), provider.identity)
            longer = sign_checkpoint(replace(words[-1].checkpoint, size=SIZE + 5), provider.identity)
            heads, auditor = (
                LogHeads(coordinator.store.database),
                LogAuditor(mesh=coordinator.mesh, database=coordinator.store.database),
            )
            heads.see([head_of_checkpoint(each) for each in (forked, words[5], words[-1])], now_ms=1)
            audit = await auditor.audit(provider.identity.peer_id)
            assert [why.partition(":")[0] for why in audit.failed] == ["that it grew from 4 receipts"]
            # And one that it cannot show at all.
            heads.see([head_of_checkpoint(longer)], now_ms=2)
            audit = await auditor.audit(provider.identity.peer_id)
            assert len(audit.failed) == audit.heads + audit.receipts
            assert "never was like that" in audit.failed[0]


async def test_nothing_is_asked_of_a_peer_that_signed_nothing(tmp_path):
    with trio.fail_after(60):
        async with pair(tmp_path, ScriptedEngine()) as (coordinator, provider):
            auditor = LogAuditor(mesh=coordinator.mesh, database=coordinator.store.database)
            audit = await auditor.audit(provider.identity.peer_id)
            assert (audit.size, audit.heads, audit.receipts, audit.failed) == (0, 0, 0, [])


async def test_a_path_does_not_open_a_conversation_and_questions_out_of_range_are_refused(tmp_path):
    with trio.fail_after(60):
        async with pair(tmp_path, ScriptedEngine()) as (coordinator, provider):
            work(provider, coordinator, 2)
            for frame in (PathFrame(b""), PlaceFrame(3, 2), GrowthFrame(2, 5), GrowthFrame(2, 1)):
                async with coordinator.mesh.open(provider.identity.peer_id, PROTOCOL, timeout_s=10) as stream:
                    talk = ReceiptTalk(stream)
                    await talk.send(frame)
                    with pytest.raises(Refused) as refused:
                        await talk.receive()
                    assert refused.value.reason == "bad_request"
            answers = LogAnswers(ReceiptLog(provider.store.database))
            assert (await answers.answer(GrowthFrame(2, 2))).hashes == ()


def test_frames_round_trip_and_are_bounded():
    for frame in (GrowthFrame(1, 2), PlaceFrame(3, 4), PathFrame(b"h" * 64)):
        assert decode_receipt_frame(encode_receipt_frame(frame)) == frame
    for frame in (GrowthFrame(0, 2), PlaceFrame(0, 1), PathFrame(b"h" * (64 * 32 + 1))):
        with pytest.raises(BadSchema):
            decode_receipt_frame(encode_receipt_frame(frame))
