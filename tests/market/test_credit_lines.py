"""Lines of credit to many peers: nobody gets more than its line, all newcomers together no more than their cap."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.chat.errors import ProviderBusy
from peernode.market.credit.line import Terms, limit_of
from peernode.market.credit.lines import CreditLines
from tests.market.credit_world import CONTEXT, Clock, Giver, a_receipt, a_voucher, peer
from tests.samples import REQUEST

TERMS = Terms(newcomer=2_000, growth_percent=50, peer_cap=20_000, newcomers_cap=9_000)
TAKER = peer(1)


def giver(terms: Terms = TERMS) -> Giver:
    return Giver(peer(0), terms, Clock())


def test_a_pure_taker_is_cut_off_at_the_newcomers_slice_and_served_again_when_it_settled() -> None:
    node = giver()
    while node.serve(TAKER, 100):
        pass
    assert 2_000 - 600 < node.got[TAKER] <= 2_000
    node.lines.was_paid(TAKER, node.got[TAKER])
    assert node.serve(TAKER, 100)


def test_two_that_serve_each_other_in_turn_never_come_to_an_end() -> None:
    clock = Clock()
    one, two = Giver(peer(1), TERMS, clock), Giver(peer(2), TERMS, clock)
    for _ in range(500):
        assert one.serve(two.own, 200)
        two.lines.took(one.own, one.vouchers[two.own])
        assert two.serve(one.own, 200)
        one.lines.took(two.own, two.vouchers[one.own])
    assert one.lines.standing(two.own).position.balance == 0
    assert two.lines.standing(one.own).position.balance == 0
    assert one.got[two.own] == two.got[one.own] > 20 * TERMS.newcomer


def test_who_withholds_a_countersignature_gets_nothing_more_until_it_comes() -> None:
    node = giver()
    assert node.serve(TAKER, 50)
    assert node.serve(TAKER, 50, "withholds")
    assert not node.serve(TAKER, 1)
    assert node.ledger.marked[0].kind == "withheld"
    late = node.offer(TAKER, request_id="req_2")
    node.sign(late, 0)
    assert node.serve(TAKER, 50)
    assert not node.ledger.jobs


def test_a_withheld_countersignature_is_remembered_over_a_restart() -> None:
    node = giver()
    node.serve(TAKER, 50, "withholds")
    again = CreditLines(own=node.own, terms=TERMS, ledger=node.ledger, clock_ms=node.clock)
    assert "countersignature of req_1 part 0 is missing" in again.refusal(TAKER, 1)


def test_who_hangs_up_again_and_again_comes_to_the_end_of_its_line() -> None:
    node = giver()
    for _ in range(100):
        node.serve(TAKER, 100, "hangs up")
    assert node.got[TAKER] <= TERMS.newcomer


def test_a_broken_network_is_forgiven_to_those_who_pay() -> None:
    newcomer, customer = giver(), giver()
    for _ in range(40):
        assert customer.serve(TAKER, 100)
        customer.lines.was_paid(TAKER, customer.vouchers[TAKER])
    for node in (newcomer, customer):
        node.serve(TAKER, 100, "hangs up")
        assert node.lines.standing(TAKER).unsigned == 44
    line = customer.lines.standing(TAKER).limit
    assert line is not None
    # 44 are less than a sixteenth of what it paid: its whole line is there still.
    assert not customer.lines.refusal(TAKER, line)
    assert not newcomer.lines.refusal(TAKER, TERMS.newcomer - 44)
    assert newcomer.lines.refusal(TAKER, TERMS.newcomer - 43)


@pytest.mark.parametrize("ending", ["withholds", "hangs up"])
def test_a_settlement_closes_what_was_never_signed_for(ending: str) -> None:
    node = giver()
    node.serve(TAKER, 100, ending)
    assert node.lines.standing(TAKER).unsigned > 0
    node.lines.was_paid(TAKER, 1)
    assert node.lines.standing(TAKER).unsigned == 0
    assert not node.ledger.jobs
    assert node.serve(TAKER, 100)


def test_a_long_job_holds_a_window_and_not_all_that_it_may_cost() -> None:
    node = giver(replace(TERMS, newcomer=500))
    offer = node.offer(TAKER)
    with node.lines.reserve(offer, replace(REQUEST, max_tokens=CONTEXT), CONTEXT) as hold:
        hold.metered(40, 0)
        standing = node.lines.standing(TAKER)
        assert standing.held == -(-(40 * 100_000 + 256 * 400_000) // 10**6)  # 4 for the prompt, 103 for a window
        assert hold.covers(257)
        assert node.lines.standing(TAKER).held == -(-(40 * 100_000 + 513 * 400_000) // 10**6)


def test_a_job_ends_where_the_line_does() -> None:
    node = giver(replace(TERMS, newcomer=500))
    assert not node.serve(TAKER, CONTEXT)
    assert 300 < node.got[TAKER] <= 500


def test_jobs_at_once_share_a_line() -> None:
    node = giver(replace(TERMS, newcomer=500))
    held = []
    with pytest.raises(ProviderBusy, match="no more credit"):
        for _ in range(10):
            hold = node.lines.reserve(node.offer(TAKER), REQUEST, CONTEXT)
            held.append(hold.__enter__())
    assert 1 <= len(held) < 10
    for hold in held:
        hold.__exit__(None, None, None)
    assert node.lines.standing(TAKER).held == 0


def test_a_nodes_own_jobs_need_no_credit() -> None:
    node = giver(Terms(newcomer=0, newcomers_cap=0))
    for _ in range(5):
        with node.lines.reserve(node.offer(node.own), REQUEST, CONTEXT) as hold:
            assert hold.covers(10**6)


def test_an_operator_may_trust_one_and_refuse_another() -> None:
    friend, foe = peer(2), peer(3)
    node = giver(Terms(newcomer=10**6, own_limits={friend: None, foe: 0}))
    assert all(node.serve(friend, CONTEXT, "withholds") for _ in range(50))
    assert not node.serve(foe, 1)


def test_nobody_pays_for_another_who_chose_the_same_request_id() -> None:
    node, other = giver(), peer(2)
    mine, theirs = (node.offer(who, request_id="req_x") for who in (TAKER, other))
    with node.lines.reserve(mine, REQUEST, CONTEXT) as one, node.lines.reserve(theirs, REQUEST, CONTEXT) as two:
        for hold in (one, two):
            assert hold.covers(10)
            hold.billed(50)
        node.lines.refused(a_receipt(theirs))
        node.sign(mine, 50)
    assert node.lines.standing(TAKER).unsigned == 0
    assert node.lines.standing(other).unsigned == 50
    assert node.lines.standing(other).closed


def test_one_name_for_two_jobs_does_not_hide_one_of_them() -> None:
    node = giver()
    cheap = node.offer(TAKER, request_id="req_x")
    with node.lines.reserve(cheap, REQUEST, CONTEXT) as hold:
        with pytest.raises(ProviderBusy, match="asked for here before"):
            node.lines.reserve(cheap, REQUEST, CONTEXT)
        hold.billed(1)
        node.sign(cheap, 1)
    old = a_receipt(cheap, node.clock.ms)
    node.clock.ms += 1000
    with node.lines.reserve(cheap, REQUEST, CONTEXT) as hold:
        assert hold.covers(200)
        hold.billed(90)
        node.lines.refused(a_receipt(cheap))
    node.lines.countersigned(old, a_voucher(cheap, 1))  # again, for the job of before
    assert node.lines.standing(TAKER).unsigned == 90
    assert node.lines.standing(TAKER).closed


def test_what_was_never_signed_for_is_not_written_over() -> None:
    node = giver()
    offer = node.offer(TAKER, request_id="req_x")
    with node.lines.reserve(offer, REQUEST, CONTEXT) as hold:
        assert hold.covers(200)
    left = node.lines.standing(TAKER).unsigned
    assert left > 80
    with pytest.raises(ProviderBusy, match="asked for here before"):
        node.lines.reserve(offer, REQUEST, CONTEXT)
    assert node.lines.standing(TAKER).unsigned == left


def test_a_late_voucher_changes_nothing() -> None:
    node = giver()
    first, second = node.offer(TAKER), node.offer(TAKER)
    node.lines.countersigned(a_receipt(second), a_voucher(second, 300))
    node.lines.countersigned(a_receipt(first), a_voucher(first, 100))
    node.lines.countersigned(a_receipt(second), a_voucher(second, 300))
    assert node.lines.standing(TAKER).position.given == 300


@pytest.mark.parametrize("ending", ["signs", "withholds", "hangs up"])
def test_a_thousand_identities_get_no_more_than_the_cap_of_each_honest_node(ending: str) -> None:
    clock = Clock()
    nodes = [Giver(peer(n), TERMS, clock) for n in range(1, 6)]
    takers = [peer(1000 + n) for n in range(1000)]
    for _ in range(4):
        for taker in takers:
            for node in nodes:
                node.serve(taker, 100, ending)
        clock.ms += 40 * 86_400_000  # a later day changes nothing
    for node in nodes:
        assert 0.9 * TERMS.newcomers_cap < sum(node.got.values()) <= TERMS.newcomers_cap
        assert max(node.got.values()) <= TERMS.newcomer


def test_newcomers_do_not_take_from_those_who_earned() -> None:
    node, friend = giver(), peer(7)
    node.lines.took(friend, 8_000)
    for number in range(1000):
        node.serve(peer(1000 + number), 100)
    served = node.lines.standing(friend)
    assert (served.limit, served.position.balance) == (2_000 + 4_000, -8_000)
    while node.serve(friend, 100):
        pass
    # What it earned in full, and nothing of the newcomers' share, which is used up.
    assert 8_000 + 4_000 - 600 < node.got[friend] <= 8_000 + 4_000
    assert not node.serve(peer(5000), 100)


ACTIONS = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["signs", "signs", "withholds", "hangs up", "settles", "serves", "signs late", "waits", "restart"]),
    st.integers(1, 900),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=80), st.integers(0, 2**32))
def test_nobody_ever_has_more_than_its_line_and_newcomers_no_more_than_their_cap(
    actions: list[tuple[int, str, int]], seed: int
) -> None:
    rng = random.Random(seed)
    node = giver()
    settled: dict[str, int] = {}
    served: dict[str, int] = {}
    for number, what, amount in actions:
        name = peer(number + 1)
        if what == "settles":
            settled[name] = settled.get(name, 0) + amount
            node.lines.was_paid(name, settled[name])
        elif what == "serves":
            served[name] = served.get(name, 0) + amount
            node.lines.took(name, served[name])
        elif what == "signs late":
            jobs = [job for job in node.ledger.jobs.values() if job.peer == name]
            if jobs:
                job = rng.choice(jobs)
                offer = node.offer(name, request_id=job.request_id, part=job.part)
                node.sign(offer, job.credits)
        elif what == "waits":
            node.clock.ms += amount * 3_600_000
        elif what == "restart":
            before = node.lines.standings()
            node.restart(settled, served)
            assert node.lines.standings() == before
        else:
            had = node.got.get(name, 0)
            node.serve(name, amount, what)
            if node.got.get(name, 0) > had:
                _check(node, name, settled, served)
    owed = [node.got.get(name, 0) - settled.get(name, 0) - served.get(name, 0) for name in node.got]
    assert all(node.lines.standing(name).held == 0 for name in node.got)
    assert sum(max(each, 0) for each in owed) <= TERMS.newcomers_cap + sum(_earned_at_most(settled, served, node.got))


def _check(node: Giver, name: str, settled: dict[str, int], served: dict[str, int]) -> None:
    """What it really got, less what it paid in money or service, is within its line, but for what is forgiven."""
    paid = settled.get(name, 0) + served.get(name, 0)
    limit = limit_of(name, node.lines.standing(name).position, node.clock.ms, TERMS)
    assert limit is not None
    assert node.got[name] - paid <= limit + paid // 16


def _earned_at_most(settled: dict[str, int], served: dict[str, int], names: dict[str, int]) -> list[int]:
    return [(settled.get(name, 0) + served.get(name, 0)) * 9 // 16 for name in names]
