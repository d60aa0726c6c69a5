"""Whom a node keeps connections to: enough, not too many, and never only those who came to it."""

import random

import pytest

from peernode.mesh.recruiting import (
    GAVE_UP_S,
    HOPELESS_ROUNDS,
    MAX_CONNECTED,
    MAX_GONE,
    MAX_KEPT,
    MIN_OUTBOUND,
    MIN_TRUSTED,
    Gone,
    Kept,
    Picture,
    recruits,
)

STRANGERS = [f"stranger{number}" for number in range(100)]
ATTACKERS = [f"attacker{number}" for number in range(300)]


def choose(*, kept=None, connected=(), outbound=(), known=(), strangers=STRANGERS, passed_over=(), seed=1):
    picture = Picture(
        kept=kept or {},
        connected=frozenset(connected),
        outbound=frozenset(outbound),
        known=list(known),
        strangers=list(strangers),
        passed_over=frozenset(passed_over),
    )
    return recruits(picture, random.Random(seed))


def test_a_lonely_node_takes_up_a_few_of_many_at_random():
    chosen = choose()
    assert len(chosen) == len(set(chosen)) == MAX_CONNECTED
    assert set(chosen) != set(choose(seed=2))


def test_a_connected_node_wants_no_more():
    kept = {peer: Kept() for peer in STRANGERS[:MAX_CONNECTED]}
    assert choose(kept=kept, connected=kept, outbound=kept) == []
    assert choose(kept=kept) == []  # still being dialled


def test_dead_peers_make_room_and_are_not_chosen_twice():
    kept = {peer: Kept(failed_rounds=1) for peer in STRANGERS[:20]}
    chosen = choose(kept=kept)
    assert len(chosen) == MAX_CONNECTED
    assert not set(chosen) & set(kept)


def test_the_number_of_peers_dialled_again_and_again_is_bounded():
    kept = {peer: Kept(failed_rounds=1) for peer in STRANGERS[: MAX_KEPT - 3]}
    assert len(choose(kept=kept)) == 3
    assert Kept(failed_rounds=HOPELESS_ROUNDS).is_hopeless


@pytest.mark.parametrize("attackers", [8, 300])
def test_inbound_connections_never_stand_for_our_own(attackers):
    inbound = ATTACKERS[:attackers]
    chosen = choose(connected=inbound, strangers=[*inbound, *STRANGERS])
    assert len(chosen) == MIN_OUTBOUND
    assert not set(chosen) & set(inbound)


def test_those_who_dialled_us_are_dialled_in_turn_when_they_are_lost():
    assert choose(connected=["friend"], strangers=["friend"]) == ["friend"]


def test_old_acquaintances_are_called_when_all_we_have_is_learned_from_strangers():
    kept = {peer: Kept() for peer in ATTACKERS[:MAX_CONNECTED]}
    chosen = choose(kept=kept, connected=ATTACKERS, outbound=kept, known=["old1", "old2", "old3"])
    assert chosen == ["old1", "old2"]
    assert len(chosen) == MIN_TRUSTED


def test_who_was_named_or_known_and_answers_is_enough():
    kept = {"named": Kept(joined=True), "old1": Kept(), **{peer: Kept() for peer in STRANGERS[:6]}}
    assert choose(kept=kept, connected=kept, outbound=kept, known=["old1", "old2"]) == []
    # … but not while the named one is dead, nor when the known one is only connected because it dialled us.
    kept["named"].failed_rounds = 1
    assert "old2" in choose(kept=kept, connected=set(kept) - {"named"}, outbound=["old1"], known=["old1", "old2"])


def test_who_was_given_up_is_passed_over_for_a_while():
    gone = Gone()
    gone.note(STRANGERS[0], 100.0 + GAVE_UP_S)
    assert choose(strangers=STRANGERS[:1], passed_over=gone.at(100.0)) == []
    assert choose(strangers=STRANGERS[:1], passed_over=gone.at(100.0 + GAVE_UP_S)) == STRANGERS[:1]
    for number in range(2 * MAX_GONE):
        gone.note(str(number), 1e9)
    assert len(gone.at(0.0)) == MAX_GONE
