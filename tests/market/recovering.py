"""What tests of recovery share: a long answer, an engine that stops in it, and what is open or paid of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import trio

from peernode.chat.job import ChatJob
from peernode.ledger import ReceiptRecord, ReceiptStore
from peernode.ledger.open_jobs import GIVEN_UP, OpenJobs, PartKey
from tests.market.scripted import Party, ScriptedEngine
from tests.market.scripted import job as short_job
from tests.samples import REQUEST

PIECES = [f"{number} " for number in range(400)]


def stopping_at(place: int) -> ScriptedEngine:
    engine = ScriptedEngine(PIECES)
    engine.pause_at = place
    return engine


def job() -> ChatJob:
    return replace(short_job(), request=replace(REQUEST, max_tokens=len(PIECES)))


def open_of(party_of: Party) -> list[PartKey]:
    return [each.key for each in OpenJobs(party_of.store.database).all() if each.state != GIVEN_UP]


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not holds():
            await trio.sleep(0.02)


def paid(store: ReceiptStore) -> list[ReceiptRecord]:
    return [record for record in store.find("req_0") if record.countersignature is not None]
