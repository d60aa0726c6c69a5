"""Lines of credit and settlement notes between parties on a real mesh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import NoProvider
from peernode.chat.events import Failed, Receipted
from peernode.ledger import Books
from peernode.ledger.events import SETTLED, owed, owes
from peernode.ledger.settlements import Settlements
from peernode.node.credit import NodeCredit
from peernode.node.credit_config import CreditConfig
from peernode.wire.credit_frames import (
    PROTOCOL,
    CreditFrame,
    NoteFrame,
    PostedFrame,
    RefusedFrame,
    decode_credit_frame,
    encode_credit_frame,
)
from peernode.wire.identity import Identity
from peernode.wire.settlement_note import SettlementNote, sign_settlement_note
from tests.market.scripted import NETWORK, Party, ScriptedEngine, collect, job, party
from tests.samples import STRANGER

# One answer of three tokens costs ⌈(30 × 100 000 + 3 × 400 000) ÷ 10⁶⌉.
ANSWER = 5
LINE = CreditConfig(newcomer=200, newcomers_cap=1000)


@asynccontextmanager
async def creditor_and_debtor(folder: Path) -> AsyncIterator[tuple[Party, Party]]:
    """A provider that gives a newcomer 200 micro-credits, and a coordinator without a model."""
    async with (
        party(folder, 1, engine=ScriptedEngine(), credit=LINE) as creditor,
        party(folder, 2, join=creditor.mesh.addresses(), credit=LINE) as debtor,
    ):
        await debtor.until_known(creditor)
        await creditor.until_known(debtor)
        yield creditor, debtor


def lent(made: Party) -> NodeCredit:
    assert made.credit is not None
    return made.credit


async def serve_until_refused(edge: Party) -> tuple[int, str]:
    """How many jobs were answered, and what was said at last."""
    for number in range(60):
        last = (await collect(edge.coordinator, job(number)))[-1]
        if isinstance(last, Failed):
            assert isinstance(last.error, NoProvider)
            return number, last.error.cause
        assert isinstance(last, Receipted)
    raise AssertionError("nobody was ever refused")


async def test_a_taker_is_cut_off_at_its_line_and_served_again_when_it_settled(tmp_path: Path) -> None:
    async with creditor_and_debtor(tmp_path) as (creditor, debtor):
        answered, reason = await serve_until_refused(debtor)
        assert "credit: " in reason
        standing = lent(creditor).lines.standing(debtor.peer_id)
        assert standing.position.owed == answered * ANSWER <= 200
        assert standing.held == 0
        told = (await lent(debtor).view.peers())[0]
        assert told["owing"] == answered * ANSWER
        made = await lent(creditor).view.settle(debtor.peer_id[-8:], answered * ANSWER, "invoice 7")
        assert (made["delivered"], made["balance"]) == (True, 0)
        assert Books(creditor.store.database).balance(owes(debtor.peer_id)) == 0
        assert Books(creditor.store.database).balance(SETTLED) == answered * ANSWER
        assert Books(debtor.store.database).balance(owed(creditor.peer_id)) == 0
        assert Books(debtor.store.database).balance(SETTLED) == -answered * ANSWER
        assert lent(debtor).lines.standing(creditor.peer_id).position.owing == 0
        last = (await collect(debtor.coordinator, job(1000)))[-1]
        assert isinstance(last, Receipted)


async def test_two_that_serve_each_other_in_turn_owe_each_other_nothing(tmp_path: Path) -> None:
    async with (
        party(tmp_path, 1, engine=ScriptedEngine(), credit=LINE) as one,
        party(tmp_path, 2, engine=ScriptedEngine(), join=one.mesh.addresses(), credit=LINE) as two,
    ):
        await two.until_known(one)
        await one.until_known(two)
        for number in range(60):
            for asker, answerer in ((one, two), (two, one)):
                wishes = replace(job().wishes, only=(answerer.peer_id,))
                wanted = replace(job(number), request_id=f"req_{asker.peer_id[-4:]}_{number}", wishes=wishes)
                assert isinstance((await collect(asker.coordinator, wanted))[-1], Receipted)
        for mine, theirs in ((one, two), (two, one)):
            position = lent(mine).lines.standing(theirs.peer_id).position
            assert position.given == position.taken == 60 * ANSWER > LINE.newcomer
            assert position.balance == 0


async def test_a_debtor_that_is_away_hears_of_it_when_it_is_back(tmp_path: Path) -> None:
    async with party(tmp_path, 1, engine=ScriptedEngine(), credit=LINE) as creditor:
        away = Identity.from_seed(bytes([2]) * 32).peer_id
        made = await lent(creditor).view.settle(away, 77, "")
        assert not made["delivered"]
        async with party(tmp_path, 2, join=creditor.mesh.addresses(), credit=LINE) as debtor:
            with trio.fail_after(30):
                while Settlements(creditor.store.database).undelivered():
                    await trio.sleep(0.05)
            assert lent(debtor).lines.standing(creditor.peer_id).position.owing == -77
            assert Books(debtor.store.database).balance(owed(creditor.peer_id)) == 77


async def bring(made: Party, debtor: Party, frame: CreditFrame) -> CreditFrame:
    async with made.mesh.open(debtor.peer_id, PROTOCOL, timeout_s=5) as stream:
        await stream.send(encode_credit_frame(frame))
        return decode_credit_frame(await stream.receive(10))


async def test_only_a_note_of_its_bearer_for_this_node_is_taken(tmp_path: Path) -> None:
    async with creditor_and_debtor(tmp_path) as (creditor, debtor):
        true = SettlementNote(NETWORK, creditor.peer_id, debtor.peer_id, 50, 50, "", 1)

        def signed(who: Identity, **changes: object) -> NoteFrame:
            return NoteFrame(sign_settlement_note(replace(true, **changes), who).raw)  # type: ignore[arg-type]

        forged = bytearray(signed(creditor.identity).raw)
        forged[-1] ^= 1
        for frame, code in (
            (signed(STRANGER, creditor=STRANGER.peer_id), "bad_request"),
            (signed(creditor.identity, debtor=STRANGER.peer_id), "bad_request"),
            (signed(creditor.identity, network="other"), "wrong_network"),
            (NoteFrame(bytes(forged)), "bad_signature"),
            (NoteFrame(b"\x93nonsense"), "not_canonical"),
            (PostedFrame(50), "out_of_turn"),
        ):
            answer = await bring(creditor, debtor, frame)
            assert isinstance(answer, RefusedFrame)
            assert answer.code == code
        assert lent(debtor).lines.standings() == []
        first = await bring(creditor, debtor, signed(creditor.identity))
        later = await bring(creditor, debtor, signed(creditor.identity, settled=90, amount=40))
        stale = await bring(creditor, debtor, signed(creditor.identity))
        assert [first, later, stale] == [PostedFrame(50), PostedFrame(90), PostedFrame(90)]
        assert Books(debtor.store.database).balance(owed(creditor.peer_id)) == 90


async def test_notes_without_end_are_not_kept(tmp_path: Path) -> None:
    async with creditor_and_debtor(tmp_path) as (creditor, debtor):
        answers = []
        for number in range(1, 30):
            note = SettlementNote(NETWORK, creditor.peer_id, debtor.peer_id, number, 1, "", 1)
            answers.append(await bring(creditor, debtor, NoteFrame(sign_settlement_note(note, creditor.identity).raw)))
        assert 20 <= sum(isinstance(answer, PostedFrame) for answer in answers) <= 25
        assert isinstance(answers[-1], RefusedFrame)
        assert answers[-1].code == "busy"


@pytest.mark.parametrize("peer", ["nobody", ""])
async def test_nobody_unknown_is_settled_with(tmp_path: Path, peer: str) -> None:
    from peernode.edge.errors import UnknownPeer

    async with party(tmp_path, 1, engine=ScriptedEngine(), credit=LINE) as creditor:
        with pytest.raises(UnknownPeer):
            await lent(creditor).view.settle(peer, 1, "")
        with pytest.raises(UnknownPeer):
            await lent(creditor).view.settle(creditor.peer_id, 1, "")


async def test_lines_are_as_they_were_after_a_restart(tmp_path: Path) -> None:
    async with creditor_and_debtor(tmp_path) as (creditor, debtor):
        await serve_until_refused(debtor)
        await lent(creditor).view.settle(debtor.peer_id, 60, "")
        before = lent(creditor).lines.standings()
    async with party(tmp_path, 1, engine=ScriptedEngine(), credit=LINE) as again:
        after = lent(again).lines.standings()
    assert [replace(each, earned=0, limit=0) for each in after] == [replace(each, earned=0, limit=0) for each in before]
    # A moment of fading rounds down.
    assert all(one.earned - other.earned in {0, 1} for one, other in zip(before, after, strict=True))
