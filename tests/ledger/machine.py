"""The state machine: random operations on two ledgers, in any order, again, together, and with crashes in between.

After each of them the ledgers hold what the model says, to the micro-credit, and their balances what their events say.
After a crash they hold what was before the operation or what comes after it, and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from peernode.ledger import Books
from tests.ledger.faults import DIED, Faults
from tests.ledger.model import Model, Parties
from tests.ledger.operations import Deliver, GiveBack, Grant, Operation, SetAside, Settle, Sign, Spoil, Take

WAIT_S = 60
CLIENTS = st.sampled_from(["anne", "bob"])
REQUESTS = st.integers(1, 6).map("req_{}".format)
AMOUNTS = st.one_of(st.integers(0, 20), st.integers(1, 10**12))
HOLDS = st.builds(SetAside, REQUESTS, CLIENTS, AMOUNTS)
AT_ONCE = 12
ORDER = st.permutations(range(AT_ONCE))
# Mostly no crash: an example of them alone would get nowhere.
CRASHES = st.one_of(*[st.none()] * 9, st.integers(0, 60))


class Ledgers(RuleBasedStateMachine):
    """``reopen`` opens both ledgers (new ones with True), and is given by the test for each database."""

    reopen: Callable[[bool], Parties]
    operations = 0
    crashes = 0
    compared_every = 1

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self._steps = 0
        self.parties: Parties | None = None
        self.faults: tuple[Faults, Faults]

    @initialize()
    def begin(self) -> None:
        self._open(new=True)

    def teardown(self) -> None:
        if self.parties is not None:
            self._compare()
            self.parties.close()

    @rule(number=st.integers(1, 8), to=CLIENTS, amount=AMOUNTS.filter(bool), crash=CRASHES)
    def grant(self, number: int, to: str, amount: int, crash: int | None) -> None:
        self._do([Grant(number, to, amount)], crash)

    @rule(number=st.integers(1, 8), to=CLIENTS, times=st.integers(2, 5))
    def grant_again(self, number: int, to: str, times: int) -> None:
        self._do([Grant(number, to, 1000 * number)] * times, None)

    @rule(number=st.integers(1, 4), amount=AMOUNTS.filter(bool), crash=CRASHES)
    def settle(self, number: int, amount: int, crash: int | None) -> None:
        self._do([Settle(number, amount)], crash)

    @rule(hold=HOLDS, crash=CRASHES)
    def hold(self, hold: SetAside, crash: int | None) -> None:
        self._do([hold], crash)

    @rule(request_id=REQUESTS, keep=st.integers(0, 10), crash=CRASHES)
    def release(self, request_id: str, keep: int, crash: int | None) -> None:
        self._do([GiveBack(request_id, keep)], crash)

    @rule(request_id=REQUESTS, part=st.integers(0, 2), amount=AMOUNTS, crash=CRASHES)
    def sign(self, request_id: str, part: int, amount: int, crash: int | None) -> None:
        self._do([Sign(request_id, part, amount)], crash)

    @precondition(lambda self: self.model.chain)
    @rule(which=st.integers(0, 999), crash=CRASHES)
    def take(self, which: int, crash: int | None) -> None:
        self._do([self._take(which)], crash)

    @precondition(lambda self: self.model.taken)
    @rule(which=st.integers(0, 999), crash=CRASHES)
    def deliver(self, which: int, crash: int | None) -> None:
        self._do([self._deliver(which)], crash)

    @precondition(lambda self: self.model.chain)
    @rule(hold=HOLDS, which=ORDER, order=ORDER, crash=CRASHES)
    def take_at_once(self, hold: SetAside, which: Sequence[int], order: Sequence[int], crash: int | None) -> None:
        """Many operations of the coordinator in one commit, in any order."""
        operations = [hold, GiveBack(hold.request_id, 0), Grant(hold.amount % 8 + 1, hold.of, 7), Spoil(hold.of, 7)]
        operations += [self._take(number) for number in which[: AT_ONCE - 4]]
        self._do([operations[place] for place in order], crash)

    @precondition(lambda self: self.model.taken)
    @rule(request_id=REQUESTS, amount=AMOUNTS, which=ORDER, order=ORDER, crash=CRASHES)
    def give_at_once(
        self, request_id: str, amount: int, which: Sequence[int], order: Sequence[int], crash: int | None
    ) -> None:
        """Many operations of the provider in one commit, in any order."""
        operations = [Sign(request_id, part, amount) for part in range(3)]
        operations += [self._deliver(number) for number in which[: AT_ONCE - 3]]
        self._do([operations[place] for place in order], crash)

    @rule(now=st.integers(0, 9))
    def power_cut(self, now: int) -> None:
        if now == 0:
            self._open(new=False)

    @rule(now=st.integers(0, 9))
    def rebuild(self, now: int) -> None:
        if now:
            return
        Books(self._there.coordinator).rebuild()
        Books(self._there.provider).rebuild()

    @invariant()
    def books_are_right(self) -> None:
        self._steps += 1
        if self.parties is not None and self._steps % self.compared_every == 0:
            self._compare()

    def _compare(self) -> None:
        self._there.check()
        assert self._there.view() == self.model.view()

    @property
    def _there(self) -> Parties:
        assert self.parties is not None
        return self.parties

    def _take(self, which: int) -> Take:
        return Take(self.model.chain[which % len(self.model.chain)])

    def _deliver(self, which: int) -> Deliver:
        taken = list(self.model.taken.values())
        digest, total = taken[which % len(taken)]
        return Deliver(next(signed for signed in self.model.chain if signed.digest == digest), total)

    def _open(self, *, new: bool) -> None:
        if self.parties is not None:
            self.parties.close()
        self.parties = type(self).reopen(new)
        self.faults = (Faults(self.parties.coordinator), Faults(self.parties.provider))

    def _do(self, operations: Sequence[Operation], crash: int | None) -> None:
        """Submit all of them, of one party, into one commit: every outcome is as expected, or none of it happened."""
        type(self).operations += len(operations)
        after = self.model.copy()
        expected = [operation.expect(after) for operation in operations]
        by_provider = isinstance(operations[0], Sign | Deliver)
        faults = self.faults[by_provider]
        gate = _hold_back((self._there.provider if by_provider else self._there.coordinator).writer)
        futures = [operation.submit(self._there) for operation in operations]
        faults.arm(crash)
        gate.set()
        outcomes = [_outcome(future) for future in futures]
        if any(outcome in DIED for outcome in outcomes):
            type(self).crashes += 1
            assert all(outcome in DIED for outcome in outcomes), "all of one commit, or none of it"
            faults.revive()
            view = self._there.view()
            assert view in (self.model.view(), after.view()), (view, self.model.view(), after.view())
            if view == after.view():
                self.model = after
        else:
            assert outcomes == expected, list(zip(operations, outcomes, expected, strict=True))
            self.model = after
        faults.arm(None)


def _hold_back(writer: Any) -> threading.Event:
    """Keep the writer from its next work until the event is set, so that what comes meanwhile is one commit."""
    entered, gate = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        entered.set()
        assert gate.wait(WAIT_S)

    writer.submit(wait)
    assert entered.wait(WAIT_S)
    return gate


def _outcome(future: Any) -> Any:
    error = future.exception(WAIT_S)
    return future.result() if error is None else type(error)
