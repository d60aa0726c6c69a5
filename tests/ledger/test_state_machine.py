"""Random operations with crashes, on SQLite and on PostgreSQL; and a crash at every point of each operation.

``PEERNODE_LEDGER_OPERATIONS=100000`` makes it so many operations on each database, other ones every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from peernode.ledger import Database
from tests.ledger.conftest import Place
from tests.ledger.faults import DIED, Faults
from tests.ledger.machine import Ledgers
from tests.ledger.model import Model, Parties
from tests.ledger.operations import Deliver, GiveBack, Grant, SetAside, Settle, Sign, Take
from tests.samples import COORDINATOR, PROVIDER

SHORT, SHORT_STEPS = 200, 50
LONG_STEPS = 100


@pytest.fixture
def reopen(place: Place) -> Callable[[bool], Parties]:
    """Opens the two ledgers; they are two files, or in PostgreSQL one database that both nodes share."""
    where: list[str] = []

    def opened(new: bool) -> Parties:
        if new:
            first = place()
            where[:] = [first, first if first.startswith("postgresql") else place()]
        return Parties(Database.open(where[0], own=COORDINATOR.peer_id), Database.open(where[1], own=PROVIDER.peer_id))

    return opened


@pytest.mark.real
def test_ledgers_hold_what_they_should_through_anything(reopen, capsys) -> None:
    wanted = int(os.environ.get("PEERNODE_LEDGER_OPERATIONS", "0"))

    class Machine(Ledgers):
        compared_every = 5 if wanted else 1

    Machine.reopen = staticmethod(reopen)
    while Machine.operations < (wanted or SHORT):
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=10 if wanted else 4,
                stateful_step_count=LONG_STEPS if wanted else SHORT_STEPS,
                derandomize=not wanted,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                # A failure is shrunk where there is time for it: each attempt opens ledgers.
                phases=(Phase.generate,),
            ),
        )
        if wanted:
            with capsys.disabled():
                print(f"{Machine.operations} operations, {Machine.crashes} crashes", flush=True)  # noqa: T201
    assert Machine.crashes > 0


def operations(model: Model) -> dict[str, tuple[Any, ...]]:
    """Each kind of operation, after what it needs to mean something."""
    signed = Sign("req_1", 0, 30).expect(Model())
    ready = (Grant(1, "anne", 100), SetAside("req_1", "anne", 50), Sign("req_1", 0, 30))
    return {
        "grant": (Grant(1, "anne", 100),),
        "settle": (Settle(1, 100),),
        "hold": (Grant(1, "anne", 100), SetAside("req_1", "anne", 50)),
        "release": (*ready[:2], GiveBack("req_1", 20)),
        "sign": (Sign("req_1", 0, 30),),
        "take": (*ready, Take(signed)),
        "deliver": (*ready, Take(signed), Deliver(signed, 30)),
    }


@pytest.mark.parametrize("kind", operations(Model()))
def test_a_crash_at_any_point_leaves_all_or_nothing_and_doing_it_again_does_it_once(reopen, kind: str) -> None:
    *before, last = operations(Model())[kind]
    parties, model = reopen(True), Model()
    for operation in before:
        assert operation.submit(parties).result(10) == operation.expect(model)
    after = model.copy()
    last.expect(after)
    outcomes = []
    for point in range(1000):
        faults = [Faults(parties.coordinator), Faults(parties.provider)]
        for fault in faults:
            fault.arm(point)
        died = isinstance(last.submit(parties).exception(10), DIED)
        parties.close()
        parties = reopen(False)
        parties.check()
        outcomes.append(parties.view() == after.view())
        assert outcomes[-1] or parties.view() == model.view()
        if outcomes[-1] and kind == "sign":
            break  # signing again would make another receipt, and rightly
        if not died:
            break
    assert point >= 4, "it died before the savepoint, in it, after it, and around the commit"
    assert outcomes == sorted(outcomes), "once it is there it stays"
    assert outcomes[-1]
    parties.close()
