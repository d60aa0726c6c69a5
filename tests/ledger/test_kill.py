"""kill -9 of a process that books jobs in a loop: what it said is durable is there, and the books agree."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from peernode.ledger import Books, Database, Holds
from peernode.ledger.events import owed
from peernode.ledger.schema import countersignatures, events
from tests.samples import COORDINATOR, PROVIDER

ROUNDS = 4
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("endless_poster.py")


def killed_after(where: str, *, first: int, lines: int) -> list[list[str]]:
    """What a process said before it was killed: at least ``lines`` lines."""
    command = [sys.executable, str(SCRIPT), where, str(first)]
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts' / 'lib'}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **paths})
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    said += process.stdout.readlines()
    assert process.wait(30) == -9
    return [line.split() for line in said if line.endswith("\n")]


@pytest.mark.real
def test_what_was_acknowledged_outlives_a_kill(where: str) -> None:
    rng = random.Random(4)
    said: list[list[str]] = []
    for number in range(ROUNDS):
        said += killed_after(where, first=number * 1_000_000, lines=rng.randrange(40, 400))
        database = Database.open(where, own=COORDINATOR.peer_id)
        books, holds = Books(database), Holds(database)
        books.check()
        with database.reader() as db:
            keys = set(db.execute(select(events.c.key)).scalars())
            totals = sorted(db.execute(select(countersignatures.c.cumulative)).scalars())
        taken = {request_id: int(total[0]) for what, request_id, *total in pairs(said) if what == "taken"}
        assert {f"hold:{request_id}" for what, request_id, *_ in pairs(said) if what == "held"} <= keys
        assert set(taken.values()) <= set(totals)
        assert len(set(taken.values())) == len(taken)
        # Totals go up by what each receipt says, without a gap or a repeat: nothing is charged twice.
        each = totals[0]
        assert totals == [each * count for count in range(1, len(totals) + 1)]
        assert books.balance(owed(PROVIDER.peer_id)) == -totals[-1] == -books.balance("redeemed")
        pending = {hold.request_id for hold in holds.pending()}
        assert not pending & {request_id for what, request_id, *_ in pairs(said) if what == "released"}
        for request_id in pending:
            holds.release(request_id, 9)
        assert books.balance("client:anne") == 10**12 - totals[-1]
        database.close()


def pairs(said: list[list[str]]) -> list[list[str]]:
    return [words for words in said if len(words) > 1]
